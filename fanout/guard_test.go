package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// club is a table of members and what a database would say of it. It is a fanout.Guard.
type club struct {
	mu      sync.Mutex
	members map[string]bool // "42 ada"
	shown   uint64          // the last transaction that a query shows
	broken  bool            // it says of every question that there is no answer
	breaks  int             // of so many questions it says that there is no answer
	mute    chan struct{}   // if not nil, an answer comes when it is closed, and is the one of when it was asked
	asked   []string
	forgets int
	upto    cdc.LSN // where in the stream snapshots are
	// anywhere: of a change it is not known which scope it concerns.
	anywhere bool
}

// memberTable has (conversation_id, user).
func memberTable() *cdc.Table {
	return &cdc.Table{OID: 8, Schema: "public", Name: "member", Columns: []cdc.Column{
		{Name: "conversation_id", TypeOID: int8OID, Key: true, Identity: true}, {Name: "user", TypeOID: 25, Key: true, Identity: true},
	}}
}

func (c *club) Tables() []fanout.TableName {
	return []fanout.TableName{{Schema: "public", Name: "member"}}
}

func (c *club) Concerns(change *cdc.Change) (concerns []fanout.Concern) {
	if change.Op == cdc.Truncate {
		return []fanout.Concern{{}}
	}
	for _, image := range []cdc.Row{change.Before, change.After} {
		if image == nil {
			continue
		}
		user := string(image.Value(1).Text)
		concern := fanout.Concern{Client: func(viewer any, _ fanout.ScopeValue) bool { return viewer == user }}
		if !c.anywhere {
			concern.Column, concern.Value = "conversation_id", string(image.Value(0).Text)
		}
		concerns = append(concerns, concern)
	}
	return concerns
}

func (c *club) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
}

func (c *club) Authorize(ctx context.Context, viewer any, s fanout.ScopeValue) error {
	c.mu.Lock()
	question := s.Text + " " + viewer.(string)
	c.asked = append(c.asked, question)
	allowed, mute := c.members[question], c.mute
	broken := c.broken || c.breaks > 0
	c.breaks = max(0, c.breaks-1)
	c.mu.Unlock()
	if broken {
		return fmt.Errorf("ask: %w", errMuted)
	}
	if mute != nil {
		select {
		case <-mute:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !allowed {
		return errors.New("denied")
	}
	return nil
}

// silence is an error that says that there was no answer.
type silence struct{ error }

func (silence) Undecided() bool { return true }

var errMuted = silence{errors.New("the database does not answer")}

func (c *club) visible(context.Context) (cdc.Visibility, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cdc.Visibility{Min: c.shown + 1, Max: c.shown + 1}, nil
}

func (c *club) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *club) questions() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

// guarded is a feed whose hub runs, with a club in front of the conversations.
type guarded struct {
	*feed
	*club
}

func guardedFeed(t *testing.T, queueBytes int, test func(*testing.T, *guarded), adjust ...func(*fanout.Channel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{club: &club{members: map[string]bool{"42 ada": true, "42 bob": true, "43 ada": true}}}
		channel := conversations()
		channel.Guard = g.club
		for _, f := range adjust {
			f(&channel)
		}
		hub, err := fanout.NewHub(fanout.Options{
			Channels: []fanout.Channel{channel}, QueueBytes: queueBytes, Visible: g.visible, Log: zap.NewNop(), Snapshots: emptySnapshots{g.club},
		})
		if err != nil {
			t.Fatal(err)
		}
		g.feed = &feed{t: t, hub: hub}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { hub.Run(ctx) })
		defer running.Wait()
		defer cancel()
		test(t, g)
	})
}

// emptySnapshots shows no rows, and which transactions the club's queries do.
type emptySnapshots struct{ *club }

func (s emptySnapshots) Snapshot(ctx context.Context, _ fanout.View) (*cdc.Snapshot, error) {
	time.Sleep(time.Millisecond) // in the bubble: what is delivered right behind a subscription is there before it is read
	visibility, err := s.visible(ctx)
	return &cdc.Snapshot{Visibility: visibility, Upto: s.upto, Table: messages()}, err
}

func (s emptySnapshots) Visibility(ctx context.Context) (cdc.Visibility, error) {
	return s.visible(ctx)
}

// joins asks and subscribes, as a session does.
func (g *guarded) joins(user, scope string) *fanout.Client {
	g.t.Helper()
	c := g.hub.Attach(user)
	g.asks(c, scope)
	subscribe(g.t, c, "message", scope)
	return c
}

