package app

import (
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal"
)

// condition is something that an operator should know of the gateway as it is now, and what to do about it.
type condition struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
	Do     string `json:"do"` // words, and SQL where that mends it
}

// circumstances are what conditions are told from.
type circumstances struct {
	slot     string
	running  bool // the database was found and set up
	draining bool
	source   wal.Stats
	pressure wal.Pressure
	tables   []wal.TableState
}

// conditions says what is the case, the state first.
func (c *circumstances) conditions() []condition {
	list := append([]condition{c.state()}, c.unserved()...)
	if c.pressure.High {
		list = append(list, condition{"wal pressure", fmt.Sprintf("the slot holds back %d of %d MB of log, and is lost beyond that%s; the gateway has let go of what it kept for clients that come back",
			c.pressure.Retained>>20, c.pressure.Limit>>20, timeLeft(c.pressure)),
			"look for transactions that are open for long (SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start), or give the slot more room: " + c.pressure.RaiseLimitSQL()})
	}
	return list
}

func timeLeft(p wal.Pressure) string {
	if p.Left < 0 {
		return ""
	}
	return fmt.Sprintf(", at this rate in %s", p.Left.Round(time.Second))
}

func (c *circumstances) state() condition {
	switch {
	case c.draining:
		return condition{"draining", "clients are sent away, and the process ends", "nothing"}
	case !c.running:
		return condition{"starting", "the gateway waits for the database, or for transactions to end that it has to wait for when it makes the slot",
			"nothing; if it lasts, run `reactive-gw doctor`, and look for transactions that are open for long: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start;"}
	}
	switch c.source.State {
	case wal.Standby:
		return condition{"standby", "another gateway has the slot; this one takes over when that one ends",
			fmt.Sprintf("nothing; who has it: SELECT * FROM pg_stat_replication WHERE pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = '%s');", c.slot)}
	case wal.CatchingUp:
		return condition{"catching up", fmt.Sprintf("%d bytes of log are to be read that were written before the stream began", c.source.LagBytes), "nothing"}
	case wal.Live:
		return condition{"live", "changes flow", "nothing"}
	}
	if c.source.Failure == nil {
		return condition{"connecting", "the stream begins", "nothing"}
	}
	return condition{"connecting", fmt.Sprintf("the stream ended at %s: %v", c.source.FailureAt.UTC().Format(time.RFC3339), c.source.Failure),
		"nothing: it is tried again; if it lasts, run `reactive-gw doctor`"}
}

// afterReset says what an operator can do so that it does not happen again. Clients have started over by themselves.
func afterReset(reason cdc.ResetReason, slot string) string {
	switch reason {
	case cdc.ResetPublication:
		return "leave the publication in place, and its name: drop or rename it only while no gateway uses it"
	case cdc.ResetTimeline:
		return "nothing: what was read from the server before may not be in what is there now"
	case cdc.ResetSlotLost:
		return fmt.Sprintf("run `reactive-gw doctor`: it says whether settings endanger the slot; let nobody else drop, read or advance slot %s", slot)
	}
	return "nothing"
}
