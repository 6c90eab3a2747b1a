package peer

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/centrifugal/centrifuge"
)

// centrifugeHub is the library centrifuge with its defaults, but for a queue as long as the gateway's and without the
// pings, which the load client would have to answer.
type centrifugeHub struct {
	node    *centrifuge.Node
	handler http.Handler
}

type topicKey struct{}

func newCentrifuge() (*centrifugeHub, error) {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 64 << 20, LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		return nil, fmt.Errorf("make a node of centrifuge: %w", err)
	}
	// The client connects with its first message, and is subscribed by the server with the answer.
	node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		topic, _ := ctx.Value(topicKey{}).(string)
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "reader"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{topic: {}},
		}, nil
	})
	node.OnConnect(func(*centrifuge.Client) {})
	if err := node.Run(); err != nil {
		return nil, fmt.Errorf("run the node of centrifuge: %w", err)
	}
	sockets := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sockets.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), topicKey{}, r.URL.Query().Get("topic"))))
	})
	return &centrifugeHub{node: node, handler: handler}, nil
}

func (h *centrifugeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }

func (h *centrifugeHub) publish(ctx context.Context, p Publication) error {
	const envelope = len(`{"push":{"channel":"0","pub":{"data":}}}`)
	data := []byte(message(p.Size - envelope))
	return p.paced(ctx, func(n int) error {
		if _, err := h.node.Publish(strconv.Itoa(n%p.Topics), data); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		return nil
	})
}

func (h *centrifugeHub) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = h.node.Shutdown(ctx)
}