func (g *guarded) asks(c *fanout.Client, scope string) {
	g.t.Helper()
	if _, err := c.Ask("message", scopeOf(g.t, scope)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guarded) says(id int, body string) cdc.Change {
	return inserted(messages(), row(id, 42, 7, body, "s"))
}

func member(conversation int, user string) cdc.Row { return row(conversation, user) }

// got says what a client got: bodies of messages, and other frames by their types.
func (g *guarded) got(c *fanout.Client) string {
	g.t.Helper()
	synctest.Wait()
	frames, code := taken(g.t, c)
	var words []string
	for _, frame := range frames {
		_, body, isMessage := strings.Cut(frame, `"body":"`)
		body, _, _ = strings.Cut(body, `"`)
		switch {
		case isMessage:
			words = append(words, body)
		case strings.Contains(frame, `"error"`):
			words = append(words, strings.TrimSuffix(strings.TrimPrefix(frame, `{"type":"error","code":"`), `"}`))
		case strings.Contains(frame, `"snapshot"`):
			words = append(words, "snapshot")
		default:
			words = append(words, "subscribed")
		}
	}
	if code != 0 {
		words = append(words, fmt.Sprint(int(code)))
	}
	return strings.Join(words, " ")
}

func (g *guarded) wants(c *fanout.Client, want string) {
	g.t.Helper()
	if got := g.got(c); got != want {
		g.t.Errorf("got %q, want %q", got, want)
	}
}

// Whoever is removed gets what was committed before, forbidden, and nothing that was committed in the same transaction or
// later, however long the database takes to show the removal.
func TestARemovedMemberGetsNothingMore(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		ada, bob, elsewhere := g.joins("ada", in42), g.joins("bob", in42), g.joins("ada", in43)
		g.deliver(g.says(1, "before"))
		g.deliver(g.says(2, "with"), deleted(memberTable(), member(42, "ada")), g.says(3, "it"))
		for i := range 1000 {
			g.deliver(g.says(i+4, "after"))
		}
		g.wants(ada, "subscribed before")
		g.wants(bob, "subscribed before with it"+strings.Repeat(" after", 1000))
		if s := g.hub.Stats(); s.OnHold != 1 || s.QueueBytes == 0 || len(g.questions()) != 0 {
			t.Errorf("on hold %d, %d bytes, asked %v", s.OnHold, s.QueueBytes, g.questions())
		}
		g.set(func() { g.shown = 2; delete(g.members, "42 ada") })
		time.Sleep(time.Second)
		g.wants(ada, "forbidden")
		g.deliver(g.says(9, "more"), inserted(messages(), row(8, 43, 7, "elsewhere", "s")))
		g.wants(ada, "")
		g.wants(bob, "more")
		g.wants(elsewhere, "subscribed elsewhere")
		if s := g.hub.Stats(); s.OnHold != 0 || s.QueueBytes != 0 || s.Revoked != 1 || s.Subscriptions != 2 {
			t.Errorf("%+v", s)
		}
		g.set(func() {
			if g.forgets != 2 { // at once, and when it was visible
				t.Errorf("forgotten %d times", g.forgets)
			}
		})
		if asked := g.questions(); !slices.Equal(asked, []string{"42 ada"}) {
			t.Errorf("asked %v", asked)
		}
	})
}

// Whose membership is given back, or is another one's, goes on with nothing lost and in order.
func TestAMemberThatStaysLosesNothing(t *testing.T) {
	for name, changes := range map[string][]cdc.Change{
		"removed and given back": {deleted(memberTable(), member(42, "ada")), inserted(memberTable(), member(42, "ada"))},
		"one of two rows":        {deleted(memberTable(), member(42, "ada"))},
		"moved there":            {updated(memberTable(), member(7, "ada"), member(42, "ada"))},
		"truncated and refilled": {{Op: cdc.Truncate, Table: memberTable()}, inserted(memberTable(), member(42, "ada"))},
	} {
		t.Run(name, func(t *testing.T) {
			guardedFeed(t, 1<<20, func(_ *testing.T, g *guarded) {
				ada := g.joins("ada", in42)
				g.deliver(append([]cdc.Change{g.says(1, "a")}, append(changes, g.says(2, "b"))...)...)
				g.deliver(g.says(3, "c"))
				g.wants(ada, "subscribed")
				g.set(func() { g.shown = 1 })
				time.Sleep(time.Second)
				g.wants(ada, "a b c")
				g.deliver(g.says(4, "d"))
				g.wants(ada, "d")
			})
		})
	}
}

