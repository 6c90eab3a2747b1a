package fanout_test

import (
	"bytes"
	"context"

	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// next waits for frames of a client and takes all there are. The error is ctx's, or a *fanout.Closed.
func next(ctx context.Context, c *fanout.Client) ([][]byte, error) {
	ready := make(chan struct{}, 1)
	c.Serve(func() { ready <- struct{}{} })
	defer c.Serve(nil)
	for {
		taken, count, err := c.Take(nil)
		if err != nil {
			return nil, err
		}
		if count > 0 {
			frames, err := wire.Frames(bytes.Join(taken, nil))
			if err == nil && len(frames) != count {
				panic("the count of frames is wrong")
			}
			return frames, err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
