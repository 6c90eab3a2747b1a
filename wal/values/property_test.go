package values_test

import (
	"context"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// TestRowIsToJSONB holds the promise of the package: over rows of all types, what it makes of the text output is the
// JSON value that to_jsonb(row) gives.
func TestRowIsToJSONB(t *testing.T) {
	conn := connect(t, orderSchema()...)
	generators := generators()
	names := slices.Sorted(maps.Keys(generators))
	encoders := loadEncoders(t, conn, names)
	for i, name := range names {
		t.Run(name, rapid.MakeCheck(func(rt *rapid.T) {
			value := generators[name].Draw(rt, "value")
			row := textRow(t.Context(), rt, conn, "with r as (select "+value+" as v) select to_jsonb(r), r.v from r")
			var want struct{ V any }
			parseJSON(rt, row[0], &want)
			checkValue(rt, row[1], encoders[i], want.V)
		}))
	}
}

// checkValue encodes the text of one column, nil for NULL, and compares it with what to_jsonb made of it.
func checkValue(t rapid.TB, text []byte, encode cdc.AppendJSON, want any) {
	if text == nil {
		if want != nil {
			t.Errorf("NULL, but to_jsonb has %v", want)
		}
		return
	}
	encoded := encode(nil, text)
	if !utf8.Valid(encoded) || slices.ContainsFunc(encoded, func(b byte) bool { return b < ' ' }) {
		t.Errorf("%q holds raw bytes that a frame must not have", encoded)
	}
	var got any
	parseJSON(t, encoded, &got)
	if !sameJSON(got, want) {
		t.Errorf("text %q\n got %s\nwant %v", text, encoded, want)
	}
}

// loadEncoders loads the named types into a new catalog and returns their encoders.
func loadEncoders(t testing.TB, conn *pgx.Conn, names []string) []cdc.AppendJSON {
	t.Helper()
	oids := typeOIDs(t, conn, names...)
	catalog := values.NewCatalog(values.Options{})
	if err := catalog.Load(t.Context(), conn, oids); err != nil {
		t.Fatal(err)
	}
	encoders := make([]cdc.AppendJSON, len(oids))
	for i, oid := range oids {
		encoders[i] = catalog.Encoder(oid)
	}
	return encoders
}

// textRow returns the only row of the query in text format.
func textRow(ctx context.Context, t rapid.TB, conn *pgx.Conn, sql string) [][]byte {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return results[0].Rows[0]
}

func parseJSON(t rapid.TB, text []byte, into any) {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil || decoder.More() {
		t.Fatalf("%q is not one JSON value: %v", text, err)
	}
}

// sameJSON compares values as to_jsonb's are compared: numbers by value, objects whatever their order.
func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameJSON)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameJSON)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	default:
		return a == b
	}
}

func sameNumber(a, b json.Number) bool {
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	return okX && okY && x.Cmp(y) == 0
}

// TestEveryBuiltinTypeIsGenerated keeps the property whole: it fails for a built-in type that no generator makes, but
// for those that have no input function and the arrays of the system catalogs' rows.
func TestEveryBuiltinTypeIsGenerated(t *testing.T) {
	conn := connect(t, orderSchema()...)
	rows, err := conn.Query(t.Context(), `
		select format_type(oid, null) from pg_type
		where oid < 10000 and typtype in ('b', 'r', 'm') and typname not in (
			'gtsvector', '_gtsvector', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list',
			'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', '_cstring', '_record')
		and typelem not in (select oid from pg_type where typtype = 'c')
		and oid <> all ($1)`, typeOIDs(t, conn, slices.Collect(maps.Keys(generators()))...))
	if err != nil {
		t.Fatal(err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 {
		t.Errorf("no generator for %v", missing)
	}
}
