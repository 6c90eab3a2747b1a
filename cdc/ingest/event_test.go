package ingest_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc/ingest"
)

func TestParse(t *testing.T) {
	insert := ingest.Event{
		Type: ingest.AfterInsert, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":1}`), Row: []byte(`{ "id" : 1 }`),
	}
	for name, c := range map[string]struct {
		payload string
		want    []ingest.Event
	}{
		"an event": {`{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey": {"id":1},"row":{ "id" : 1 }}`, []ingest.Event{insert}},
		"an array, white space and what is unknown": {
			" [ {\"x\":[{}],\n\"row\" :\t{ \"id\" : 1 },\"type\":\"after\\u0049nsert\",\"schemaName\":\"public\",\"tableName\":\"message\",\"primaryKey\":{\"id\":1}} ,{}] ",
			[]ingest.Event{insert, {}}},
		"null is what is missing": {`{"type":"afterUpdate","row":{},"changed":null,"before":null,"primaryKey":null}`,
			[]ingest.Event{{Type: ingest.AfterUpdate, Row: []byte(`{}`)}}},
		"all that an update may have": {`{"type":"afterUpdate","changed":{},"before":{"a":null},"incomplete":true}`,
			[]ingest.Event{{Type: ingest.AfterUpdate, Changed: []byte(`{}`), Before: []byte(`{"a":null}`), Incomplete: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ingest.Parse([]byte(c.payload))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestParseSaysWhereAPayloadGoesWrong(t *testing.T) {
	for name, c := range map[string]struct{ payload, want string }{
		"nothing":            {``, "malformed at byte 0: the text ends too early"},
		"cut short":          {`[{"type":"after`, "malformed at byte 15: the text ends too early"},
		"a missing comma":    {`{"a":1 "b":2}`, "malformed at byte 7: not JSON in UTF-8"},
		"no UTF-8":           {"{\"a\":\"\xff\"}", "malformed at byte 6: not JSON in UTF-8"},
		"a lone surrogate":   {`{"a":"\ud800"}`, "malformed at byte 6: not JSON in UTF-8"},
		"a name twice":       {`{"row":{"a":1,"a":2}}`, "malformed at byte 14: a member name occurs twice"},
		"more behind":        {`{} {}`, "malformed at byte 4: more than white space behind the value"},
		"a text":             {`"event"`, "malformed at byte 0: neither an event nor an array of events"},
		"too deep":           {`{"row":{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}}`, "malformed at byte 523: nested too deep"},
		"an array of arrays": {`[[]]`, "event 0: the event is no object"},
		"an empty array":     {`[]`, "event 0: the array has no event"},
		"the second's row":   {`[{},{"row":1}]`, "event 1: row is no object"},
		"a type":             {`{"type":7}`, "event 0: type is no string"},
		"incomplete":         {`{"incomplete":"yes"}`, "event 0: incomplete is neither true nor false"},
		"too much":           {strings.Repeat(" ", ingest.MaxBytes) + `{}`, "malformed at byte 0: more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := ingest.Parse([]byte(c.payload))
			var known *ingest.Error
			if !errors.As(err, &known) || err.Error() != c.want || events != nil {
				t.Errorf("got %v, %v\nwant %s", events, err, c.want)
			}
		})
	}
}
