package archtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/archtest"
)

// rules are the module's. Read Imports from the inside out: the model and the contracts know nobody, only internal/app
// knows everyone.
func rules() archtest.Rules {
	return archtest.Rules{
		Imports: map[string][]string{
			"protocol":      {},
			"protocol/wire": {},
			"auth":          {},
			"migrations":    {},
			"cdc":           {},
			"cdc/ingest":    {"cdc"},
			"wal/dsn":       {},
			"wal/values":    {"cdc"},
			"wal":           {"cdc", "wal/dsn", "wal/values"},
			"fanout":        {"cdc", "protocol", "protocol/wire"},
			"gateway":       {"auth", "cdc", "fanout", "protocol", "protocol/wire"},
			// What is on the outside for Go programs: a face of internal/app.
			"gateway/reactive": {"auth", "cdc", "cdc/ingest", "internal/app"},

			"internal/archtest": {},
			"internal/cluster":  {},
			"internal/config":   {"wal/dsn"},
			"internal/demo":     {},
			"internal/metrics":  {"cdc/ingest", "fanout", "gateway", "wal"},
			"internal/pgtest":   {"internal/cluster"},
			"internal/tail":     {"protocol"},
			"internal/app":      {"*"},

			".":           {"internal/app"},
			"integration": {},
		},
		Libraries: map[string][]string{
			"nhooyr.io/websocket": {"gateway", "internal/tail"},
			"github.com/jackc": {
				"wal", "wal/dsn", "wal/values", "migrations", "auth",
				"internal/app", "internal/cluster", "internal/demo", "internal/pgtest",
			},
			"github.com/urfave/cli/v2":       {"internal/app", "internal/config"},
			"github.com/prometheus":          {"internal/metrics"},
			"cel.dev/cel-go":                 {"auth"},
			"github.com/golang-jwt":          {"auth"},
			"github.com/MicahParks":          {"auth"},
			"github.com/goccy/go-yaml":       {"internal/config"},
			"github.com/pressly/goose/v3":    {"migrations"},
			"github.com/chromedp":            {},
			"pgregory.net/rapid":             {},
			"go.uber.org/goleak":             {},
			"testing":                        {"internal/pgtest"},
			"github.com/fergusstrange":       {"internal/cluster"},
			"github.com/go-json-experiment":  {"protocol", "cdc/ingest"},
			"github.com/jackc/pglogrepl":     {"wal"},
			"github.com/jackc/pgx/v5/stdlib": {"migrations"},
		},
		OneFile:  []string{"nhooyr.io/websocket"},
		MaxLines: 600,
		Names:    []string{"util", "utils", "helper", "helpers", "common", "types", "misc", "shared"},
	}
}

func TestTheModuleKeepsItsRules(t *testing.T) {
	packages, err := archtest.Load(t.Context(), filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range rules().Check(packages) {
		t.Error(finding)
	}
	// What is checked has to be there: a rule for nobody checks nothing.
	for _, path := range []string{".", "protocol", "cdc", "wal", "fanout", "gateway", "internal/app", "integration"} {
		if !slices.ContainsFunc(packages, func(p archtest.Package) bool { return p.Path == path }) {
			t.Errorf("there is no package %s", path)
		}
	}
}

// Each breach, in a package that is in order but for it.
func TestEachBreachIsFound(t *testing.T) {
	doc := archtest.File{Name: "doc.go", Go: true, Documented: true, Lines: 3}
	code := func(imports ...string) archtest.File {
		return archtest.File{Name: "hub.go", Go: true, Lines: 150, Imports: imports}
	}
	for name, each := range map[string]struct {
		pkg  archtest.Package
		want string // "" for none
	}{
		"in order":           {archtest.Package{Path: "fanout", Files: []archtest.File{doc, code("sync", "./cdc", "go.uber.org/zap")}}, ""},
		"tests are free":     {archtest.Package{Path: "fanout", Files: []archtest.File{doc, {Name: "hub_test.go", Go: true, Test: true, Imports: []string{"./wal", "nhooyr.io/websocket"}}}}, ""},
		"app sees all":       {archtest.Package{Path: "internal/app", Files: []archtest.File{doc, code("./wal", "./fanout", "./gateway")}}, ""},
		"forbidden import":   {archtest.Package{Path: "fanout", Files: []archtest.File{doc, code("./wal")}}, "fanout: hub.go imports wal"},
		"not even a part":    {archtest.Package{Path: "fanout", Files: []archtest.File{doc, code("./wal/values")}}, "fanout: hub.go imports wal/values"},
		"unknown package":    {archtest.Package{Path: "billing", Files: []archtest.File{doc}}, "billing: has no line in the table of imports"},
		"forbidden library":  {archtest.Package{Path: "fanout", Files: []archtest.File{doc, code("github.com/jackc/pgx/v5/pgtype")}}, "fanout: hub.go imports github.com/jackc/pgx/v5/pgtype"},
		"similar library":    {archtest.Package{Path: "fanout", Files: []archtest.File{doc, code("github.com/jackconly/queue")}}, ""},
		"sockets elsewhere":  {archtest.Package{Path: "internal/app", Files: []archtest.File{doc, code("nhooyr.io/websocket")}}, "internal/app: hub.go imports nhooyr.io/websocket"},
		"sockets in 2 files": {archtest.Package{Path: "gateway", Files: []archtest.File{doc, code("nhooyr.io/websocket"), code("nhooyr.io/websocket")}}, "gateway: 2 files import nhooyr.io/websocket, instead of one"},
		"long file":          {archtest.Package{Path: "cdc", Files: []archtest.File{doc, {Name: "row.go", Go: true, Lines: 601}}}, "cdc: row.go has 601 lines, more than 600"},
		"long test":          {archtest.Package{Path: "cdc", Files: []archtest.File{doc, {Name: "row_test.go", Go: true, Test: true, Lines: 601}}}, "cdc: row_test.go has 601 lines, more than 600"},
		"long page":          {archtest.Package{Path: "internal/demo", Files: []archtest.File{doc, {Name: "page/app.js", Lines: 601}}}, "internal/demo: page/app.js has 601 lines, more than 600"},
		"empty name":         {archtest.Package{Path: "cdc", Files: []archtest.File{doc, {Name: "helpers.go", Go: true}}}, "cdc: helpers.go is called what says nothing about what is in it"},
		"empty test name":    {archtest.Package{Path: "cdc", Files: []archtest.File{doc, {Name: "util_test.go", Go: true, Test: true}}}, "cdc: util_test.go is called what says nothing about what is in it"},
		"no package comment": {archtest.Package{Path: "cdc", Files: []archtest.File{code()}}, "cdc: 0 files have a package comment, instead of one"},
		"two of them":        {archtest.Package{Path: "cdc", Files: []archtest.File{doc, doc}}, "cdc: 2 files have a package comment, instead of one"},
		"init":               {archtest.Package{Path: "cdc", Files: []archtest.File{doc, {Name: "row.go", Go: true, Inits: 1}}}, "cdc: row.go has an init function: what it does happens behind everyone's back"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(rules().Check([]archtest.Package{each.pkg}), "\n"); got != each.want {
				t.Errorf("found %q, want %q", got, each.want)
			}
		})
	}
}

