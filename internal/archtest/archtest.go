// Package archtest checks the module's structure: who may import what, and the house's rules for files. The rules
// themselves are a table in its test. It must not know what the packages do.
package archtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Package is what is checked of a package. Paths are relative to the module, "." for its root.
type Package struct {
	Path  string
	Files []File
}

// File is a file of a package, or one embedded into it.
type File struct {
	Name       string
	Lines      int
	Test       bool     // a _test.go
	Go         bool     // the rest is empty of others
	Documented bool     // has a package comment
	Imports    []string // import paths; those of our own packages relative to the module, as "./wal"
	Inits      int      // functions named init
}

// Rules say what is allowed.
type Rules struct {
	// Imports lists for each package which of our packages it may import; "*" stands for all. A package that is not
	// listed is a finding: whoever adds one decides. Tests may import what they like.
	Imports map[string][]string
	// Libraries lists for each prefix of import paths, "github.com/jackc/", which packages may import it. What is not
	// listed may be imported everywhere.
	Libraries map[string][]string
	// OneFile lists libraries that in each package only one file may import.
	OneFile []string
	// MaxLines is the most that a file may have.
	MaxLines int
	// Names are what no file and no package may be called, without extension.
	Names []string
}

// Check returns a sentence for everything that breaks the rules.
func (r Rules) Check(packages []Package) []string {
	var findings []string
	for _, p := range packages {
		for _, problem := range r.check(p) {
			findings = append(findings, p.Path+": "+problem)
		}
	}
	return findings
}

func (r Rules) check(p Package) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	allowed, listed := r.Imports[p.Path]
	if !listed {
		add("has no line in the table of imports")
	}
	if slices.Contains(r.Names, path.Base(p.Path)) {
		add("is called %s, which says nothing about what is in it", path.Base(p.Path))
	}
	documented := 0
	importers := map[string]int{}
	for _, f := range p.Files {
		if f.Lines > r.MaxLines {
			add("%s has %d lines, more than %d", f.Name, f.Lines, r.MaxLines)
		}
		stem, _, _ := strings.Cut(path.Base(f.Name), ".")
		if slices.Contains(r.Names, strings.TrimSuffix(stem, "_test")) {
			add("%s is called what says nothing about what is in it", f.Name)
		}
		if f.Inits > 0 {
			add("%s has an init function: what it does happens behind everyone's back", f.Name)
		}
		if f.Test || !f.Go {
			continue
		}
		if f.Documented {
			documented++
		}
		for _, i := range f.Imports {
			if ours, ok := strings.CutPrefix(i, "./"); ok && listed && !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
				add("%s imports %s", f.Name, ours)
			}
			for _, library := range slices.Sorted(maps.Keys(r.Libraries)) {
				if under(i, library) && !slices.Contains(r.Libraries[library], p.Path) {
					add("%s imports %s", f.Name, i)
				}
			}
			if slices.Contains(r.OneFile, i) {
				importers[i]++
			}
		}
	}
	if documented != 1 {
		add("%d files have a package comment, instead of one", documented)
	}
	for _, library := range slices.Sorted(maps.Keys(importers)) {
		if importers[library] > 1 {
			add("%d files import %s, instead of one", importers[library], library)
		}
	}
	return problems
}

// under tells whether an import path is the prefix itself or below it.
func under(importPath, prefix string) bool {
	return importPath == prefix || strings.HasPrefix(importPath, strings.TrimSuffix(prefix, "/")+"/")
}
