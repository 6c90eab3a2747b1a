package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listed is what `go list -json` says of a package.
type listed struct {
	Dir        string
	ImportPath string
	Module     struct{ Path string }

	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles, EmbedFiles, TestEmbedFiles []string
}

// Load reads the packages of the module that dir is in, with the files that are built for other systems as well.
func Load(ctx context.Context, dir string) ([]Package, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json", "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []Package
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		p, err := l.load()
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

func (l *listed) load() (Package, error) {
	p := Package{Path: "."}
	if l.ImportPath != l.Module.Path {
		p.Path = strings.TrimPrefix(l.ImportPath, l.Module.Path+"/")
	}
	names := slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles, l.TestGoFiles, l.XTestGoFiles, l.EmbedFiles, l.TestEmbedFiles)
	for _, name := range names {
		f, err := readFile(l.Dir, name, l.Module.Path)
		if err != nil {
			return p, err
		}
		p.Files = append(p.Files, f)
	}
	return p, nil
}

func readFile(dir, name, module string) (File, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return File{}, err
	}
	f := File{
		Name: filepath.ToSlash(name), Lines: bytes.Count(text, []byte("\n")),
		Go: strings.HasSuffix(name, ".go"), Test: strings.HasSuffix(name, "_test.go"),
	}
	if !f.Go {
		return f, nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, fmt.Errorf("parse: %w", err)
	}
	f.Documented = parsed.Doc != nil
	for _, i := range parsed.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("import in %s: %w", name, err)
		}
		if ours, ok := strings.CutPrefix(path, module+"/"); ok {
			path = "./" + ours
		}
		f.Imports = append(f.Imports, path)
	}
	for _, d := range parsed.Decls {
		if function, ok := d.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
			f.Inits++
		}
	}
	return f, nil
}
