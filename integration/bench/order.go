package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

// orderCheck looks into the messages of a few connections: rows that were inserted one after the other, every so many of
// them into the same conversation, have to come without a gap.
type orderCheck struct {
	step int // between the ids of two messages of a conversation
	mu   sync.Mutex
	last map[int]int // by connection
	seen int
	err  error
}

// sampled says which connections are looked into: one in five hundred.
func sampled(conn int) bool { return conn%500 == 250 }

func newOrderCheck(step int) *orderCheck { return &orderCheck{step: step, last: map[int]int{}} }

// look is a load.Dialing's.
func (o *orderCheck) look(conn int, kind load.Kind, payload []byte) {
	if kind != load.Change {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	id, ok := idOf(payload)
	last, known := o.last[conn]
	switch {
	case o.err != nil:
	case !ok:
		o.err = fmt.Errorf("connection %d was sent %.300s, which has no row", conn, payload)
	case known && id != last+o.step:
		o.err = fmt.Errorf("connection %d was sent row %d behind row %d", conn, id, last)
	case o.seen%1000 == 0 && !json.Valid(payload):
		o.err = fmt.Errorf("connection %d was sent %.300s, which is not JSON", conn, payload)
	}
	o.last[conn] = id
	o.seen++
}

// verdict is what was found, or that nothing was looked at.
func (o *orderCheck) verdict() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil && o.seen == 0 {
		return fmt.Errorf("no message was looked into")
	}
	return o.err
}

// idOf reads the row's key.
func idOf(payload []byte) (id int, ok bool) {
	_, rest, found := bytes.Cut(payload, []byte(`"primaryKey":{"id":`))
	if !found {
		return 0, false
	}
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		id, ok = 10*id+int(c-'0'), true
	}
	return id, ok
}