// An answer to an earlier question does not count.
func TestASecondRemovalWhileTheFirstIsAskedAbout(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		ada := g.joins("ada", in42)
		answer := make(chan struct{})
		g.set(func() { g.mute, g.shown = answer, 1 })
		g.deliver(deleted(memberTable(), member(42, "ada")), inserted(memberTable(), member(42, "ada")))
		time.Sleep(time.Second)
		if asked := g.questions(); len(asked) != 1 {
			t.Fatalf("asked %v", asked)
		}
		g.deliver(deleted(memberTable(), member(42, "ada")), g.says(1, "secret"))
		g.set(func() { g.shown, g.mute = 2, nil; delete(g.members, "42 ada") })
		close(answer) // yes
		time.Sleep(time.Second)
		g.wants(ada, "subscribed forbidden")
	})
}

// W30: without an answer until the time is up, a subscription on hold ends. Nobody is told that he may not, unless that is the
// answer, and nothing of what was kept is let go.
func TestW30AuthorizeWithoutAnAnswerASubscriptionEnds(t *testing.T) {
	for name, each := range map[string]struct {
		prepare func(*guarded)
		want    string
	}{
		"no answer, again and again": {func(g *guarded) { g.broken, g.shown = true, 1 }, "subscribed 1013"},
		"nothing at all":             {func(g *guarded) { g.mute, g.shown = make(chan struct{}), 1 }, "subscribed 1013"},
		"it is never visible":        {func(*guarded) {}, "subscribed 1013"},
		"a no":                       {func(g *guarded) { g.shown = 1; clear(g.members) }, "subscribed forbidden"},
		"a no at last":               {func(g *guarded) { g.shown, g.breaks = 1, 4; clear(g.members) }, "subscribed forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
				ada := g.joins("ada", in42)
				g.set(func() { each.prepare(g) })
				g.deliver(deleted(memberTable(), member(42, "ada")), g.says(1, "secret"))
				time.Sleep(time.Minute)
				g.wants(ada, each.want)
				if s := g.hub.Stats(); s.OnHold != 0 || s.Revoked+s.Undecided != 1 || (s.Revoked == 1) != strings.HasSuffix(each.want, "forbidden") {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// W30: a question without an answer is asked again, less and less often, and the yes that comes lets go of everything.
func TestW30AuthorizeASubscriptionSurvivesSilence(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		ada := g.joins("ada", in42)
		g.set(func() { g.broken, g.shown = true, 1 })
		g.deliver(deleted(memberTable(), member(42, "ada")), inserted(memberTable(), member(42, "ada")), g.says(1, "a"))
		time.Sleep(7 * time.Second)
		g.deliver(g.says(2, "b"))
		// Meanwhile it is concerned again: the time does not begin anew, and one answer is enough.
		g.deliver(updated(memberTable(), member(42, "ada"), member(42, "ada")), g.says(3, "c"))
		g.wants(ada, "subscribed")
		if n := len(g.questions()); n < 4 || n > 8 {
			t.Errorf("asked %d times in 7 seconds", n)
		}
		g.set(func() { g.broken, g.shown = false, 3 })
		time.Sleep(2500 * time.Millisecond)
		g.wants(ada, "a b c")
	})
}

// W30: what concerns it again and again does not keep a subscription on hold for ever, without an answer.
func TestW30AuthorizeSilenceAndNewConcerns(t *testing.T) {
	guardedFeed(t, 1<<20, func(_ *testing.T, g *guarded) {
		ada := g.joins("ada", in42)
		g.set(func() { g.broken, g.shown = true, 1000 })
		for i := range 30 {
			g.deliver(updated(memberTable(), member(42, "ada"), member(42, "ada")), g.says(i, "secret"))
			time.Sleep(time.Second / 2)
		}
		g.wants(ada, "subscribed 1013")
	})
}

// W30: thousands on hold are asked about at once, so that an authorizer can ask about them together.
func TestW30AuthorizeThousandsOnHold(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		var clients []*fanout.Client
		for i := range 2000 {
			g.members[fmt.Sprint("42 user", i)] = true
			clients = append(clients, g.joins(fmt.Sprint("user", i), in42))
		}
		answer := make(chan struct{})
		g.set(func() { g.mute, g.shown = answer, 1 })
		g.deliver(cdc.Change{Op: cdc.Truncate, Table: memberTable()}, g.says(1, "hello"))
		time.Sleep(time.Second)
		if n := len(g.questions()); n < 500 {
			t.Errorf("%d questions are open", n)
		}
		g.set(func() { g.mute = nil })
		close(answer)
		time.Sleep(time.Second)
		for _, c := range clients {
			g.wants(c, "subscribed hello")
		}
	})
}

