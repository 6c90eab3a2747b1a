package integration_test

import (
	"strings"
	"testing"
)

// The other tests are worth what the strict client refuses.
func TestTheStrictClientRefusesWhatDoesNotFit(t *testing.T) {
	const (
		about      = `"channel":"message","scope":{"col":"conversation_id","value":1}`
		subscribed = `{"type":"subscribed",` + about + `}`
		change     = `{"type":"change",` + about + `,"event":{"schemaName":"public","tableName":"message",`
		one        = `"primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"a"}`
		insert     = change + `"type":"afterInsert",` + one + `}}`
		remove     = change + `"type":"afterDelete",` + one + `}}`
	)
	for name, each := range map[string]struct {
		frames []string
		want   string // "" where all fit
	}{
		"all in order": {[]string{subscribed, insert,
			change + `"type":"afterUpdate","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"b"},"changed":{"body":"b"}}}`,
			change + `"type":"afterDelete","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"b"}}}`, insert}, ""},
		"change before subscribed":  {[]string{insert}, "before the subscription"},
		"insert of a known row":     {[]string{subscribed, insert, insert}, "which is there"},
		"delete of an unknown row":  {[]string{subscribed, remove}, "which is not there"},
		"delete of another image":   {[]string{subscribed, insert, strings.Replace(remove, `"a"`, `"b"`, 1)}, "which was"},
		"update of an unknown row":  {[]string{subscribed, change + `"type":"afterUpdate",` + one + `,"changed":{}}}`}, "which is not there"},
		"update without changed":    {[]string{subscribed, insert, change + `"type":"afterUpdate",` + one + `}}`}, "has changed"},
		"insert with changed":       {[]string{subscribed, change + `"type":"afterInsert",` + one + `,"changed":{}}}`}, "has changed"},
		"changed what has not":      {[]string{subscribed, insert, change + `"type":"afterUpdate",` + one + `,"changed":{"body":"a"}}}`}, "really changed"},
		"not changed what has":      {[]string{subscribed, insert, change + `"type":"afterUpdate","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"b"},"changed":{}}}`}, "really changed"},
		"row of a foreign scope":    {[]string{subscribed, strings.Replace(insert, `"conversation_id":1,"body"`, `"conversation_id":2,"body"`, 1)}, "in a view of 1"},
		"snapshot of one":           {[]string{subscribed, `{"type":"snapshot",` + about + `,"rows":[{"id":1,"conversation_id":2}]}`}, "in a view of 1"},
		"a row twice":               {[]string{subscribed, `{"type":"snapshot",` + about + `,"rows":[{"id":1,"conversation_id":1},{"id":1,"conversation_id":1}]}`}, "twice"},
		"key that is not the row's": {[]string{subscribed, strings.Replace(insert, `"primaryKey":{"id":1}`, `"primaryKey":{"id":2}`, 1)}, "primary key"},
		"unknown subscription":      {[]string{strings.Replace(subscribed, `"value":1`, `"value":2`, 1)}, "no subscription"},
		"unknown member":            {[]string{strings.Replace(subscribed, `}}`, `},"cursor":"x"}`, 1)}, "unknown field"},
		"an error frame":            {[]string{`{"type":"error","code":"forbidden"}`}, "no subscription"},
		"no event":                  {[]string{subscribed, `{"type":"change",` + about + `,"events":[]}`}, "without an event"},
	} {
		t.Run(name, func(t *testing.T) {
			const scope = `{"col":"conversation_id","value":1}`
			c := &client{t: t, views: map[string]*view{"message" + scope: newView("message", scope, "conversation_id", "1")}}
			var err error
			for _, frame := range each.frames {
				if err != nil {
					t.Fatalf("before the last frame: %v", err)
				}
				err = c.apply([]byte(frame))
			}
			switch {
			case each.want == "" && err != nil:
				t.Error(err)
			case each.want != "" && (err == nil || !strings.Contains(err.Error(), each.want)):
				t.Errorf("error %v, want one that says %q", err, each.want)
			}
		})
	}
}
