package wal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// Listener hears the notifications of a channel of PostgreSQL, on a connection of its own.
type Listener struct {
	URL string
	// Channel is as the catalog would have it: it is quoted here.
	Channel string
	// Notified is called with the payload of each notification, in order, from the goroutine of Run.
	Notified func(payload []byte)
	// Listening is called whenever the listening begins, before any notification. What was notified before was missed: again
	// tells that some may have been meant for us.
	Listening func(again bool)
	Log       *zap.Logger
}

// listenPing is how long a connection may be silent before it is asked whether it is alive.
const listenPing = 15 * time.Second

// Run listens until ctx ends. It connects again, forever, when the connection is lost or cannot be made.
func (l *Listener) Run(ctx context.Context) {
	backoff := minBackoff
	for again := false; ; {
		listened, err := l.listen(ctx, again)
		if ctx.Err() != nil {
			return
		}
		if listened {
			backoff, again = minBackoff, true
		}
		wait := jitter(backoff)
		l.Log.Error("not listening for notifications: what is notified until the next connection is missed",
			zap.String("channel", l.Channel), zap.Error(err), zap.Duration("again in", wait))
		if sleep(ctx, wait) != nil {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// listen runs one connection until it ends, and tells whether it came to listen.
func (l *Listener) listen(ctx context.Context, again bool) (listened bool, err error) {
	config, err := connConfig(l.URL)
	if err != nil {
		return false, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, fmt.Errorf("connect to listen: %w", err)
	}
	defer closeBriefly(ctx, conn)
	if _, err := conn.Exec(ctx, "LISTEN "+quote(l.Channel)); err != nil {
		return false, fmt.Errorf("listen to %s: %w", l.Channel, err)
	}
	l.Listening(again)
	l.Log.Info("listening", zap.String("channel", l.Channel))
	for {
		if err := l.next(ctx, conn); err != nil {
			return true, fmt.Errorf("wait for notifications of %s: %w", l.Channel, err)
		}
	}
}

// next waits for a notification, and after a long silence asks whether there is still somebody to send one.
func (l *Listener) next(ctx context.Context, conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, listenPing)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		l.Notified([]byte(n.Payload))
		return nil
	case ctx.Err() == nil && errors.Is(waiting.Err(), context.DeadlineExceeded) && !conn.IsClosed():
		asking, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return conn.Ping(asking)
	}
	return err
}