// A transaction that removes more members than are looked for one by one puts everybody on hold.
func TestManyRemovalsAtOnce(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		g.anywhere = true
		ada, bob := g.joins("ada", in42), g.joins("bob", in42)
		var changes []cdc.Change
		for i := range 1000 {
			changes = append(changes, deleted(memberTable(), member(i, "eve")))
		}
		g.deliver(append(changes, g.says(1, "hello"))...)
		if s := g.hub.Stats(); s.OnHold != 2 {
			t.Errorf("%d on hold", s.OnHold)
		}
		g.set(func() { g.shown = 1; delete(g.members, "42 ada") })
		time.Sleep(time.Second)
		g.wants(ada, "subscribed forbidden")
		g.wants(bob, "subscribed hello")
	})
}

// W19: the right is lost between the question and the subscription.
func TestW19RemovedBetweenQuestionAndSubscription(t *testing.T) {
	for name, each := range map[string]struct {
		removed, asked, shown, subscribed int // when, in order
	}{
		"while it is asked":                         {removed: 2, asked: 1, shown: 2, subscribed: 3},
		"before, and not visible yet":               {removed: 1, asked: 2, shown: 9, subscribed: 3},
		"before, and visible only after the answer": {removed: 1, asked: 2, shown: 3, subscribed: 4},
	} {
		t.Run(name, func(t *testing.T) {
			guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
				ada := g.hub.Attach("ada")
				for now := range 10 {
					if each.removed == now {
						g.deliver(deleted(memberTable(), member(42, "ada")))
					}
					if each.asked == now {
						g.asks(ada, in42)
					}
					if each.shown == now {
						g.set(func() { g.shown = 1; delete(g.members, "42 ada") })
					}
					time.Sleep(time.Second / 2)
					if each.subscribed == now {
						subscribe(t, ada, "message", in42)
						g.deliver(g.says(1, "secret"))
					}
				}
				time.Sleep(time.Second)
				g.wants(ada, "forbidden")
			})
		})
	}
}

// Nobody else's removal keeps a new member waiting for long, or out.
func TestARemovalOfAnotherBetweenQuestionAndSubscription(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		ada := g.hub.Attach("ada")
		g.asks(ada, in42)
		g.deliver(deleted(memberTable(), member(42, "bob")))
		subscribe(t, ada, "message", in42)
		g.deliver(g.says(1, "hello"))
		g.wants(ada, "")
		g.set(func() { g.shown = 2 })
		time.Sleep(time.Second)
		g.wants(ada, "subscribed hello")
	})
}

// A subscription that waits for its snapshot is concerned too: what that shows may be newer than the removal.
func TestARemovedMemberGetsNoSnapshot(t *testing.T) {
	withSnapshots := func(ch *fanout.Channel) { ch.Snapshot = &fanout.SnapshotOptions{Limit: 9} }
	for name, member := range map[string]bool{"removed": false, "given back": true} {
		t.Run(name, func(t *testing.T) {
			guardedFeed(t, 1<<20, func(_ *testing.T, g *guarded) {
				ada := g.joins("ada", in42)
				g.deliver(deleted(memberTable(), row(42, "ada")), g.says(1, "hello"))
				time.Sleep(time.Second)
				g.wants(ada, "subscribed")
				g.set(func() { g.shown, g.members["42 ada"] = 1, member })
				time.Sleep(time.Second)
				if member {
					g.wants(ada, "snapshot hello")
				} else {
					g.wants(ada, "forbidden")
				}
			}, withSnapshots)
		})
	}
}

