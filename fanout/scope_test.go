package fanout_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// scopeTypes are the types as PostgreSQL calls them.
func scopeTypes() map[string]fanout.ScopeType {
	return map[string]fanout.ScopeType{
		"int2": fanout.Int2, "int4": fanout.Int4, "int8": fanout.Int8, "uuid": fanout.UUID, "bool": fanout.Bool, "text": fanout.Text,
	}
}

const uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

// accepted are texts that a client may write, with the one that PostgreSQL prints.
var accepted = []struct {
	kind       string
	text, want string
}{
	{"int2", "42", "42"},
	{"int2", "-32768", "-32768"},
	{"int2", "32767", "32767"},
	{"int4", "2147483647", "2147483647"},
	{"int4", "-2147483648", "-2147483648"},
	{"int8", "42", "42"},
	{"int8", "0042", "42"},
	{"int8", "+42", "42"},
	{"int8", "-0", "0"},
	{"int8", "9007199254740992", "9007199254740992"},
	{"int8", "9007199254740993", "9007199254740993"},
	{"int8", "9223372036854775807", "9223372036854775807"},
	{"int8", "-9223372036854775808", "-9223372036854775808"},
	{"uuid", uuid, uuid},
	{"uuid", strings.ToUpper(uuid), uuid},
	{"uuid", "{" + uuid + "}", uuid},
	{"uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11", uuid},
	{"uuid", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", uuid},
	{"uuid", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", uuid},
	{"bool", "true", "t"},
	{"bool", "t", "t"},
	{"bool", "false", "f"},
	{"bool", "f", "f"},
	{"text", "", ""},
	{"text", " a ", " a "},
	{"text", "Zoë 😀", "Zoë 😀"},
	{"text", "Zoe\u0308", "Zoe\u0308"}, // not composed: another text than Zoë
	{"text", "42", "42"},
}

// refused are texts that are no value of the type, to PostgreSQL neither.
var refused = []struct{ kind, text string }{
	{"int2", "32768"}, {"int2", "-32769"},
	{"int4", "2147483648"},
	{"int8", "9223372036854775808"}, {"int8", "-9223372036854775809"},
	{"int8", ""}, {"int8", "42.0"}, {"int8", "4.2e1"}, {"int8", "true"}, {"int8", "4 2"}, {"int8", "--4"}, {"int8", "٤٢"}, {"int8", "NaN"},
	{"uuid", ""}, {"uuid", "{"}, {"uuid", "{}"}, {"uuid", "}" + uuid + "{"}, {"uuid", "{" + uuid}, {"uuid", uuid + "}"}, {"uuid", "{{" + uuid + "}}"},
	{"uuid", uuid[1:]}, {"uuid", uuid + "0"}, {"uuid", "-" + uuid}, {"uuid", uuid + "-"},
	{"uuid", "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11"}, {"uuid", "a0-eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {"uuid", "g" + uuid[1:]},
	{"bool", ""}, {"bool", "2"}, {"bool", "null"}, {"bool", "truetrue"},
	{"text", "a\x00b"}, {"text", "\xff"},
}

func TestCanonical(t *testing.T) {
	types := scopeTypes()
	for _, tc := range accepted {
		if got, ok := types[tc.kind].Canonical(tc.text); !ok || got != tc.want {
			t.Errorf("%s %q: %q, %v, want %q", tc.kind, tc.text, got, ok, tc.want)
		}
	}
	for _, tc := range refused {
		if got, ok := types[tc.kind].Canonical(tc.text); ok {
			t.Errorf("%s %q: taken for %q", tc.kind, tc.text, got)
		}
	}
	if _, ok := fanout.Text.Canonical(strings.Repeat("x", 1024)); !ok {
		t.Error("a text of 1,024 bytes is refused")
	}
	for kind, scope := range types {
		if _, ok := scope.Canonical(strings.Repeat("0", 1025)); ok {
			t.Errorf("%s: a text of 1,025 bytes is accepted", kind)
		}
	}
	if _, ok := fanout.ScopeType(0).Canonical("42"); ok {
		t.Error("no type accepts a value")
	}
}

// printed returns what PostgreSQL prints, as pgoutput does, for a value written as text; false where it refuses.
func printed(t testing.TB, conn *pgx.Conn, kind, text string) (string, bool) {
	t.Helper()
	result := conn.PgConn().ExecParams(t.Context(), "select $1::text::"+kind, [][]byte{[]byte(text)}, nil, nil, nil).Read()
	if refusal := (*pgconn.PgError)(nil); errors.As(result.Err, &refusal) {
		return "", false
	}
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	return string(result.Rows[0][0]), true
}

func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestW11CanonicalIsWhatPostgresPrints(t *testing.T) {
	conn := connect(t)
	for _, tc := range accepted {
		if got, ok := printed(t, conn, tc.kind, tc.text); !ok || got != tc.want {
			t.Errorf("%s %q: PostgreSQL prints %q, %v, the test wants %q", tc.kind, tc.text, got, ok, tc.want)
		}
	}
	for _, tc := range refused {
		if got, ok := printed(t, conn, tc.kind, tc.text); ok {
			t.Errorf("%s %q: PostgreSQL takes it for %q", tc.kind, tc.text, got)
		}
	}
	types := scopeTypes()
	text := map[string]*rapid.Generator[string]{
		"int2": rapid.StringMatching(`[+-]?[0-9]{0,6}`),
		"int4": rapid.StringMatching(`[+-]?[0-9]{0,11}`),
		"int8": rapid.StringMatching(`[+-]?0{0,3}[0-9]{0,20}`),
		"uuid": rapid.StringMatching(`\{?([0-9a-fA-F]{4}-?){8}\}?`),
		"bool": rapid.StringMatching(`t|f|true|false|T|FALSE|0|1|yes|no`),
		"text": rapid.String(),
	}
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom([]string{"int2", "int4", "int8", "uuid", "bool", "text"}).Draw(r, "kind")
		value := text[kind].Draw(r, "text")
		got, ok := types[kind].Canonical(value)
		want, valid := printed(t, conn, kind, value)
		if ok && (!valid || got != want) {
			r.Fatalf("%s %q: %q, PostgreSQL prints %q, %v", kind, value, got, want, valid)
		}
		// What PostgreSQL prints is always accepted: a client may send back what it was shown.
		if valid && len(want) <= 1024 {
			if again, ok := types[kind].Canonical(want); !ok || again != want {
				r.Fatalf("%s %q, as PostgreSQL prints it: %q, %v", kind, want, again, ok)
			}
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for _, tc := range accepted {
		f.Add(tc.text)
	}
	for _, tc := range refused {
		f.Add(tc.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for kind, scope := range scopeTypes() {
			value, ok := scope.Canonical(text)
			if !ok {
				continue
			}
			if again, ok := scope.Canonical(value); !ok || again != value {
				t.Errorf("%s: %q became %q, and that %q, %v", kind, text, value, again, ok)
			}
			if !utf8.ValidString(value) {
				t.Errorf("%s: %q became %q", kind, text, value)
			}
		}
	})
}
