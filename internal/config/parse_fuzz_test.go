package config

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParse holds that any file gives either a configuration or an *Error whose every problem has a place in the file,
// and that a variable's value is in no error.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", shop, example,
		strings.ReplaceAll(example, "# ", ""),
		"slot: ${SECRET}\nlisten: '${SECRET}:80'\n",
		"publication: ${SECRET}\nreactive: [{table: '${SECRET}', scopes: ['${SECRET}']}]\n",
		"slot: {a: [b, {c: d}]}\nslot: [\n",
		"? &a !!str slot\n: *a\n<<: *a\n",
		"%YAML 1.2\n---\nslot: |\n  orders\n...\n---\n- x\n",
		"allowedOrigins: ['*', null, 1.5, .inf, .nan, 0x10, \"\\u0000\"]\n",
		"reactive:\n- table: '\"a\"\"b\".\"c\"'\n  columns: {exclude: [a, a]}\n-\n",
		"key:\n}", "\r0", "\ufeffslot: orders\r\n", "slot: caf\xe9\n",
	} {
		f.Add([]byte(seed))
	}
	// With a NUL in it the value is good for no key, so that every use of it has to be refused.
	const secret = "c4n4ry"
	variables := func(name string) (string, bool) { return secret + "\x00", name == "SECRET" }
	database := func(s setting) (string, []string) {
		if s.required {
			return "DATABASE_URL", []string{"postgres://db.internal/shop"}
		}
		return "", nil
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := resolve(parse("reactive.yaml", content, variables), database)
		if err == nil {
			if c == nil || c.Slot == "" || c.DatabaseURL == "" {
				t.Fatalf("neither a configuration nor an error: %v", c)
			}
			return
		}
		problems, ok := errors.AsType[*Error](err)
		if !ok || len(problems.Problems) == 0 {
			t.Fatalf("not an *Error: %T", err)
		}
		// YAML breaks a line at a carriage return too (YAML 1.2.2, section 5.4).
		lines := 1 + strings.Count(string(content), "\n") + strings.Count(string(content), "\r")
		for _, p := range problems.Problems {
			// A default that the file contradicts has no place of its own.
			if inFile := p.File != ""; inFile && (p.Line < 1 || p.Line > lines || p.Column < 1) || !inFile && p.Key != "admin" {
				t.Errorf("no place in a file of %d lines: %+v", lines, p)
			}
			if p.Problem == "" || p.Fix == "" {
				t.Errorf("says nothing: %+v", p)
			}
		}
		if strings.Contains(err.Error(), secret) && !strings.Contains(string(content), secret) {
			t.Errorf("shows the value of a variable: %v", err)
		}
	})
}