// A snapshot may be ahead of the stream, and show what was committed behind a removal that is still to come.
func TestASnapshotAheadOfTheStreamWaitsForTheRemoval(t *testing.T) {
	withSnapshots := func(ch *fanout.Channel) { ch.Snapshot = &fanout.SnapshotOptions{Limit: 9} }
	for name, member := range map[string]bool{"removed": false, "given back": true} {
		t.Run(name, func(t *testing.T) {
			guardedFeed(t, 1<<20, func(_ *testing.T, g *guarded) {
				g.deliver(g.says(1, "before"))
				g.set(func() { g.shown, g.upto = 3, 300 })
				ada := g.joins("ada", in42)
				g.set(func() { g.members["42 ada"] = member }) // she was asked before
				time.Sleep(time.Second)
				g.wants(ada, "subscribed")
				g.deliver(deleted(memberTable(), row(42, "ada")))
				g.deliver(g.says(2, "is in the snapshot"))
				time.Sleep(time.Second)
				if member {
					g.wants(ada, "snapshot")
				} else {
					g.wants(ada, "forbidden")
				}
			}, withSnapshots)
		})
	}
}

// What is kept is bounded like what waits in the queue.
func TestAHoldIsBounded(t *testing.T) {
	guardedFeed(t, 4<<10, func(t *testing.T, g *guarded) {
		ada := g.joins("ada", in42)
		g.deliver(deleted(memberTable(), member(42, "ada")))
		for i := range 100 {
			g.deliver(g.says(i, strings.Repeat("x", 100)))
		}
		if s := g.hub.Stats(); s.QueueBytes > 5<<10 {
			t.Errorf("%d bytes are kept", s.QueueBytes)
		}
		g.wants(ada, fmt.Sprint("subscribed ", int(protocol.CloseSlowConsumer)))
		ada.Detach()
		if s := g.hub.Stats(); s.OnHold != 0 || s.QueueBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestBatchesAndHolds(t *testing.T) {
	guardedFeed(t, 1<<20, func(_ *testing.T, g *guarded) {
		ada, bob := g.joins("ada", in42), g.joins("bob", in42)
		g.deliver(g.says(1, "before"))
		g.deliver(deleted(memberTable(), member(42, "ada")))
		g.wants(ada, "subscribed before") // what it is due goes out early
		g.deliver(g.says(2, "after"))
		g.set(func() { g.shown = 2; delete(g.members, "42 ada") })
		time.Sleep(time.Second)
		g.wants(ada, "forbidden")
		g.wants(bob, "subscribed before after")
	}, func(ch *fanout.Channel) { ch.BatchEvery = 100 * time.Millisecond })
}

// Who unsubscribes or subscribes again while on hold.
func TestMessagesOfAClientOnHold(t *testing.T) {
	guardedFeed(t, 1<<20, func(t *testing.T, g *guarded) {
		ada, bob := g.joins("ada", in42), g.joins("bob", in42)
		g.deliver(deleted(memberTable(), member(42, "ada")), deleted(memberTable(), member(42, "bob")), g.says(1, "a"))
		if err := ada.Unsubscribe("message", scopeOf(t, in42)); err != nil {
			t.Fatal(err)
		}
		g.asks(bob, in42)
		subscribe(t, bob, "message", in42)
		g.asks(bob, in42)
		subscribe(t, bob, "message", `{"col":"conversation_id","value":"42"}`)
		g.deliver(g.says(2, "b"))
		g.wants(ada, "subscribed")
		g.wants(bob, "subscribed")
		g.set(func() { g.shown = 1 })
		time.Sleep(time.Second)
		g.wants(ada, "")
		g.wants(bob, "subscribed b")
	})
}

// In a gap of the stream rights may have been lost as well.
func TestAResetAsksEverybody(t *testing.T) {
	guardedFeed(t, 1<<20, func(_ *testing.T, g *guarded) {
		ada, bob := g.joins("ada", in42), g.joins("bob", in42)
		time.Sleep(time.Second)
		g.wants(ada, "subscribed snapshot")
		g.wants(bob, "subscribed snapshot")
		g.set(func() { delete(g.members, "42 ada") })
		g.hub.Reset(cdc.ResetSlotLost)
		time.Sleep(time.Second)
		g.wants(ada, "forbidden")
		g.wants(bob, "snapshot")
	}, func(ch *fanout.Channel) { ch.Snapshot = &fanout.SnapshotOptions{Limit: 9} })
}

func TestAGuardNeedsToKnowWhatIsVisible(t *testing.T) {
	channel := conversations()
	channel.Guard = &club{}
	if _, err := fanout.NewHub(fanout.Options{Channels: []fanout.Channel{channel}}); err == nil {
		t.Error("a hub without Visible has a guard")
	}
}
