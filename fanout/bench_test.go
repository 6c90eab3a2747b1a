package fanout_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
)

// audience subscribes clients, each to up to perClient conversations of its own, counted from 1.
func (f *feed) audience(subscriptions, perClient int) []*fanout.Client {
	f.t.Helper()
	var clients []*fanout.Client
	for i := range subscriptions {
		if i%perClient == 0 {
			clients = append(clients, f.hub.Attach(nil))
		}
		subscribe(f.t, clients[len(clients)-1], "message", fmt.Sprintf(`{"col":"conversation_id","value":%d}`, i+1))
	}
	empty(f.t, clients)
	return clients
}

// empty lets clients take what waits for them.
func empty(t testing.TB, clients []*fanout.Client) {
	var frames [][]byte
	for _, c := range clients {
		for count := 1; count > 0; {
			var err error
			if frames, count, err = c.Take(frames); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// deliverTo measures the delivery of one transaction with one change, with clients that read now and then.
func (f *feed) deliverTo(b *testing.B, clients []*fanout.Client, change cdc.Change) {
	b.Helper()
	tx := f.transaction(change)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		f.hub.Deliver(tx)
		if i%1000 == 999 {
			b.StopTimer()
			empty(b, clients)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*max(len(clients), 1)), "ns/client")
}

// A change that nobody looks at, whatever else is looked at.
func BenchmarkRouteNoMatch(b *testing.B) {
	f := newFeed(b, 1<<30, conversations())
	f.audience(10_000, 100)
	f.deliverTo(b, nil, inserted(messages(), row(1, 99_999, 7, "Lunch?", "s")))
}

// A change that many look at in the same view.
func BenchmarkDeliver(b *testing.B) {
	for _, receivers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("receivers=%d", receivers), func(b *testing.B) {
			f := newFeed(b, 1<<30, conversations())
			var clients []*fanout.Client
			for range receivers {
				c := f.hub.Attach(nil)
				subscribe(b, c, "message", in42)
				clients = append(clients, c)
			}
			empty(b, clients)
			f.deliverTo(b, clients, updated(messages(), row(1, 42, 7, "Lunch?", "s"), row(1, 42, 7, "Lunch!", "s")))
		})
	}
}

// A change that one client looks at, among few and among many subscriptions: it should cost the same. The metric
// B/subscription is the memory that each of them takes.
func BenchmarkAmong(b *testing.B) {
	for _, subscriptions := range []int{1_000, 1_000_000} {
		f := newFeed(b, 1<<30, conversations())
		before := live()
		clients := f.audience(subscriptions, 1000)
		each := float64(live()-before) / float64(subscriptions)
		b.Run(fmt.Sprintf("subscriptions=%d", subscriptions), func(b *testing.B) {
			f.deliverTo(b, clients[:1], inserted(messages(), row(1, 42, 7, "Lunch?", "s")))
			b.ReportMetric(each, "B/subscription")
		})
		runtime.KeepAlive(clients)
	}
}

// A transaction of a million rows that lies on disk and that nobody looks at: for how long everybody else waits for the hub.
func BenchmarkDeliverHuge(b *testing.B) {
	const rows = 1_000_000
	f := newFeed(b, 1<<30, conversations())
	f.audience(10_000, 100)
	f.assembler.Spill = cdc.Spill{Bytes: 1 << 20, Dir: b.TempDir()}
	tx := f.transaction(slices.Repeat([]cdc.Change{inserted(messages(), row(1, 99_999, 7, "Lunch at the usual place?", "s"))}, rows)...)
	if tx.DiskSize() == 0 {
		b.Fatal("it is not on disk")
	}
	for b.Loop() {
		f.hub.Deliver(tx)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/change")
}

// live is the heap that is in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
