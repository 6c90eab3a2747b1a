package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// An example in SPEC.md is a fenced block with the name of its golden file: ```json subscribe
func TestSpecExamplesAreTheGoldenFrames(t *testing.T) {
	var shown []string
	for _, example := range find(spec(t), "(?ms)^```json (\\S+)$\n(.*?)^```$") {
		name, text := example[1], example[2]
		shown = append(shown, name)
		var frame bytes.Buffer
		if err := json.Compact(&frame, []byte(text)); err != nil {
			t.Fatalf("example %s: %v", name, err)
		}
		if want := golden(t, name, nil); !bytes.Equal(frame.Bytes(), want) {
			t.Errorf("example %s differs from its golden file\nspec %s\ncode %s", name, &frame, want)
		}
	}
	sameSet(t, "examples", shown, goldenNames(t))
}

// A frame that is refused is a table row of two cells, both code: the frame and the error code.
func TestSpecRefusesWhatParseRefuses(t *testing.T) {
	var met []string
	for _, row := range find(section(t, "4. Messages of the client"), "(?m)^\\| `([{\\[].*)` \\| `(.*)` \\|$") {
		frame, code := row[1], row[2]
		met = append(met, code)
		_, err := protocol.Parse([]byte(frame))
		var refused *protocol.Error
		if !errors.As(err, &refused) || string(refused.Code) != code {
			t.Errorf("Parse(%s) = %v, want %s", frame, err, code)
		}
	}
	slices.Sort(met)
	sameSet(t, "codes of refused frames", slices.Compact(met),
		[]string{"invalid_json", "unknown_message_type", "unknown_channel", "invalid_scope"})
}

func TestSpecListsEveryErrorCode(t *testing.T) {
	var listed []string
	for _, row := range find(section(t, "6. Errors")+section(t, "Errors that say more"), "(?m)^\\| `(.*?)` ") {
		listed = append(listed, row[1])
	}
	sameSet(t, "error codes", listed, constants(t, "code.go", "Code"))
}

func TestSpecListsEveryReasonForAReset(t *testing.T) {
	var listed []string
	for _, row := range find(section(t, "reset"), "(?m)^\\| `(.*?)` ") {
		listed = append(listed, row[1])
	}
	sameSet(t, "reasons for a reset", listed, constants(t, "extended.go", "ResetReason"))
}

func TestSpecListsEveryEventType(t *testing.T) {
	var listed []string
	for _, row := range find(section(t, "Events"), "(?m)^\\| `(.*?)` ") {
		listed = append(listed, row[1])
	}
	sameSet(t, "event types", listed, constants(t, "event.go", "EventType"))
}

func TestSpecListsEveryCloseCode(t *testing.T) {
	var listed []string
	for _, row := range find(section(t, "7. Closing"), `(?m)^\| (\d+) \| (.*?) +\|`) {
		listed = append(listed, row[1])
		code, err := strconv.ParseUint(row[1], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		if got := protocol.Close(code).Reason(); got != row[2] {
			t.Errorf("reason of %d is %q, the spec says %q", code, got, row[2])
		}
	}
	sameSet(t, "close codes", listed, constants(t, "close.go", "Close"))
}

func spec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what the spec has under that heading, up to the next heading of any level.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(spec(t), "# "+heading+"\n")
	if !ok {
		t.Fatalf("SPEC.md has no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n#")
	return text
}

func find(text, pattern string) [][]string {
	return regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
}

// constants are the values of the constants of a type, read from the source: one that is added without a word in the
// spec is found.
func constants(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if ident, ok := spec.Type.(*ast.Ident); !ok || ident.Name != typeName {
			return true
		}
		for _, value := range spec.Values {
			text := value.(*ast.BasicLit).Value
			if unquoted, err := strconv.Unquote(text); err == nil {
				text = unquoted
			}
			values = append(values, text)
		}
		return true
	})
	return values
}

// sameSet fails unless the spec's list, without repetition, is the code's list in any order.
func sameSet(t *testing.T, what string, spec, code []string) {
	t.Helper()
	slices.Sort(spec)
	slices.Sort(code)
	if len(code) == 0 || !slices.Equal(spec, code) {
		t.Errorf("%s\nspec %q\ncode %q", what, spec, code)
	}
}
