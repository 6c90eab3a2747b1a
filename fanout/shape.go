package fanout

import (
	"slices"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// shape is the last description of a table and what it means to the channels.
type shape struct {
	table    *cdc.Table
	bindings []*binding
}

// bindingsThen returns what an earlier description of a table meant.
func (h *Hub) bindingsThen(t *cdc.Table) []*binding {
	if now := h.shapes[t.OID]; now.table == t {
		return now.bindings
	}
	var bindings []*binding
	for _, ch := range h.registry.byTable[TableName{t.Schema, t.Name}] {
		if b, ok := ch.bind(t); ok {
			bindings = append(bindings, b)
		}
	}
	return bindings
}

// bindings returns what a table means to the channels, after looking whether it is still the table that it was. replaced
// are the channels whose name now means another table than before: one that was dropped and created again, or swapped.
// Nothing will ever tell that the old one's rows are gone.
func (h *Hub) bindings(tx *cdc.Transaction, t *cdc.Table) (bindings []*binding, replaced []*channel) {
	known, ok := h.shapes[t.OID]
	if ok && known.table == t {
		return known.bindings, nil
	}
	for _, ch := range h.registry.byTable[TableName{t.Schema, t.Name}] {
		b, ok := ch.bind(t)
		if !ok {
			h.logger.Error("the table was altered so that the channel no longer fits it: mend the configuration and restart",
				zap.String("channel", ch.Name), zap.Stringer("table", t))
			h.shut(tx, ch)
			continue
		}
		if ch.table != 0 && ch.table != t.OID {
			replaced = append(replaced, ch)
		}
		ch.broken, ch.table = false, t.OID
		bindings = append(bindings, b)
	}
	if ok && known.table.String() != t.String() {
		h.renamed(tx, known, t)
	}
	h.shapes[t.OID] = shape{table: t, bindings: bindings}
	return bindings, replaced
}

// renamed ends the views of a table that has another name now: its channels hear nothing of it any more. A channel that
// has found another table of its name goes on with that.
func (h *Hub) renamed(tx *cdc.Transaction, was shape, now *cdc.Table) {
	for _, b := range was.bindings {
		if b.channel.table != now.OID {
			continue
		}
		h.logger.Error("the table was renamed: mend the configuration and restart",
			zap.String("channel", b.channel.Name), zap.Stringer("table", was.table), zap.Stringer("now", now))
		h.shut(tx, b.channel)
	}
}

// shut marks a channel whose table is no longer what it was, and ends its subscriptions, also those that still wait for a
// snapshot. In the base protocol that ends the connections.
func (h *Hub) shut(tx *cdc.Transaction, ch *channel) {
	ch.broken, ch.table = true, 0
	h.parts.void(ch)
	h.log.cut(tx, protocol.ResetSchema, ch)
	for _, s := range slices.Concat(ch.active(), h.waitingFor(ch)) {
		if s.group.extended {
			h.end(s, protocol.CodeUnknownChannel, "the channel's table was altered")
			continue
		}
		s.client.queue.close(protocol.CloseServiceRestart)
	}
}

// channelsOf lists the channels whose tables a transaction changed.
func (h *Hub) channelsOf(tx *cdc.Transaction) []*channel {
	var channels []*channel
	for _, t := range tx.Tables() {
		for _, b := range h.bindingsThen(t) {
			if !slices.Contains(channels, b.channel) {
				channels = append(channels, b.channel)
			}
		}
	}
	return channels
}
