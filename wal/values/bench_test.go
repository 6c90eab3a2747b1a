package values

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// sample is a typical value of a type.
type sample struct {
	name   string
	encode cdc.AppendJSON
	text   []byte
}

func samples() []sample {
	of := func(name string, oid uint32, text string) sample {
		return sample{name, encoderOf(oid, Options{}), []byte(text)}
	}
	return []sample{
		of("bool", pgtype.BoolOID, "t"),
		of("int4", pgtype.Int4OID, "1234567"),
		of("int8", pgtype.Int8OID, "9007199254740993"),
		of("numeric", pgtype.NumericOID, "12345.67"),
		of("float8", pgtype.Float8OID, "0.30000000000000004"),
		of("uuid", pgtype.UUIDOID, "0b6d4ab1-7a9d-4b7e-9f5a-0f6a2c1d3e4f"),
		of("timestamptz", pgtype.TimestamptzOID, "2024-02-29 12:00:00.123456+00"),
		of("text", pgtype.TextOID, "a message of some forty bytes, all ASCII"),
		of("text-kilobyte", pgtype.TextOID, strings.Repeat("lines of a message\nand \"quotes\" too. ", 28)),
		of("text-cyrillic", pgtype.TextOID, strings.Repeat("Съешь ещё этих булок ", 5)),
		of("jsonb", pgtype.JSONBOID, `{"tags": ["a", "b"], "total": 12.5, "paid": true, "address": {"city": "Köln", "zip": null}}`),
		of("int4-array", pgtype.Int4ArrayOID, "{1,2,3,40,500,NULL}"),
		of("text-array", pgtype.TextArrayOID, `{bread,"white wine","a \"b\"",NULL}`),
		of("int2vector", int2vectorOID, "1 2 3"),
		of("composite", lineOID, `("white wine",12.50)`),
		of("nested", parcelOID, `(7,"{""(bread,1)"",""(\\""white wine\\"",2)""}","{""k"": ""v""}")`),
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range samples() {
		b.Run(s.name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.SetBytes(int64(len(s.text)))
			b.ReportAllocs()
			for b.Loop() {
				dst = s.encode(dst[:0], s.text)
			}
		})
	}
}

// Nothing is allocated but room in dst.
func TestEncodeDoesNotAllocate(t *testing.T) {
	for _, s := range samples() {
		dst := make([]byte, 0, 4096)
		if allocs := testing.AllocsPerRun(100, func() { dst = s.encode(dst[:0], s.text) }); allocs != 0 {
			t.Errorf("%s: %v allocations", s.name, allocs)
		}
	}
}
