package wal

import (
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Every byte of every encoding of the server's in which a byte is a character comes to what the server makes of it, or to
// nothing where it makes an error of it. An encoding that is missing here is refused at the start.
func TestP85EveryByteIsDecodedAsTheServerDoes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `select pg_encoding_to_char(e) from generate_series(0, 34) e
		where pg_encoding_max_length(e) = 1 and pg_encoding_to_char(e) <> 'SQL_ASCII'`)
	if err != nil {
		t.Fatal(err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(known) != strings.Count(encodings, "\n") {
		t.Fatalf("error %v, the server has %d encodings: %q", err, len(known), known)
	}
	for _, encoding := range known {
		d, ok := newDecoder(encoding)
		if !ok {
			t.Errorf("%s is not decoded", encoding)
			continue
		}
		for b := 1; b < 256; b++ {
			var want string
			err := conn.QueryRow(t.Context(), "select convert_from($1::bytea, $2)", []byte{byte(b)}, encoding).Scan(&want)
			if err != nil && !hasCode(err, pgerrcode.UntranslatableCharacter) && !hasCode(err, pgerrcode.CharacterNotInRepertoire) {
				t.Fatal(err)
			}
			got, ok := d.append(nil, []byte{byte(b)})
			if ok != (err == nil) || ok && string(got) != want {
				t.Errorf("%s %02x is %q, %t; the server says %q, %v", encoding, b, got, ok, want, err)
			}
			if ok && d.encode(want) != string([]byte{byte(b)}) {
				t.Errorf("%s %02x is encoded as %x", encoding, b, d.encode(want))
			}
		}
	}
}

func TestP85RowsAreDecoded(t *testing.T) {
	t.Parallel()
	d, _ := newDecoder("WIN1252")
	for name, c := range map[string]struct {
		before, after, wantBefore, wantAfter cdc.Row
		bad                                  bool
	}{
		"plain":       {before: image("a", nil), after: image("b", "?"), wantBefore: image("a", nil), wantAfter: image("b", "?")},
		"no old":      {after: image("\xe9t\xe9", nil, "?"), wantAfter: image("été", nil, "?")},
		"no new":      {before: image("\x80", ""), wantBefore: image("€", "")},
		"both":        {before: image("\xfc"), after: image("\xdf", strings.Repeat("\x80", 1000)), wantBefore: image("ü"), wantAfter: image("ß", strings.Repeat("€", 1000))},
		"hole":        {after: image("a", "\x81"), bad: true},
		"hole of old": {before: image("\x9d"), after: image("a"), bad: true},
	} {
		before, after, _, ok := d.rows(nil, c.before, c.after)
		if ok == c.bad || string(before) != string(c.wantBefore) || string(after) != string(c.wantAfter) || ok && (before == nil) != (c.before == nil) {
			t.Errorf("%s: %q, %q, %t", name, before, after, ok)
		}
	}
}
