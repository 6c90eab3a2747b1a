package integration_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
)

// The oracle is worth what it notices.
func TestTheOracleNoticesWhatIsWrong(t *testing.T) {
	const (
		journal = `"channel":"journal","scope":{"col":"book","value":1}`
		items   = `"channel":"items","scope":{"col":"order_id","value":1}`
		entry   = `{"type":"afterInsert","schemaName":"public","tableName":"journal","primaryKey":{"transaction":%[1]d},"row":{"transaction":%[1]d,"book":1}}`
		bread   = `{"type":"afterInsert","schemaName":"public","tableName":"order_item","primaryKey":{"order_id":1,"line":1},"row":{"order_id":1,"line":1,"note":"token:1.1;"}}`
		cake    = `{"type":"afterInsert","schemaName":"public","tableName":"order_item","primaryKey":{"order_id":1,"line":2},"row":{"order_id":1,"line":2,"note":"token:%s;"}}`
	)
	subscribed := func(about string) string { return `{"type":"subscribed",` + about + `,"cursor":"a"}` }
	snapshot := func(about string) string { return `{"type":"snapshot",` + about + `,"cursor":"a","rows":[]}` }
	begin := []string{subscribed(journal), snapshot(journal), subscribed(items), snapshot(items)}
	transaction := func(number int, events ...string) string {
		part := ""
		if len(events) > 0 {
			part = `{` + items + `,"events":[` + strings.Join(events, ",") + `]},`
		}
		return fmt.Sprintf(`{"type":"transaction","cursor":"b","commitTime":"2026-01-01T00:00:00Z","changes":[%s{%s,"events":[%s]}]}`, part, journal, fmt.Sprintf(entry, number))
	}
	for name, each := range map[string]struct {
		frames []string
		want   misfit
	}{
		"all in order":          {[]string{transaction(1, bread), transaction(3), transaction(2, fmt.Sprintf(cake, "2.1"))}, ""},
		"a change lost":         {[]string{transaction(1, bread), transaction(3), transaction(2)}, lost},
		"a change early":        {[]string{transaction(1, bread, fmt.Sprintf(cake, "2.1")), transaction(3), transaction(2)}, lost},
		"a change twice":        {[]string{transaction(1, bread, bread)}, duplicated},
		"a transaction twice":   {[]string{transaction(1, bread), transaction(1)}, duplicated},
		"not in commit order":   {[]string{transaction(1, bread), transaction(2, fmt.Sprintf(cake, "2.1")), transaction(3)}, disordered},
		"never committed":       {[]string{transaction(1, bread), transaction(4)}, duplicated},
		"what was rolled back":  {[]string{transaction(1, bread), transaction(3), transaction(2, fmt.Sprintf(cake, "9.9"))}, leaked},
		"a row of another view": {[]string{transaction(1, bread), transaction(3), transaction(2, fmt.Sprintf(cake, "3.1"))}, leaked},
		"an excluded column":    {[]string{transaction(1, strings.Replace(bread, `"line":1,"note"`, `"line":1,"secret":"x","note"`, 1))}, leaked},
		"a wrong old value": {[]string{transaction(1, bread,
			`{"type":"afterUpdate","schemaName":"public","tableName":"order_item","primaryKey":{"order_id":1,"line":1},"row":{"order_id":1,"line":1,"note":"token:2.1;"},"changed":{"note":"token:2.1;"},"before":{"note":"x"}}`)}, lost},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSubscriber("client", "ada", []definition{{"journal", "journal", "book", "1", "ada"}, {"items", "order_item", "order_id", "1", "ada"}})
			s.begun, s.restless, s.random = &atomic.Int64{}, &atomic.Bool{}, rand.New(rand.NewPCG(1, 1))
			w := watched(t, s, []rowChange{
				{1, "order_item", nil, row{"order_id": []byte("1"), "line": []byte("1"), "note": []byte(`"token:1.1;"`)}},
				{3, "order_item", nil, row{"order_id": []byte("2"), "line": []byte("1"), "note": []byte(`"token:3.1;"`)}},
				{2, "order_item", nil, row{"order_id": []byte("1"), "line": []byte("2"), "note": []byte(`"token:2.1;"`)}},
			})
			s.open(extendedProtocol)
			var err error
			for _, frame := range append(begin, each.frames...) {
				if _, _, err = s.take([]byte(frame)); err != nil {
					break
				}
			}
			if err == nil {
				_, err = s.judge(w)
			}
			var got misfit
			if errors.As(err, &got); got != each.want || each.want == "" && err != nil {
				t.Errorf("%v, want %q", err, each.want)
			}
		})
	}
}

// watched is a twin that has seen transactions, in commit order.
func watched(t *testing.T, s *subscriber, changes []rowChange) *twin {
	w := emptyTwin()
	for _, v := range s.views {
		w.watch(v.definition)
	}
	w.forget()
	for _, c := range changes {
		entry := row{"transaction": fmt.Append(nil, c.transaction), "book": []byte("1")}
		if err := w.commit(c.transaction, []rowChange{c, {c.transaction, "journal", nil, entry}}); err != nil {
			t.Fatal(err)
		}
	}
	w.committedAll()
	return w
}
