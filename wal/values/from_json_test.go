package values_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/wal/values"
)

// What to_jsonb makes of a value comes back from its text as the same JSON, for every type that has a way back.
func TestFromJSONIsTheWayBack(t *testing.T) {
	conn := connect(t, orderSchema()...)
	generators := generators()
	names := slices.Sorted(maps.Keys(generators))
	oids := typeOIDs(t, conn, names...)
	catalog := values.NewCatalog(values.Options{})
	if err := catalog.Load(t.Context(), conn, oids); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		from, encode := catalog.FromJSON(oids[i]), catalog.Encoder(oids[i])
		if from == nil {
			continue
		}
		t.Run(name, rapid.MakeCheck(func(rt *rapid.T) {
			row := textRow(t.Context(), rt, conn, "with r as (select "+generators[name].Draw(rt, "value")+" as v) select to_jsonb(v) from r")
			if row[0] == nil {
				return
			}
			text, quoted := string(row[0]), row[0][0] == '"'
			if quoted {
				if err := json.Unmarshal(row[0], &text); err != nil {
					rt.Fatal(err)
				}
			}
			back, ok := from(text, quoted)
			var got, want any
			parseJSON(rt, row[0], &want)
			if ok {
				parseJSON(rt, encode(nil, []byte(back)), &got)
			}
			if !ok || !sameJSON(got, want) {
				rt.Errorf("%s comes back as %q (%t)", row[0], back, ok)
			}
		}))
	}
}

func TestFromJSONRefusesWhatIsNoneOfTheType(t *testing.T) {
	catalog := values.NewCatalog(values.Options{})
	const smallint, integer, boolean, numeric, text, document, integers = 21, 23, 16, 1700, 25, 3802, 1007
	for _, c := range []struct {
		oid    uint32
		text   string
		quoted bool
		want   string // empty: refused
	}{
		{smallint, "32767", false, "32767"}, {smallint, "32768", false, ""}, {integer, "42", true, "42"}, {integer, "+42", true, "42"},
		{integer, "4.2", false, ""}, {integer, "true", false, ""}, {integer, "", true, ""},
		{boolean, "true", false, "t"}, {boolean, "f", true, "f"}, {boolean, "1", false, ""},
		{numeric, "1.50", false, "1.50"}, {numeric, "NaN", true, "NaN"}, {numeric, "x", true, ""}, {numeric, "", true, ""},
		{text, "7", true, "7"}, {text, "7", false, ""}, {text, "a\x00b", true, ""},
	} {
		got, ok := catalog.FromJSON(c.oid)(c.text, c.quoted)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("type %d, %q: %q %t, want %q", c.oid, c.text, got, ok, c.want)
		}
	}
	for _, oid := range []uint32{document, integers} {
		if catalog.FromJSON(oid) != nil {
			t.Errorf("type %d has a way back", oid)
		}
	}
	if got, ok := catalog.FromJSON(4_000_000)(strings.Repeat("x", 10), true); !ok || got != "xxxxxxxxxx" {
		t.Errorf("an unknown type: %q %t", got, ok)
	}
}
