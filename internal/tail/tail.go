// Package tail is a WebSocket client for the terminal: it subscribes and prints the frames that come, as they are. It
// knows the wire protocol and nothing of the gateway.
package tail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// Options say where to connect and what to subscribe to.
type Options struct {
	URL     string // ws:// or wss://
	Channel string
	// Scope is COLUMN=VALUE. The value is sent as a string: the gateway takes "42" and 42 for the same scope.
	Scope string
	Token string    // sent as the Authorization header's bearer token; empty: none
	Out   io.Writer // gets one frame a line
}

// maxFrame bounds what a gateway may send in one frame: a snapshot is the largest.
const maxFrame = 64 << 20

// Run prints frames until ctx ends, which is no error, or the connection does, or the gateway refuses the subscription.
func Run(ctx context.Context, o Options) error {
	column, value, ok := strings.Cut(o.Scope, "=")
	if !ok || column == "" {
		return fmt.Errorf("scope %q: write COLUMN=VALUE, for example conversation_id=42", o.Scope)
	}
	subscribe, err := json.Marshal(map[string]any{
		"type": protocol.Subscribe, "channel": o.Channel, "scope": map[string]string{"col": column, "value": value},
	})
	if err != nil {
		return fmt.Errorf("make the subscription: %w", err)
	}
	header := http.Header{}
	if o.Token != "" {
		header.Set("Authorization", "Bearer "+o.Token)
	}
	conn, response, err := websocket.Dial(ctx, o.URL, &websocket.DialOptions{Subprotocols: []string{protocol.Subprotocol}, HTTPHeader: header})
	if response != nil && response.Body != nil { // of a server that did not upgrade
		defer response.Body.Close()
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return dialError(o.URL, response, err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxFrame)
	if err := conn.Write(ctx, websocket.MessageText, subscribe); err != nil && ctx.Err() == nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for {
		_, frame, err := conn.Read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if code := websocket.CloseStatus(err); code != -1 {
			return fmt.Errorf("the gateway closed the connection: %d %s", code, protocol.Close(code).Reason())
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if _, err := fmt.Fprintf(o.Out, "%s\n", frame); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		if code, refused := refusal(frame); refused {
			return fmt.Errorf("the gateway refuses the subscription: %s", code)
		}
	}
}

// refusal reads the code of an error frame. There is one subscription, so it is about that.
func refusal(frame []byte) (code string, refused bool) {
	var e struct{ Type, Code string }
	err := json.Unmarshal(frame, &e)
	return e.Code, err == nil && e.Type == "error"
}

// dialError names the address without its query, which may hold a token, and without USER:PASSWORD.
func dialError(address string, response *http.Response, err error) error {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		scheme, _, _ := strings.Cut(address, "://")
		address = scheme + "://" + address[i+1:]
	}
	url, _, _ := strings.Cut(address, "?")
	switch {
	case response == nil:
		return fmt.Errorf("connect to %s: %w", url, rootCause(err))
	case response.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("connect to %s: the gateway takes no connections at the moment: %s", url, reason(response))
	case response.StatusCode == http.StatusForbidden:
		return fmt.Errorf("connect to %s: the server answered %s: %s", url, response.Status, reason(response))
	}
	return fmt.Errorf("connect to %s: the server answered %s: is this the gateway's address and path?", url, response.Status)
}

// rootCause leaves out what is wrapped around it: the whole address.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// reason is the first line of what a refusal says.
func reason(response *http.Response) string {
	const enough = 1024
	text, _ := io.ReadAll(io.LimitReader(response.Body, enough)) // as much of it as there is
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
