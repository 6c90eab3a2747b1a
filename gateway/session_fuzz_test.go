package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// FuzzSession sends one message of arbitrary bytes. It is always answered, by an error frame or by what it asks for, and
// the session goes on; or the connection is closed because the message is too big.
func FuzzSession(f *testing.F) {
	f.Add([]byte(subscription(42)), true)
	f.Add([]byte(subscription(42)), false)
	f.Add([]byte(strings.Replace(subscription(42), "subscribe", "unsubscribe", 1)), true)
	f.Add([]byte(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":"9223372036854775808"}}`), true)
	f.Add([]byte(`{"type":"subscribe","channel":"m\u0000","scope":{"col":"conversation_id","value":true}}`), true)
	f.Add([]byte(``), true)
	f.Add([]byte("\xff\x00"), true)
	f.Add(bytes.Repeat([]byte("["), 70_000), true)
	f.Fuzz(func(t *testing.T, data []byte, text bool) {
		p := newPlace(t)
		c := p.dial()
		kind := websocket.MessageBinary
		if text {
			kind = websocket.MessageText
		}
		if err := c.conn.Write(t.Context(), kind, data); err != nil {
			t.Fatal(err)
		}
		if len(data) > maxFrame {
			c.closed(protocol.CloseFrameTooBig)
			return
		}
		message, err := protocol.Parse(data)
		if text && err == nil && message.Type == protocol.Unsubscribe && message.Channel == "message" && message.Scope.Col == "conversation_id" {
			if _, ok := fanout.Int8.Canonical(message.Scope.Text()); ok {
				c.send(subscription(7)) // no answer is the right one
				c.expect(subscribed(7))
				return
			}
		}
		answer, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		refused := strings.HasPrefix(answer, `{"type":"error","code":"`)
		begun := text && message.Type == protocol.Subscribe && strings.HasPrefix(answer, `{"type":"subscribed","channel":"message","scope":`)
		if !refused && !begun {
			t.Errorf("%q is answered by %s", data, answer)
		}
		c.send(subscription(7))
		c.expect(subscribed(7))
	})
}

// FuzzConnection sends arbitrary bytes where frames are due. Whatever they are, the session ends with the connection and
// leaves nothing; newPlace sees to that.
func FuzzConnection(f *testing.F) {
	f.Add(clientFrame(textFrame, []byte(subscription(42))))
	f.Add(clientFrame(pingFrame, []byte("ping")))
	f.Add(clientFrame(closeFrame, []byte{0x03, 0xE8}))
	f.Add(clientFrame(closeFrame, []byte{0x03}))
	f.Add(clientFrame(0x01, []byte(`{"type":`)))                                     // a beginning alone
	f.Add(append(clientFrame(0x01, []byte(`{`)), clientFrame(0x80, []byte(`}`))...)) // in two parts
	f.Add(clientFrame(0x80, []byte(`{}`)))                                           // a continuation of nothing
	f.Add(clientFrame(0xF1, []byte(`{}`)))                                           // reserved bits
	f.Add([]byte{textFrame, 2, '{', '}'})                                            // not masked
	f.Add([]byte{textFrame, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Add([]byte{textFrame, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}) // a length below 0
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPlace(t)
		c := p.dialRaw(data)
		if err := c.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.gone()
		until(t, fmt.Sprintf("the session that was sent %x has ended", data), func() bool { return p.gateway.Stats().Connections == 0 })
	})
}
