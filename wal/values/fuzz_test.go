package values

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/cdc"
)

func FuzzString(f *testing.F) {
	for _, seed := range []string{"", "bread", "line\nbreak \"quoted\" \\ and more", "Grüße\xff\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		checkFrame(t, appendString, text)
		checkString(t, text)
	})
}

func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"0", "-0", "-9223372036854775808", "1.50", "1e+20", "NaN", "-Infinity", "01", "1.", "1e"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		checkFrame(t, appendNumber, text)
		isNumber := json.Valid(text) && bytes.IndexByte([]byte("-0123456789"), text[0]) >= 0 && !bytes.ContainsAny(text, " \n\r\t")
		if encoded := appendNumber(nil, text); isNumber == (encoded[0] == '"') {
			t.Errorf("%q became %s", text, encoded)
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{"2024-02-29 12:00:00.25+00", "0044-03-15 00:00:00-00:01:15 BC", "infinity", " BC", "+ "} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkFrame(t, appendTimestamp, text) })
}

// FuzzDocument compares with encoding/json: what that takes for JSON is embedded compacted, all else is a string.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{`{"a": [1, -2.5e+3, {}, [ ]], "b\n\u00e9\ud800": null}`, "\n true\t", `"\`, `[1,]`, `{"a" 1}`, "[[[[[[[[", "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		checkFrame(t, appendDocument, text)
		valid := bytes.ToValidUTF8(text, []byte("\uFFFD"))
		want := bytes.NewBuffer(nil)
		if err := json.Compact(want, valid); err != nil || bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > maxDocumentDepth {
			want = bytes.NewBuffer(appendString(nil, text))
		}
		if got := appendDocument(nil, text); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%q\n got %s\nwant %s", text, got, want)
		}
	})
}

func FuzzArray(f *testing.F) {
	for _, seed := range []string{"{}", "{1,NULL,-3}", "[0:1]={{1},{2}}", `{"a\"b","\\",c}`, `{"(\"a \"\"b\"\"\",1)","(,)"}`, `{"{\"k\": 1}"}`, "{(1,1),(0,0);(1,2),(0,0)}", "{{", `{"`, "{a}b", "1 2"} {
		f.Add([]byte(seed))
	}
	encoders := encodersOf(pgtype.Int8ArrayOID, pgtype.TextArrayOID, pgtype.BoxArrayOID, pgtype.JSONBArrayOID, linesOID, int2vectorOID)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, encode := range encoders {
			checkFrame(t, encode, text)
		}
	})
}

func FuzzComposite(f *testing.F) {
	for _, seed := range []string{"()", "(,)", `("a ""b"" \\",1.5)`, `(7,"{""(bread,1)"",""(\\""a\\"",2)""}","{""k"": [1]}")`, "(", `("`, `(",)`, "(1)2)", `("a"b,1)`} {
		f.Add([]byte(seed))
	}
	encoders := encodersOf(lineOID, parcelOID, nothingOID)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, encode := range encoders {
			checkFrame(t, encode, text)
		}
	})
}

func encodersOf(oids ...uint32) []cdc.AppendJSON {
	var encoders []cdc.AppendJSON
	for _, oid := range oids {
		encoders = append(encoders, encoderOf(oid, Options{}))
	}
	return encoders
}

// FuzzQuoting holds that any text survives the quoting of arrays and composites, nested in one another.
func FuzzQuoting(f *testing.F) {
	f.Add("bread")
	f.Add(`a "b" \ (c), {d}`)
	f.Add("NULL")
	encode := encoderOf(linesOID, Options{})
	f.Fuzz(func(t *testing.T, item string) {
		if !utf8.ValidString(item) {
			return
		}
		line := "(" + quoted(item, `""`) + ",1)"
		text := "{NULL," + quoted(line, `\"`) + "}"
		var lines []struct{ Item string }
		if err := json.Unmarshal(encode(nil, []byte(text)), &lines); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(lines) != 2 || lines[1].Item != item {
			t.Errorf("%s: got %q, want %q", text, lines, item)
		}
	})
}

// quoted quotes as PostgreSQL does, with quote for each quote within.
func quoted(text, quote string) string {
	out := []byte{'"'}
	for i := range len(text) {
		switch text[i] {
		case '"':
			out = append(out, quote...)
		case '\\':
			out = append(out, `\\`...)
		default:
			out = append(out, text[i])
		}
	}
	return string(append(out, '"'))
}
