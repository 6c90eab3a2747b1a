package cdc

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// sized makes a delivery of the given size; commit tells it from others.
func sized(commit LSN, size int) Delivery {
	return Delivery{Transaction: &Transaction{Commit: commit, more: &more{bytes: size - transactionOverhead}}}
}

const small = transactionOverhead

func commits(taken []Delivery) []LSN {
	var list []LSN
	for _, d := range taken {
		list = append(list, d.Transaction.Commit)
	}
	return list
}

func TestHandoffIsFullAtItsLimit(t *testing.T) {
	h := NewHandoff(3 * small)
	for i := range LSN(3) {
		if !h.Put(sized(i, small)) {
			t.Fatalf("no room for item %d of 3", i)
		}
	}
	if h.Put(sized(9, small)) {
		t.Error("room for a fourth item")
	}
	if got := h.Bytes(); got != 3*small {
		t.Errorf("%d bytes wait, want %d", got, 3*small)
	}
	taken, ok := h.Take(nil)
	if !ok || !slices.Equal(commits(taken), []LSN{0, 1, 2}) {
		t.Errorf("took %v, %t", commits(taken), ok)
	}
	select {
	case <-h.Room():
	default:
		t.Error("nobody was told that there is room")
	}
	if !h.Put(sized(3, small)) {
		t.Error("still no room")
	}
}

func TestHandoffTakesAsManyAsFit(t *testing.T) {
	h := NewHandoff(2 * small)
	list := []Delivery{sized(1, small), {Reset: ResetSlotLost}, sized(2, 100*small), sized(3, small)}
	if n := h.PutAll(list); n != 2 {
		t.Fatalf("%d of the list fit, want 2", n)
	}
	if n := h.PutAll(list[2:]); n != 0 {
		t.Fatalf("%d more fit", n)
	}
	if taken, _ := h.Take(nil); len(taken) != 2 || taken[0].Transaction.Commit != 1 || taken[1].Reset != ResetSlotLost {
		t.Errorf("took %v", taken)
	}
	if n := h.PutAll(list[2:]); n != 1 {
		t.Errorf("%d fit behind an oversized one, want only itself", n)
	}
}

func TestHandoffPassesAnOversizedItemAlone(t *testing.T) {
	h := NewHandoff(2 * small)
	if !h.Put(sized(1, small)) || h.Put(sized(2, 100*small)) {
		t.Fatal("the oversized item did not wait for the one before it")
	}
	h.Take(nil)
	if !h.Put(sized(2, 100*small)) {
		t.Fatal("the oversized item does not pass alone")
	}
	if h.Put(sized(3, small)) {
		t.Error("room behind an oversized item")
	}
	if !h.Put(Delivery{Reset: ResetSlotLost}) || !h.Put(Delivery{Start: &Start{}}) {
		t.Error("no room for what is no transaction: a source could not go on while its sink is at work")
	}
}

func TestHandoffForgetsWhatItsReusedSliceHeld(t *testing.T) {
	h := NewHandoff(10 * small)
	h.Put(sized(1, small))
	h.Put(sized(2, small))
	first, _ := h.Take(nil)
	h.Put(sized(3, small))
	h.Take(first)
	for i, d := range first {
		if d.Transaction != nil && d.Transaction.Commit != 3 {
			t.Errorf("item %d still holds the transaction at %s", i, d.Transaction.Commit)
		}
	}
}

// What is put comes out once and in order, whatever the sizes and the pace.
func TestHandoffKeepsOrderBetweenGoroutines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit") * small
		sizes := rapid.SliceOfN(rapid.IntRange(1, 8), 0, 200).Draw(t, "sizes")
		h := NewHandoff(limit)
		put := make(chan error, 1)
		go func() {
			defer h.Close()
			for i, size := range sizes {
				for !h.Put(sized(LSN(i), size*small)) {
					<-h.Room()
				}
			}
			put <- h.Drain(context.Background())
		}()
		var got, reuse []Delivery
		for {
			var ok bool
			if reuse, ok = h.Take(reuse); !ok {
				break
			}
			bytes := 0
			for _, d := range reuse {
				bytes += d.size()
			}
			if bytes > limit && len(reuse) > 1 {
				t.Fatalf("%d bytes waited, the limit is %d", bytes, limit)
			}
			got = append(got, reuse...)
		}
		if err := <-put; err != nil {
			t.Fatal(err)
		}
		if len(got) != len(sizes) {
			t.Fatalf("%d items came out, want %d", len(got), len(sizes))
		}
		for i, d := range got {
			if d.Transaction.Commit != LSN(i) {
				t.Fatalf("item %d came out in place %d", d.Transaction.Commit, i)
			}
		}
	})
}

func TestDrainWaitsUntilTheTakerIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandoff(10 * small)
		if err := h.Drain(t.Context()); err != nil {
			t.Fatalf("an empty handoff does not drain: %v", err)
		}
		h.Put(sized(1, small))
		drained := make(chan error, 1)
		go func() { drained <- h.Drain(t.Context()) }()
		taken, _ := h.Take(nil)
		synctest.Wait()
		if len(drained) > 0 {
			t.Fatal("drained while the taker works on what it took")
		}
		done := make(chan bool, 1)
		go func() { _, ok := h.Take(taken); done <- ok }()
		if err := <-drained; err != nil {
			t.Errorf("drain: %v", err)
		}
		h.Close()
		if <-done {
			t.Error("took something from a handoff that is closed and empty")
		}
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandoff(10 * small)
		h.Put(sized(1, small))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v, want the deadline", err)
		}
	})
}

func TestClosedHandoffStillGivesWhatItHas(t *testing.T) {
	h := NewHandoff(10 * small)
	h.Put(sized(1, small))
	h.Close()
	if taken, ok := h.Take(nil); !ok || len(taken) != 1 {
		t.Fatalf("took %d items, %t", len(taken), ok)
	}
	if _, ok := h.Take(nil); ok {
		t.Error("took from a handoff that is closed and empty")
	}
}

// What is delivered directly never overtakes what was put, and is never delivered while the taker is at work.
func TestDirectKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := NewHandoff(100 * small)
		var got []LSN
		busy := false
		h.direct = func(d Delivery) bool {
			if busy {
				t.Fatal("the taker is at work")
			}
			if !rapid.Bool().Draw(t, "takes") {
				return false
			}
			got = append(got, d.Transaction.Commit)
			return true
		}
		var reuse []Delivery
		var next LSN
		take := func(t *rapid.T) {
			if h.Bytes() == 0 {
				t.Skip("it would wait")
			}
			reuse, _ = h.Take(reuse)
			got = append(got, commits(reuse)...)
			busy = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": take,
			"rest": func(t *rapid.T) {
				if !busy || h.Bytes() > 0 {
					t.Skip("it would not")
				}
				busy = false
				h.mu.Lock() // as Take does before it waits
				h.busy = false
				h.mu.Unlock()
			},
			"hand on": func(t *rapid.T) {
				next++
				d := sized(next, small)
				if h.Direct(d) == 0 && !h.Put(d) {
					t.Fatal("no room")
				}
				if h.Bytes() >= 90*small {
					take(t)
				}
			},
			"": func(t *rapid.T) {
				for i, commit := range got {
					if commit != LSN(i+1) {
						t.Fatalf("delivered %v", got)
					}
				}
			},
		})
	})
}
