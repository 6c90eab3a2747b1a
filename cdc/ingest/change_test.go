package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
)

const message, typing = `"schemaName":"public","tableName":"message"`, `"schemaName":"public","tableName":"typing"`

func TestWhatEventsComeTo(t *testing.T) {
	for name, c := range map[string]struct{ event, want string }{
		"insert": {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1},"row":{"id":1,"room_id":7,"body":"a","tags":["x", 1.50],"private":null}}`,
			`insert message none -> [id*:1 room_id:7 private:NULL body:"a" tags:["x",1.50]]`},
		"the whole row in primaryKey": {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":"1","room_id":7,"body":"a"}}`,
			`insert message none -> [id*:1 room_id:7 body:"a"]`},
		"row goes before primaryKey": {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1,"room_id":7,"body":"a"},"row":{"id":1,"room_id":8}}`,
			`insert message none -> [id*:1 room_id:8 body:"a"]`},
		"columns that the catalog does not have": {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1},"row":{"room_id":7,"z":{"a":null},"a":"x"}}`,
			`insert message none -> [id*:1 room_id:7 a:"x" z:{"a":null}]`},
		"update that says what changed": {`{"type":"afterUpdate",` + message + `,"primaryKey":{"id":1},"row":{"room_id":7,"body":"b","private":"t"},"changed":{"body":"b"}}`,
			`update message [id*:1 room_id:7 private:"t"] -> [id*:1 room_id:7 private:"t" body:"b"]`},
		"update that does not: scopes and what filters look at stayed": {`{"type":"afterUpdate",` + message + `,"primaryKey":{"id":1},"row":{"room_id":7,"body":"b","private":"t"}}`,
			`update message [id*:1 room_id:7 private:"t"] -> [id*:1 room_id:7 private:"t" body:"b"]`},
		"update with old values": {`{"type":"afterUpdate",` + message + `,"primaryKey":{"id":1},"row":{"room_id":8,"body":"b"},"changed":{"room_id":8},"before":{"room_id":7}}`,
			`update message [id*:1 room_id:7 body:"b"] -> [id*:1 room_id:8 body:"b"]`},
		"update with old values alone": {`{"type":"afterUpdate",` + message + `,"primaryKey":{"id":1},"row":{"room_id":8,"body":"b"},"before":{"room_id":7}}`,
			`update message [id*:1 room_id:7 body:"b"] -> [id*:1 room_id:8 body:"b"]`},
		"update of a scope whose old value is not told": {`{"type":"afterUpdate",` + message + `,"primaryKey":{"id":1},"row":{"body":"b"},"changed":{"room_id":8}}`,
			`update message [id*:1 body:"b"] -> [id*:1 room_id:8 body:"b"]`},
		"deletion": {`{"type":"afterDelete",` + message + `,"primaryKey":{"id":1},"row":{"room_id":7}}`,
			`delete message [id*:1 room_id:7] -> none`},
		"deletion of which the key alone is told": {`{"type":"afterDelete",` + message + `,"primaryKey":{"id":1}}`, `delete message [id*:1] -> none`},
		"incomplete": {`{"type":"afterInsert",` + message + `,"incomplete":true}`, `update message [] -> []`},
		"no table: all of primaryKey is the key": {`{"type":"afterInsert",` + typing + `,"primaryKey":{"room":1,"user":"ann"},"row":{"since":[1]}}`,
			`insert typing none -> [room*:1 since:[1] user*:"ann"]`},
		"a scope is written as it came: number":  {`{"type":"afterInsert",` + typing + `,"primaryKey":{"id":1},"row":{"room":1.50}}`, `insert typing none -> [room:1.50 id*:1]`},
		"a scope is written as it came: boolean": {`{"type":"afterInsert",` + typing + `,"primaryKey":{"id":1},"row":{"room":true}}`, `insert typing none -> [room:true id*:1]`},
		"a scope is written as it came: string":  {`{"type":"afterInsert",` + typing + `,"primaryKey":{"id":1},"row":{"room":"1"}}`, `insert typing none -> [room:"1" id*:1]`},
		"a string before a number": {`{"type":"afterUpdate",` + typing + `,"primaryKey":{"id":1},"row":{"room":1},"before":{"room":"a\"b"}}`,
			`update typing [room:"a\"b" id*:1] -> [room:1 id*:1]`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if err := f.emit(t, c.event); err != nil {
				t.Fatal(err)
			}
			if got := f.transactions[0][0]; got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWhatIsNoEvent(t *testing.T) {
	for name, c := range map[string]struct{ event, want string }{
		"no type":      {`{` + message + `,"primaryKey":{"id":1}}`, "invalid: event 0: of public.message: type is none of afterInsert, afterUpdate and afterDelete"},
		"no key":       {`{"type":"afterDelete",` + message + `}`, `invalid: event 0: of public.message: neither primaryKey nor row has "id", which is part of the primary key`},
		"no free key":  {`{"type":"afterDelete",` + typing + `,"row":{"room":1}}`, "invalid: event 0: of public.typing: primaryKey is missing"},
		"no scope":     {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1}}`, `invalid: event 0: of public.message: row has no "room_id", by which clients subscribe`},
		"another type": {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1},"row":{"room_id":"x"}}`, `invalid: event 0: of public.message: column "room_id" has a value that is none of its type`},
		"an object":    {`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1},"row":{"room_id":{}}}`, `invalid: event 0: of public.message: column "room_id" has a value that is none of its type`},
		"before":       {`{"type":"afterUpdate",` + message + `,"primaryKey":{"id":1},"row":{"room_id":7},"before":{"room_id":[]}}`, `invalid: event 0: of public.message: before: column "room_id" has a value that is none of its type`},
		"unknown":      {`[{"type":"afterDelete",` + message + `,"primaryKey":{"id":1}},{"schemaName":"public","tableName":"orders"}]`, `unknown_table: event 1: table "public"."orders" is not served: give it an entry under reactive with source: hook`},
		"captured":     {`{"schemaName":"public","tableName":"conversation"}`, `wrong_source: event 0: table "public"."conversation" is captured from the log`},
		"notifies":     {`{"schemaName":"public","tableName":"room"}`, `wrong_source: event 0: table "public"."room" has source: notify in its entry under reactive, so that its events cannot come by hook`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			err := f.emit(t, c.event)
			if got := fmt.Sprintf("%s: %v", kindOf(err), err); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(f.transactions) > 0 || f.Stats().Errors[ingest.Hook] != 1 {
				t.Errorf("%v was delivered, stats %+v", f.transactions, f.Stats())
			}
		})
	}
}

