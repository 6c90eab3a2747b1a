package fanout

import (
	"bytes"
	"errors"
	"sync"
	"testing"

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
	frames, _, err := q.take(nil)
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
	if _, _, err := q.take(frames); !errors.As(err, &closed) || closed.Code != protocol.CloseSlowConsumer {
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
	if frames, _, err := q.take(nil); err != nil || len(frames) != 1 || string(frames[0]) != "due" {
		t.Errorf("%q, %v", frames, err)
	}
	for range 2 {
		closed := (*Closed)(nil)
		if _, _, err := q.take(nil); !errors.As(err, &closed) || closed.Code != protocol.CloseServiceRestart {
			t.Errorf("%v, want the first reason", err)
		}
	}
}

// The taker is told once of what comes, and again only after it has found nothing.
func TestQueueTellsItsTaker(t *testing.T) {
	q := newQueue(1 << 20)
	q.push([]byte("a"))
	q.wake() // nobody takes yet
	told := 0
	expect := func(what string, want int) {
		t.Helper()
		if told != want {
			t.Errorf("%s: told %d times, want %d", what, told, want)
		}
	}
	q.serve(func() { told++ })
	expect("what was there before", 1)
	take := func(want string) {
		t.Helper()
		frames, count, err := q.take(nil)
		if got := string(bytes.Join(frames, nil)); got != want || count != len(want) || err != nil {
			t.Errorf("took %d, %q, %v, want %q", count, got, err, want)
		}
	}
	take("a")
	q.push([]byte("b"))
	q.wake()
	expect("while it takes", 1)
	take("b")
	take("")
	q.push([]byte("c"))
	expect("not woken for", 1)
	q.wake()
	q.wake()
	expect("again", 2)
	take("c")
	take("")
	q.serve(nil)
	q.push([]byte("d"))
	q.wake()
	q.close(protocol.CloseGoingAway)
	expect("nobody takes any more", 2)
}

// Frames of one sheet are one piece; those that only look as if they were are not.
func TestQueueJoinsWhatLiesTogether(t *testing.T) {
	q := newQueue(1 << 20)
	sheet := []byte("Lunch at one? Dinner at eight?")
	for _, frame := range [][]byte{sheet[:6], sheet[6:13], []byte("alone"), sheet[13:20], sheet[21:], {}, []byte("x")} {
		q.push(frame)
	}
	frames, count, err := q.take(nil)
	want := []string{string(sheet[:13]), "alone", string(sheet[13:20]), string(sheet[21:]), "", "x"}
	if err != nil || count != 7 || len(frames) != len(want) {
		t.Fatalf("%d frames in %q, %v", count, frames, err)
	}
	for i := range want {
		if string(frames[i]) != want[i] {
			t.Errorf("piece %d is %q, want %q", i, frames[i], want[i])
		}
	}
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
	ready := make(chan struct{}, 1)
	q.serve(func() { ready <- struct{}{} })
	go func() {
		pushing.Wait()
		q.close(protocol.CloseGoingAway)
	}()
	next := [pushers]int{}
	var frames [][]byte
	for {
		var count int
		var err error
		if frames, count, err = q.take(frames); err != nil {
			break
		}
		if count == 0 {
			<-ready
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

// What a transaction brings leaves together, but for what is so much that to wait for the rest would only take time.
func TestQueueTellsOfMuchBeforeTheEnd(t *testing.T) {
	q := newQueue(4 * tellAfter)
	told := 0
	q.serve(func() { told++ })
	frame := make([]byte, tellAfter/4)
	for i := range 4 {
		if told != 0 {
			t.Fatalf("told of %d frames", i)
		}
		q.push(frame)
	}
	if told != 1 {
		t.Fatalf("told %d times of %d bytes", told, tellAfter)
	}
	q.push(frame)
	if told != 1 {
		t.Error("told again while it is served")
	}
	for {
		frames, _, err := q.take(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) == 0 {
			break
		}
	}
	q.push(frame)
	if told != 1 {
		t.Error("what was taken before counted again")
	}
	q.wake()
	if told != 2 {
		t.Error("not told at the end")
	}
}
