package app

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/config"
)

// Whatever the limit, clients leave what the gateway needs for itself, and get in as far as there is room.
func TestW35DescriptorsAreShared(t *testing.T) {
	for _, c := range []struct {
		limit, wanted int
		short         bool
	}{
		{256, 10_000, true}, {256, 100, false}, {1024, 10_000, true}, {1024, 500, false}, {16, 10_000, true}, {2, 1, false},
		{1 << 20, 10_000, false}, {10_344, 10_000, false}, {10_343, 10_000, true}, {0, 1 << 30, false},
	} {
		const kept = 88
		d := shareDescriptors(c.limit, kept, c.wanted)
		if d.short() != c.short || d.clients < 1 || d.clients > c.wanted {
			t.Errorf("%d for %d: %+v", c.limit, c.wanted, d)
		}
		if c.limit == 0 {
			if d.connections != 0 {
				t.Errorf("no limit: %+v", d)
			}
			continue
		}
		if d.connections+min(kept, c.limit/2) > c.limit || d.connections < d.clients || c.limit > 200 && d.connections-d.clients < 8 && d.short() {
			t.Errorf("%d for %d: %+v", c.limit, c.wanted, d)
		}
	}
	// Who does as it says has room.
	for _, limit := range []int{64, 256, 1024, 4096} {
		d := shareDescriptors(limit, 88, 10_000)
		if mended := shareDescriptors(88+10_000+farewells, 88, 10_000); mended.short() {
			t.Errorf("raised from %d: %+v", limit, mended)
		}
		if mended := shareDescriptors(limit, 88, d.clients); mended.short() {
			t.Errorf("lowered at %d: %+v", limit, mended)
		}
	}
	plain := keptDescriptors(&config.Config{})
	asking := keptDescriptors(&config.Config{
		Authenticate: &config.Authenticate{Webhook: &config.AuthenticateWebhook{}}, Reactive: []config.Reactive{{Authorize: &config.Authorize{Webhook: "https://a.example/"}}},
	})
	if asking < plain+64 {
		t.Errorf("%d are kept, and %d with two services that are asked", plain, asking)
	}
}

func TestW35TheListenerLeavesDescriptors(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limitListener(plain, 2)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 4 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third one is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	if _, ok := first.(syscall.Conn); !ok {
		t.Error("the system cannot be asked to write without waiting")
	}
	for range 3 { // however often it is closed, it was one place
		_ = first.Close()
	}
	third := <-accepted
	select {
	case <-accepted:
		t.Fatal("a fourth one is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	if err := errors.Join(l.Close(), second.Close(), third.Close()); err != nil {
		t.Error(err)
	}
	var end error
	select { // the fourth was waiting with the system, or was accepted right before the end
	case conn := <-accepted:
		_ = conn.Close()
		end = <-ended
	case end = <-ended:
	}
	if !errors.Is(end, net.ErrClosed) {
		t.Error(end)
	}
	if limitListener(plain, 0) != plain {
		t.Error("without a bound there is one")
	}
}
