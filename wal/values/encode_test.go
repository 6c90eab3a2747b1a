package values

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// The OIDs of testTypes.
const (
	amountOID uint32 = 100_000 + iota
	lineOID
	linesOID
	parcelOID
	nothingOID
)

// testTypes are an order's line (with a domain over numeric), an array of lines, and a parcel that has such an array.
func testTypes() []Type {
	return []Type{
		{OID: amountOID, Name: "amount", Kind: Domain, Elem: pgtype.NumericOID},
		{OID: lineOID, Name: "line", Kind: Composite, Attrs: []Attr{
			{Name: "item", TypeOID: pgtype.TextOID}, {Name: `the "price"`, TypeOID: amountOID}}},
		{OID: linesOID, Name: "_line", Kind: Array, Elem: lineOID, Delim: ','},
		{OID: parcelOID, Name: "parcel", Kind: Composite, Attrs: []Attr{
			{Name: "id", TypeOID: pgtype.Int8OID}, {Name: "lines", TypeOID: linesOID}, {Name: "notes", TypeOID: pgtype.JSONBOID}}},
		{OID: nothingOID, Name: "nothing", Kind: Composite},
	}
}

// encoderOf returns the encoder of a built-in type or of one of testTypes.
func encoderOf(oid uint32, options Options) cdc.AppendJSON {
	catalog := NewCatalog(options)
	for _, t := range testTypes() {
		catalog.types[t.OID] = t
	}
	return catalog.Encoder(oid)
}

