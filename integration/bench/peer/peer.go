// Package peer has the programs that the gateway is compared with: hubs that have their messages already, and only deliver
// them. Each runs in a process of its own and is told by HTTP what to send.
//
//	GET /ws?topic=7                                     a client of a topic; its first message says that it has begun
//	GET /publish?messages=1000&topics=10&size=300       sends messages, round robin over topics 0 to 9, as fast as may be
//	GET /publish?messages=100&topics=1&size=300&rate=20 the same at a pace, 20 a second
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Command is the argument by which the benchmark's program is told to be a peer; the peer's name follows.
const Command = "peer"

// The peers that Serve can be. Node is a program in another language.
const (
	Writer     = "writer"
	Centrifuge = "centrifuge"
)

// Publication is what a peer sends.
type Publication struct {
	Messages, Topics, Size int
	Rate                   int // a second; 0 is as fast as may be
}

// Query is the publication as the peers are told it.
func (p Publication) Query() string {
	return fmt.Sprintf("messages=%d&topics=%d&size=%d&rate=%d", p.Messages, p.Topics, p.Size, p.Rate)
}

func parsePublication(query url.Values) (p Publication, err error) {
	for name, to := range map[string]*int{"messages": &p.Messages, "topics": &p.Topics, "size": &p.Size, "rate": &p.Rate} {
		n, failed := strconv.Atoi(query.Get(name))
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("parameter %s: %w", name, failed))
		}
		*to = n
	}
	return p, err
}

// message is a text of the size that begins like a frame of the gateway, so that the load client counts both alike.
func message(size int) string {
	const before, after = `{"type":"change","body":"`, `"}`
	return before + strings.Repeat("x", max(0, size-len(before)-len(after))) + after
}

// hub is what a peer's program has to do.
type hub interface {
	http.Handler // for clients
	// publish returns when the messages are sent, or on their way.
	publish(ctx context.Context, p Publication) error
	close()
}

// Serve is the peer of that name until ctx ends. It prints its address as the only line.
func Serve(ctx context.Context, name string) error {
	var h hub
	var err error
	switch name {
	case Writer:
		h = newWriter()
	case Centrifuge:
		h, err = newCentrifuge()
	default:
		err = fmt.Errorf("there is no peer %q", name)
	}
	if err != nil {
		return err
	}
	defer h.close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", h)
	mux.HandleFunc("/publish", func(w http.ResponseWriter, r *http.Request) {
		p, err := parsePublication(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := h.publish(ctx, p); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	server := &http.Server{Handler: mux}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// paced calls f as often and as fast as the publication says.
func (p Publication) paced(ctx context.Context, f func(n int) error) error {
	began := time.Now()
	for n := range p.Messages {
		if p.Rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(p.Rate))))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f(n); err != nil {
			return err
		}
	}
	return nil
}
