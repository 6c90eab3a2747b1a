package gateway

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A close frame may have to wait until its peer makes room. The time to answer it begins when it is out.
func TestFarewellBeginsWithTheCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := capture(near, nil, time.Minute)
		go func() {
			if _, err := c.Write([]byte{closeFrame, 0}); err != nil {
				t.Error(err)
			}
			if n, err := c.Write([]byte{textFrame, 0}); n != 2 || err != nil { // nobody would read it
				t.Errorf("behind the close frame: %d, %v", n, err)
			}
		}()
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		select {
		case err := <-read:
			t.Fatalf("the peer's answer is not waited for: %v", err)
		case <-time.After(30 * farewell):
		}
		if _, err := far.Read(make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		out := time.Now()
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(out) != farewell {
			t.Errorf("%v after %s", err, time.Since(out))
		}
	})
}

// Each write has the whole time, however long the connection was idle before, and no more.
func TestWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		c := capture(near, nil, time.Second)
		for range 3 {
			time.Sleep(time.Minute)
			go func() {
				if _, err := far.Read(make([]byte, 1)); err != nil {
					t.Error(err)
				}
			}()
			if _, err := c.Write([]byte{textFrame}); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		if _, err := c.Write([]byte{textFrame}); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}
