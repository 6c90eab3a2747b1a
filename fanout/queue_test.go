package fanout

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestQueueCountsWhatIsOnItsWay(t *testing.T) {
	q := newQueue(100)
	push := func(size int, want bool) {
		t.Helper()
		if q.push(make([]byte, size)) != want {
			t.Errorf("push of %d bytes to %d: %v", size, q.size(), !want)
		}
	}
	push(60, true)
	frames, err := q.take(t.Context(), nil)
	if err != nil || len(frames) != 1 || q.size() != 60 {
		t.Fatalf("%d frames, %v, %d bytes", len(frames), err, q.size())
	}
	push(40, true) // full, with what was taken
	push(1, false) // and over
	push(1, false) // and closed
	if q.size() != 60 {
		t.Errorf("%d bytes are held, want those on their way alone", q.size())
	}
	closed := (*Closed)(nil)
	if _, err := q.take(t.Context(), frames); !errors.As(err, &closed) || closed.Code != protocol.CloseSlowConsumer {
		t.Errorf("%v, want a slow consumer", err)
	}
	if q.size() != 0 {
		t.Errorf("%d bytes are held at the end", q.size())
	}
}

// A frame larger than the whole queue passes alone: no reading client is closed for what it cannot help.
func TestQueueTakesALargeFrameAlone(t *testing.T) {
	q := newQueue(100)
	if !q.push(make([]byte, 1000)) {
		t.Error("refused into an empty queue")
	}
	if q.push(nil) {
		t.Error("accepted on top of it")
	}
}

func TestQueueFirstReasonStands(t *testing.T) {
	q := newQueue(100)
	q.push([]byte("due"))
	q.close(protocol.CloseServiceRestart)
	q.close(protocol.CloseGoingAway)
	if q.push([]byte("late")) {
		t.Error("a closed queue takes frames")
	}
	if frames, err := q.take(t.Context(), nil); err != nil || len(frames) != 1 || string(frames[0]) != "due" {
		t.Errorf("%q, %v", frames, err)
	}
	for range 2 {
		closed := (*Closed)(nil)
		if _, err := q.take(t.Context(), nil); !errors.As(err, &closed) || closed.Code != protocol.CloseServiceRestart {
			t.Errorf("%v, want the first reason", err)
		}
	}
}

func TestQueueTakeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1 << 20)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		var end error
		var taking sync.WaitGroup
		taking.Go(func() {
			var frames [][]byte
			for {
				if frames, end = q.take(ctx, frames); end != nil {
					return
				}
				for _, f := range frames {
					got = append(got, string(f))
				}
			}
		})
		for _, frame := range []string{"a", "b", "c"} {
			synctest.Wait()
			q.push([]byte(frame))
			q.wake()
		}
		q.push([]byte("not woken for"))
		synctest.Wait()
		cancel()
		taking.Wait()
		if len(got) < 3 || got[0]+got[1]+got[2] != "abc" || !errors.Is(end, context.Canceled) {
			t.Errorf("%q, %v", got, end)
		}
	})
}

// Many push while one takes: everything comes, once, and each pusher's frames in their order.
func TestQueueKeepsOrder(t *testing.T) {
	const pushers, each = 4, 1000
	q := newQueue(1 << 20)
	var pushing sync.WaitGroup
	for p := range pushers {
		pushing.Go(func() {
			for i := range each {
				q.push([]byte{byte(p), byte(i >> 8), byte(i)})
				q.wake()
			}
		})
	}
	go func() {
		pushing.Wait()
		q.close(protocol.CloseGoingAway)
	}()
	next := [pushers]int{}
	var frames [][]byte
	for {
		var err error
		if frames, err = q.take(t.Context(), frames); err != nil {
			break
		}
		for _, f := range frames {
			if at := int(f[1])<<8 | int(f[2]); at != next[f[0]] {
				t.Fatalf("pusher %d: frame %d where %d is due", f[0], at, next[f[0]])
			}
			next[f[0]]++
		}
	}
	for p, n := range next {
		if n != each {
			t.Errorf("pusher %d: %d frames of %d", p, n, each)
		}
	}
}
