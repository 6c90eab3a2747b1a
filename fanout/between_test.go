package fanout_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// A subscription begins and ends between two transactions: no client gets a part of one, whenever it comes and goes.
func TestW26NoPartOfATransaction(t *testing.T) {
	const transactions, rows, clients = 500, 5, 4
	f := newFeed(t, 1<<26, conversations())
	table := messages()
	scope := scopeOf(t, in42)
	heard := make([]map[string]int, clients) // rows by transaction
	done := make(chan struct{})
	var coming sync.WaitGroup
	for i := range clients {
		client, counts := f.hub.Attach(nil), map[string]int{}
		heard[i] = counts
		coming.Go(func() {
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true
				default:
				}
				if err := client.Subscribe("message", scope); err != nil {
					t.Error(err)
				}
				if err := client.Unsubscribe("message", scope); err != nil {
					t.Error(err)
				}
				frames, code := taken(t, client)
				if code != 0 {
					t.Errorf("closed with %d", code)
				}
				for _, frame := range frames {
					if _, body, ok := strings.Cut(frame, `"body":"`); ok {
						counts[body]++
					}
				}
			}
		})
	}
	for i := range transactions {
		tx := f.transaction(
			inserted(table, row(1, 42, 7, i, nil)), inserted(table, row(2, 42, 7, i, nil)), inserted(table, row(3, 42, 7, i, nil)),
			inserted(table, row(4, 42, 7, i, nil)), inserted(table, row(5, 42, 7, i, nil)),
		)
		f.hub.Deliver(tx)
	}
	close(done)
	coming.Wait()
	for _, counts := range heard {
		for body, n := range counts {
			if n != rows {
				t.Errorf("transaction %s: %d of its %d rows", strings.TrimRight(body, `"}`), n, rows)
			}
		}
	}
}

// A client that does not read is given up within its bound; the others get everything.
func TestW01ASlowClientGoesAlone(t *testing.T) {
	f := newFeed(t, 10_000, conversations())
	slow, quick := f.hub.Attach(nil), f.hub.Attach(nil)
	subscribe(t, slow, "message", in42)
	subscribe(t, quick, "message", in42)
	taken(t, quick)
	table, sent := messages(), 0
	for f.hub.Stats().QueueBytes > 0 {
		if sent++; sent > 1000 {
			t.Fatal("the slow client was never given up")
		}
		f.deliver(inserted(table, row(sent, 42, 7, strings.Repeat("x", 500), nil)))
		if frames, code := taken(t, quick); len(frames) != 1 || code != 0 {
			t.Fatalf("the quick client got %d frames and close code %d", len(frames), code)
		}
		if waiting := f.hub.Stats().QueueBytes; waiting > 10_000 {
			t.Fatalf("%d bytes wait", waiting)
		}
	}
	frames, code := taken(t, slow)
	if len(frames) != 0 || code != protocol.CloseSlowConsumer {
		t.Errorf("the slow client is left with %d frames and close code %d, want none and 4408", len(frames), code)
	}
	before := f.hub.Stats().Frames
	f.deliver(inserted(table, row(0, 42, 7, "x", nil)))
	if got := f.hub.Stats().Frames - before; got != 1 {
		t.Errorf("%d frames counted, want the quick client's alone", got)
	}
}

// Whoever serves a client hears of what comes, from whichever goroutine.
func TestServeIsTold(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	client := f.hub.Attach(nil)
	subscribe(t, client, "message", in42)
	taken(t, client)
	got := make(chan int)
	go func() {
		defer close(got)
		for {
			frames, err := next(t.Context(), client)
			if err != nil {
				return
			}
			got <- len(frames)
		}
	}()
	receive := func(want int) {
		t.Helper()
		for n := 0; n < want; {
			select {
			case more := <-got:
				n += more
			case <-time.After(10 * time.Second):
				t.Fatalf("%d of %d frames came", n, want)
			}
		}
	}
	f.deliver(inserted(messages(), row(1, 42, 7, "x", nil)), inserted(messages(), row(2, 42, 7, "x", nil)))
	receive(2)
	client.Send([]byte(`{}`))
	receive(1)
	client.Send([]byte(`{}`))
	client.Close(protocol.CloseGoingAway)
	receive(1) // what was queued before the end comes before the end
	if n, open := <-got; open {
		t.Errorf("%d frames behind the end", n)
	}
}
