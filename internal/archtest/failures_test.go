package archtest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The list of what goes wrong names tests. Each has to be there, and each that bears an entry's number has to be in the list.
func TestFailuresAndTestsAgree(t *testing.T) {
	const root = "../.."
	list, err := os.ReadFile(filepath.Join(root, "integration", "FAILURES.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, match := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(list), -1) {
		listed[match[1]] = true
	}
	function, numbered := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`), regexp.MustCompile(`^Test(P\d|W\d|S\d)`)
	defined := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range function.FindAllStringSubmatch(string(source), -1) {
			defined[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range listed {
		if !defined[name] {
			t.Errorf("FAILURES.md names %s, and there is no such test", name)
		}
	}
	for name := range defined {
		if numbered.MatchString(name) && !listed[name] {
			t.Errorf("FAILURES.md does not name %s", name)
		}
	}
}