// From Go the objects are whatever somebody wrote.
func TestObjectsFromGoAreChecked(t *testing.T) {
	for _, bad := range []string{`[]`, `{"id":1`, `{"id":1}{}`, `{"id":1,"id":2}`, ``, `x`} {
		f := newFixture(t)
		_, err := f.Emit(t.Context(), ingest.Event{
			Type: ingest.AfterInsert, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":1}`), Row: []byte(bad),
		})
		if kindOf(err) != ingest.Invalid || !strings.Contains(err.Error(), "row: ") {
			t.Errorf("row %q: %v", bad, err)
		}
	}
}

// Whoever prepares for a description of a table does it once for all events that are alike.
func TestEventsThatAreAlikeShareTheirTable(t *testing.T) {
	f := newFixture(t)
	for range 2 {
		for _, row := range []string{`{"room":1}`, `{"room":"1"}`, `{"room":1,"x":1}`, `{"room":1,"x":[],"id":4}`} {
			if err := f.emit(t, `{"type":"afterInsert",`+typing+`,"primaryKey":{"id":1},"row":`+row+`}`); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 4 {
		if f.tables[i] != f.tables[i+4] {
			t.Errorf("description %d is another the second time", i)
		}
	}
	distinct := map[*cdc.Table]bool{}
	for i := range 1000 {
		if err := f.emit(t, fmt.Sprintf(`{"type":"afterInsert",%s,"primaryKey":{"id":1},"row":{"room":1,"x%d":1}}`, typing, i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range f.tables {
		distinct[table] = true
	}
	if len(distinct) < 1000 {
		t.Errorf("%d descriptions of a thousand", len(distinct))
	}
}

// FuzzEvents: nothing panics, what is refused reaches nobody, and every value of what is delivered is JSON.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		`{"type":"afterInsert",` + message + `,"primaryKey":{"id":1,"room_id":7},"row":{"room_id":7,"tags":[1,{"a":"b"}],"more":null}}`,
		`[{"type":"afterUpdate",` + typing + `,"primaryKey":{"id":1},"row":{"room":1},"changed":{"room":"x"},"before":{"room":"\u0000"}},` +
			`{"type":"afterDelete",` + message + `,"primaryKey":{"id":1}}]`,
		`{"type":"afterDelete",` + message + `,"incomplete":true}`,
		`{"type":"afterInsert",` + typing + `,"row":{"room":1e400},"primaryKey":{"room":[]}}`,
		"[{\"a\":\"\xff\"}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		x := newFixture(t)
		events, err := ingest.Parse(payload)
		if err != nil {
			if kindOf(err) == "" || events != nil {
				t.Fatalf("%v, %v", events, err)
			}
			return
		}
		_, err = x.Emit(t.Context(), events...)
		if (err == nil) != (len(x.transactions) == 1) || err != nil && kindOf(err) == "" {
			t.Fatalf("%d transactions, error %v", len(x.transactions), err)
		}
		for _, text := range x.encoded {
			if !json.Valid(text) || bytes.ContainsFunc(text, func(r rune) bool { return r < 0x20 }) {
				t.Fatalf("%q is no JSON that a frame may have", text)
			}
		}
	})
}
