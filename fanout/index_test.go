package fanout

import (
	"fmt"
	"testing"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// TestIndexAgainstAMap holds the index to a naive one: whatever clients subscribe to and leave, each topic and each
// spelling of it is there exactly as long as somebody has it, and each subscription is at its place.
func TestIndexAgainstAMap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h, err := NewHub(Options{QueueBytes: 1 << 24, Log: zap.NewNop(), Channels: []Channel{
			{Name: "message", Schema: "public", Table: "message", Scopes: []Scope{{Column: "conversation_id", Type: Int8}, {Column: "author_id", Type: Int8}}},
			{Name: "orders", Schema: "public", Table: "orders", Scopes: []Scope{{Column: "id", Type: Text}}},
		}})
		if err != nil {
			r.Fatal(err)
		}
		type place struct {
			channel, column string
			value           int
		}
		clients := []*Client{h.Attach(nil), h.Attach(nil), h.Attach(nil)}
		naive := map[*Client]map[place]string{} // to the spelling
		draw := func(r *rapid.T) (*Client, place, protocol.Scope) {
			at := rapid.SampledFrom([]place{{"message", "conversation_id", 0}, {"message", "author_id", 0}, {"orders", "id", 0}}).Draw(r, "column")
			at.value = rapid.IntRange(1, 3).Draw(r, "value")
			value := fmt.Sprintf(rapid.SampledFrom([]string{`%d`, `"%d"`}).Draw(r, "spelling"), at.value)
			raw := fmt.Sprintf(`{"col":%q,"value":%s}`, at.column, value)
			return rapid.SampledFrom(clients).Draw(r, "client"), at, protocol.Scope{Col: at.column, Value: []byte(value), Raw: []byte(raw)}
		}
		r.Repeat(map[string]func(*rapid.T){
			"subscribe": func(r *rapid.T) {
				c, at, scope := draw(r)
				if err := c.Subscribe(at.channel, scope); err != nil {
					r.Fatal(err)
				}
				if naive[c] == nil {
					naive[c] = map[place]string{}
				}
				naive[c][at] = string(scope.Raw)
			},
			"unsubscribe": func(r *rapid.T) {
				c, at, scope := draw(r)
				if err := c.Unsubscribe(at.channel, scope); err != nil {
					r.Fatal(err)
				}
				delete(naive[c], at)
			},
			"detach": func(r *rapid.T) {
				i := rapid.IntRange(0, len(clients)-1).Draw(r, "client")
				clients[i].Detach()
				delete(naive, clients[i])
				clients[i] = h.Attach(nil)
			},
			"": func(r *rapid.T) {
				want := map[string]map[*Client]bool{} // subscribers by place and spelling
				total := 0
				for c, subs := range naive {
					for at, echo := range subs {
						key := fmt.Sprint(at, echo)
						if want[key] == nil {
							want[key] = map[*Client]bool{}
						}
						want[key][c] = true
						total++
					}
				}
				if h.subscriptions != total || len(h.clients) != len(clients) {
					r.Fatalf("%d subscriptions of %d clients, want %d of %d", h.subscriptions, len(h.clients), total, len(clients))
				}
				for _, ch := range h.registry.byName {
					for _, index := range ch.scopes {
						for value, topic := range index.topics {
							if topic.groups == nil {
								r.Fatalf("topic %s of %s is empty", value, ch.Name)
							}
							for g := range topic.all() {
								var v int
								_, _ = fmt.Sscan(value, &v)
								key := fmt.Sprint(place{ch.Name, index.Column, v}, string(g.scope()))
								if len(g.subs) == 0 || len(g.subs) != len(want[key]) {
									r.Fatalf("%s has %d subscribers, want %d", key, len(g.subs), len(want[key]))
								}
								for i, s := range g.subs {
									if int(s.at) != i || s.group != g || s.client.subs[topic] != s || !want[key][s.client] {
										r.Fatalf("%s: subscriber %d is misplaced", key, i)
									}
								}
								delete(want, key)
							}
						}
					}
				}
				if len(want) > 0 {
					r.Fatalf("not in the index: %v", want)
				}
			},
		})
	})
}