func TestEncode(t *testing.T) {
	const boxes, ints, texts, floats = pgtype.BoxArrayOID, pgtype.Int4ArrayOID, pgtype.TextArrayOID, pgtype.Float8ArrayOID
	tests := []struct {
		name string
		oid  uint32
		text string
		want string
	}{
		{"true", pgtype.BoolOID, "t", `true`},
		{"false", pgtype.BoolOID, "f", `false`},
		{"no boolean", pgtype.BoolOID, "true", `"true"`},

		{"smallest int8", pgtype.Int8OID, "-9223372036854775808", `-9223372036854775808`},
		{"numeric keeps its scale", pgtype.NumericOID, "1.500", `1.500`},
		{"numeric without end", pgtype.NumericOID, "-Infinity", `"-Infinity"`},
		{"numeric not a number", pgtype.NumericOID, "NaN", `"NaN"`},
		{"float with exponent", pgtype.Float8OID, "1e-05", `1e-05`},
		{"float minus zero", pgtype.Float8OID, "-0", `0`},
		{"number with a leading zero", pgtype.Int4OID, "01", `"01"`},
		{"number that ends early", pgtype.Float8OID, "1.", `"1."`},
		{"number with half an exponent", pgtype.Float8OID, "1e+", `"1e+"`},
		{"number with a tail", pgtype.Int4OID, "1,2", `"1,2"`},
		{"only a sign", pgtype.Int4OID, "-", `"-"`},
		{"empty number", pgtype.Int4OID, "", `""`},

		{"empty text", pgtype.TextOID, "", `""`},
		{"text with all that is escaped", pgtype.TextOID, "\"\\\n\r\t\b\x1f\x7f</\u2028🚀", "\"\\\"\\\\\\n\\r\\t\\u0008\\u001f\x7f</\u2028🚀\""},
		{"text that is not UTF-8", pgtype.TextOID, "caf\xe9!", "\"caf\uFFFD!\""},

		{"timestamptz", pgtype.TimestamptzOID, "2024-02-29 12:00:00.25+00", `"2024-02-29T12:00:00.25+00:00"`},
		{"timestamptz before year 1", pgtype.TimestamptzOID, "0044-03-15 00:00:00+00 BC", `"0044-03-15T00:00:00+00:00 BC"`},
		{"timestamptz of another zone", pgtype.TimestamptzOID, "1890-01-01 00:00:00-00:01:15", `"1890-01-01T00:00:00-00:01:15"`},
		{"timestamp of a five digit year", pgtype.TimestampOID, "294276-12-31 23:59:59.999999", `"294276-12-31T23:59:59.999999"`},
		{"timestamp infinity", pgtype.TimestampOID, "-infinity", `"-infinity"`},
		{"timestamp of another DateStyle", pgtype.TimestampOID, "29.02.2024 12:00:00", `"29.02.2024 12:00:00"`},
		{"timestamp with an odd fraction", pgtype.TimestampOID, "2024-02-29 12:00:00,25", `"2024-02-29 12:00:00,25"`},
		{"date", pgtype.DateOID, "0044-03-15 BC", `"0044-03-15 BC"`},
		{"end of day", pgtype.TimeOID, "24:00:00", `"24:00:00"`},

		{"json with line breaks", pgtype.JSONOID, "\n{ \"a\" :\r\n[1,\t2 , {}, [ ]] , \"a\\n\":null}\n", `{"a":[1,2,{},[]],"a\n":null}`},
		{"json with a lone surrogate", pgtype.JSONOID, `"\ud800"`, `"\ud800"`},
		{"json with bytes that are not UTF-8", pgtype.JSONOID, "[\"\xff\"]", "[\"\uFFFD\"]"},
		{"jsonb string", pgtype.JSONBOID, `"a \" b"`, `"a \" b"`},
		{"two json values", pgtype.JSONOID, "1 2", `"1 2"`},
		{"unfinished json", pgtype.JSONOID, `{"a":`, `"{\"a\":"`},
		{"json with a raw control character", pgtype.JSONOID, "\"\x01\"", `"\"\u0001\""`},
		{"json with an odd escape", pgtype.JSONOID, `"\x"`, `"\"\\x\""`},
		{"json with half an escape", pgtype.JSONOID, `"\u12"`, `"\"\\u12\""`},
		{"json with an escape cut off", pgtype.JSONOID, `"\u123`, `"\"\\u123"`},
		{"json with an escape that is not hexadecimal", pgtype.JSONOID, `"\u123g"`, `"\"\\u123g\""`},
		{"json with a word misspelt", pgtype.JSONOID, `[nul]`, `"[nul]"`},
		{"json object without a colon", pgtype.JSONOID, `{"a" 1}`, `"{\"a\" 1}"`},
		{"json array without a comma", pgtype.JSONOID, `[1 2]`, `"[1 2]"`},
		{"empty json", pgtype.JSONOID, "", `""`},

		{"empty array", ints, "{}", `[]`},
		{"array with NULL", ints, "{1,NULL,-3}", `[1,null,-3]`},
		{"array of dimensions", ints, "{{1,2},{3,NULL}}", `[[1,2],[3,null]]`},
		{"array with bounds", ints, "[-1:0][5:6]={{1,2},{3,4}}", `[[1,2],[3,4]]`},
		{"array of texts", texts, `{a,"","NULL","{b}","c,d","\"\\","\\\\"}`, `["a","","NULL","{b}","c,d","\"\\","\\\\"]`},
		{"array of floats", floats, "{NaN,-0,1e+20,-Infinity}", `["NaN",0,1e+20,"-Infinity"]`},
		{"array of booleans", pgtype.BoolArrayOID, "{t,f}", `[true,false]`},
		{"array of boxes", boxes, "{(1,1),(0,0);NULL}", `["(1,1),(0,0)",null]`},
		{"array of timestamps", pgtype.TimestamptzArrayOID, `{"2024-02-29 12:00:00+00",infinity}`, `["2024-02-29T12:00:00+00:00","infinity"]`},
		{"array of json", pgtype.JSONBArrayOID, `{"{\"a\": \"\\\"\"}",1}`, `[{"a":"\""},1]`},
		{"array of ranges", pgtype.Int4rangeArrayOID, `{"[1,5)",empty}`, `["[1,5)","empty"]`},
		{"array without braces", ints, "1,2", `"1,2"`},
		{"array that does not end", ints, "{1,2", `"{1,2"`},
		{"array with a tail", ints, "{1}2", `"{1}2"`},
		{"array with an unclosed quote", texts, `{"a`, `"{\"a"`},
		{"array that ends in an escape", texts, `{"a\`, `"{\"a\\"`},
		{"array with an element missing", ints, "{1,}", `"{1,}"`},
		{"array with bounds only", ints, "[1:2]", `"[1:2]"`},
		{"array with an unquoted quote", texts, `{a"b}`, `"{a\"b}"`},
		{"array of too many dimensions", ints, "{{{{{{{1}}}}}}}", `"{{{{{{{1}}}}}}}"`},

		{"int2vector", int2vectorOID, "1 -2 3", `[1,-2,3]`},
		{"oidvector", oidvectorOID, "1 2", `["1","2"]`},
		{"empty vector", int2vectorOID, "", `[]`},

		{"domain", amountOID, "1.50", `1.50`},
		{"composite", lineOID, "(bread,1.50)", `{"item":"bread","the \"price\"":1.50}`},
		{"composite of nulls", lineOID, "(,)", `{"item":null,"the \"price\"":null}`},
		{"composite with an empty text", lineOID, `("",)`, `{"item":"","the \"price\"":null}`},
		{"composite with quotes", lineOID, `("a ""b"" \\ \c (,)",NaN)`, `{"item":"a \"b\" \\ c (,)","the \"price\"":"NaN"}`},
		{"composite in array in composite", parcelOID, `(7,"{""(bread,1)"",""(\\""a \\""\\""b\\""\\""\\"",2)""}","{""k"": ""\\""""}")`,
			`{"id":7,"lines":[{"item":"bread","the \"price\"":1},{"item":"a \"b\"","the \"price\"":2}],"notes":{"k":"\""}}`},
		{"composite without attributes", nothingOID, "()", `{}`},
		{"composite with a field too few", lineOID, "(bread)", `"(bread)"`},
		{"composite with a field too many", lineOID, "(bread,1,2)", `"(bread,1,2)"`},
		{"composite without attributes, with a field", nothingOID, "(1)", `"(1)"`},
		{"composite with an unclosed quote", lineOID, `("bread,1)`, `"(\"bread,1)"`},
		{"composite with an unquoted quote", lineOID, `(a"b,1)`, `"(a\"b,1)"`},
		{"composite with a tail", lineOID, `(bread,1)x`, `"(bread,1)x"`},
		{"empty composite text", lineOID, "", `""`},
		{"composite of one parenthesis", lineOID, "(", `"("`},

		{"unknown type", 999_999, `any "text"`, `"any \"text\""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			checkFrame(t, encoderOf(test.oid, Options{}), []byte(test.text))
			if got := encoderOf(test.oid, Options{})(nil, []byte(test.text)); string(got) != test.want {
				t.Errorf("%q\n got %s\nwant %s", test.text, got, test.want)
			}
		})
	}
}

func TestBigintAsString(t *testing.T) {
	tests := []struct {
		name string
		oid  uint32
		text string
		want string
	}{
		{"int8", pgtype.Int8OID, "9007199254740993", `"9007199254740993"`},
		{"numeric", pgtype.NumericOID, "1.500", `"1.500"`},
		{"int4 stays", pgtype.Int4OID, "42", `42`},
		{"float8 stays", pgtype.Float8OID, "0.1", `0.1`},
		{"jsonb stays", pgtype.JSONBOID, `{"n": 9007199254740993}`, `{"n":9007199254740993}`},
		{"array", pgtype.Int8ArrayOID, "{1,NULL}", `["1",null]`},
		{"domain", amountOID, "2", `"2"`},
		{"composite", parcelOID, `(7,"{""(a,2)""}",1)`, `{"id":"7","lines":[{"item":"a","the \"price\"":"2"}],"notes":1}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := encoderOf(test.oid, Options{BigintAsString: true})(nil, []byte(test.text))
			if string(got) != test.want {
				t.Errorf("%q\n got %s\nwant %s", test.text, got, test.want)
			}
		})
	}
}

// A special character is found wherever it stands in the eight bytes that are looked at together.
func TestStringEscapesAtEveryPosition(t *testing.T) {
	for _, special := range []string{"\"", "\\", "\n", "\x00", "\x1f", "\u00e9", "\xff\x1f"} {
		for position := range 20 {
			text := strings.Repeat("!", position) + special + strings.Repeat("\x7f", 20-position)
			checkFrame(t, appendString, []byte(text))
			checkString(t, []byte(text))
		}
	}
}

// A document as deep as a server with the default max_stack_depth takes neither exhausts the stack nor makes a frame
// that encoding/json refuses.
func TestDeepDocument(t *testing.T) {
	for _, depth := range []int{maxDocumentDepth, maxDocumentDepth + 1, 1_000_000} {
		text := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
		checkFrame(t, appendDocument, text)
		isString := appendDocument(nil, text)[0] == '"'
		if isString != (depth > maxDocumentDepth) {
			t.Errorf("depth %d: is a string: %v", depth, isString)
		}
	}
}

// Rows of pg_type that were read at different times may contain one another; their encoder must exist nevertheless.
func TestEncoderOfTypesInARing(t *testing.T) {
	catalog := NewCatalog(Options{})
	catalog.types[amountOID] = Type{OID: amountOID, Kind: Domain, Elem: linesOID}
	catalog.types[linesOID] = Type{OID: linesOID, Kind: Array, Elem: amountOID, Delim: ','}
	if got := catalog.Encoder(amountOID)(nil, []byte("{a,b}")); string(got) != `["a","b"]` {
		t.Errorf("got %s", got)
	}
	catalog.types[linesOID] = Type{OID: linesOID, Kind: Domain, Elem: amountOID}
	if base := catalog.Base(amountOID); base != amountOID && base != linesOID {
		t.Errorf("base %d", base)
	}
}

// checkFrame holds what every encoder must do with any text at all: append one JSON value that may stand in a frame,
// and touch neither what was there nor the text.
func checkFrame(t *testing.T, encode cdc.AppendJSON, text []byte) {
	t.Helper()
	before := bytes.Clone(text)
	out := encode([]byte("frame"), text)
	encoded, kept := bytes.CutPrefix(out, []byte("frame"))
	switch {
	case !kept:
		t.Errorf("%q: overwrote dst: %q", before, out)
	case !bytes.Equal(text, before):
		t.Errorf("%q: overwrote text: %q", before, text)
	case !json.Valid(encoded) || !utf8.Valid(encoded):
		t.Errorf("%q: not JSON: %q", before, encoded)
	case bytes.ContainsFunc(encoded, func(r rune) bool { return r < ' ' }):
		t.Errorf("%q: raw control characters: %q", before, encoded)
	}
}

// checkString holds that a JSON string has the text it was made of.
func checkString(t *testing.T, text []byte) {
	t.Helper()
	var got string
	if err := json.Unmarshal(appendString(nil, text), &got); err != nil {
		t.Fatal(err)
	}
	if want := string(bytes.ToValidUTF8(text, []byte("\uFFFD"))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
