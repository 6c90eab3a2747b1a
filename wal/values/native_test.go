package values

import (
	"math"
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

func TestNative(t *testing.T) {
	for _, test := range []struct {
		name string
		oid  uint32
		text string
		want any // nil: it is refused
	}{
		{"true", pgtype.BoolOID, "t", true},
		{"false", pgtype.BoolOID, "f", false},
		{"smallint", pgtype.Int2OID, "-5", int64(-5)},
		{"bigint that no float holds", pgtype.Int8OID, "9007199254740993", int64(9007199254740993)},
		{"no bigint", pgtype.Int8OID, "9223372036854775808", nil},
		{"whole numeric", pgtype.NumericOID, "5", 5.0},
		{"numeric without end", pgtype.NumericOID, "-Infinity", math.Inf(-1)},
		{"numeric that no float holds", pgtype.NumericOID, "1e400", nil},
		{"domain over numeric", amountOID, "1.50", 1.5},
		{"float", pgtype.Float8OID, "1e-7", 1e-7},
		{"text", pgtype.TextOID, "t", "t"},
		{"timestamp as clients see it", pgtype.TimestamptzOID, "2026-03-01 12:00:00+00", "2026-03-01T12:00:00+00:00"},
		{"date", pgtype.DateOID, "2026-03-01", "2026-03-01"},
		{"array of bigint", pgtype.Int8ArrayOID, "{9007199254740993,NULL}", []any{int64(9007199254740993), nil}},
		{"array of numeric", pgtype.NumericArrayOID, "{1,2.5}", []any{1.0, 2.5}},
		{"nested array", pgtype.TextArrayOID, "{{a,b},{c,d}}", []any{[]any{"a", "b"}, []any{"c", "d"}}},
		{"vector", int2vectorOID, "1 2", []any{int64(1), int64(2)}},
		{"jsonb", pgtype.JSONBOID, `{"n": 3, "l": [1.5, null]}`, map[string]any{"n": 3.0, "l": []any{1.5, nil}}},
		{"composite", parcelOID, `(9007199254740993,,)`, map[string]any{"id": int64(9007199254740993), "lines": nil, "notes": nil}},
		{"unknown type", 4_000_000, "x", "x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, options := range []Options{{}, {BigintAsString: true}} {
				catalog := NewCatalog(options)
				for _, known := range testTypes() {
					catalog.types[known.OID] = known
				}
				got, ok := catalog.Native(test.oid)([]byte(test.text))
				if ok != (test.want != nil) || ok && !reflect.DeepEqual(got, test.want) {
					t.Errorf("%+v: got %#v %v, want %#v", options, got, ok, test.want)
				}
			}
		})
	}
}