func TestAPackageWithAnEmptyNameIsFound(t *testing.T) {
	r := rules()
	r.Imports["internal/util"] = nil
	found := r.Check([]archtest.Package{{Path: "internal/util", Files: []archtest.File{{Name: "doc.go", Go: true, Documented: true}}}})
	if want := "internal/util: is called util, which says nothing about what is in it"; len(found) != 1 || found[0] != want {
		t.Errorf("found %q, want %q", found, want)
	}
}

// Load is held against a module made for the purpose.
func TestLoadSeesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":             "module shop.example/orders\n\ngo 1.26\n",
		"main.go":            "// Command orders serves orders.\npackage main\n\nimport _ \"shop.example/orders/item\"\n\nfunc main() {}\n",
		"item/item.go":       "package item\n\nimport _ \"embed\"\n\n//go:embed item.sql\nvar sql string\n\nfunc init() { _ = sql }\n\ntype T struct{}\n\nfunc (T) init() {}\n",
		"item/item.sql":      "select 1\n",
		"item/plan9.go":      "//go:build plan9\n\npackage item\n\nfunc init() {}\n",
		"item/item_test.go":  "package item\n",
		"item/black_test.go": "package item_test\n\nimport _ \"shop.example/orders/item\"\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := archtest.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []archtest.Package{
		{Path: ".", Files: []archtest.File{{Name: "main.go", Go: true, Documented: true, Lines: 6, Imports: []string{"./item"}}}},
		{Path: "item", Files: []archtest.File{
			{Name: "item.go", Go: true, Lines: 12, Imports: []string{"embed"}, Inits: 1},
			{Name: "plan9.go", Go: true, Lines: 5, Inits: 1},
			{Name: "item_test.go", Go: true, Test: true, Lines: 1},
			{Name: "black_test.go", Go: true, Test: true, Lines: 3, Imports: []string{"./item"}},
			{Name: "item.sql", Lines: 1},
		}},
	}
	if len(packages) != len(want) {
		t.Fatalf("%d packages, want %d: %+v", len(packages), len(want), packages)
	}
	for n := range want {
		same := slices.EqualFunc(packages[n].Files, want[n].Files, func(a, b archtest.File) bool {
			imports := slices.Equal(a.Imports, b.Imports)
			a.Imports, b.Imports = nil, nil
			return imports && a.Name == b.Name && a.Lines == b.Lines && a.Go == b.Go && a.Test == b.Test && a.Documented == b.Documented && a.Inits == b.Inits
		})
		if packages[n].Path != want[n].Path || !same {
			t.Errorf("got %+v\nwant %+v", packages[n], want[n])
		}
	}
}

func TestLoadFailsOutsideAModule(t *testing.T) {
	if packages, err := archtest.Load(t.Context(), t.TempDir()); err == nil {
		t.Errorf("loaded %v", packages)
	}
}
