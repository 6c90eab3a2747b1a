package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/auth"
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
	slot        string
	running     bool         // the database was found and set up
	waitsFor    *wal.Verdict // while it is not; nil where nothing is known to be waited for
	draining    bool
	source      wal.Stats
	pressure    wal.Pressure
	exposed     *exposure       // nil where a configuration says what is served
	keys        *auth.JWKSState // of the keys that tokens are signed with; nil where none are fetched
	descriptors descriptors
	tables      []wal.TableState
}

// conditions says what is the case, the state first, and then what is the matter with the parts.
func (c *circumstances) conditions() []condition {
	return slices.Concat([]condition{c.state()}, unservedConditions(c.tables), keysConditions(c.keys), c.descriptors.conditions(),
		pressureConditions(&c.pressure), c.exposed.conditions(), unreadableConditions(&c.source.Unreadable))
}

func pressureConditions(p *wal.Pressure) []condition {
	if !p.High {
		return nil
	}
	return []condition{{"wal pressure", fmt.Sprintf("the slot holds back %d of %d MB of log, and is lost beyond that%s; the gateway has let go of what it kept for clients that come back",
		p.Retained>>20, p.Limit>>20, timeLeft(p)),
		"look for transactions that are open for long (SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start), or give the slot more room: " + p.RaiseLimitSQL()}}
}

func unreadableConditions(u *wal.Unreadable) []condition {
	if u.Table == "" || time.Since(u.At) >= unreadableFor {
		return nil
	}
	return []condition{{"unreadable changes", fmt.Sprintf("at %s a change of %s could not be read, because %s; the views of the table started over if it committed; since the start %d changes were too long and %d had no Unicode",
		u.At.UTC().Format(time.RFC3339), u.Table, u.Detail, u.Oversized, u.Undecodable), u.Fix}}
}

func keysConditions(s *auth.JWKSState) []condition {
	const look = "look whether jwksUrl is the issuer's jwks_uri, and whether this machine reaches it: curl -i the URL"
	switch {
	case s == nil || s.Failure == nil:
		return nil
	case !s.Loaded:
		return []condition{{noKeys, fmt.Sprintf("no key set was ever fetched from %s: every client with a token is told to try again (1013); the last try: %v", s.Host, s.Failure), look}}
	}
	return []condition{{"old signing keys", fmt.Sprintf("%s did not give its key set: tokens of the keys that it had before go on working, others are told to try again (1013); the last try: %v",
		s.Host, s.Failure), look}}
}

// noKeys is why a gateway is not ready that cannot tell who clients are.
const noKeys = "no signing keys yet"

// unreadableFor is how long an operator is told of a change that could not be read.
const unreadableFor = time.Hour

func timeLeft(p *wal.Pressure) string {
	if p.Left < 0 {
		return ""
	}
	return fmt.Sprintf(", at this rate in %s", p.Left.Round(time.Second))
}

func (c *circumstances) state() condition {
	switch {
	case c.draining:
		return condition{"draining", "clients are sent away, and the process ends", "nothing"}
	case !c.running && c.waitsFor != nil:
		return condition{"starting", fmt.Sprintf("waiting for the database: %s", c.waitsFor.What), c.waitsFor.Do}
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
	v := wal.Judge(c.source.Failure)
	do := "nothing: it is tried again; if it lasts, run `reactive-gw doctor`"
	if v.Do != "" && v.Do != "nothing" {
		do = v.Do + "; it is tried again meanwhile"
	}
	return condition{"connecting", fmt.Sprintf("the stream ended at %s: %s", c.source.FailureAt.UTC().Format(time.RFC3339), v.What), do}
}

// afterReset says what an operator can do so that it does not happen again. Clients have started over by themselves.
func afterReset(reason cdc.ResetReason, slot string) string {
	switch reason {
	case cdc.ResetPublication:
		return "nothing, where the gateway was upgraded just now: publication mtbreactive_outbox is new. Otherwise leave the publications in place, and their names: drop or rename them only while no gateway uses them"
	case cdc.ResetTimeline:
		return "nothing: what was read from the server before may not be in what is there now"
	case cdc.ResetSlotLost:
		return fmt.Sprintf("run `reactive-gw doctor`: it says whether settings endanger the slot; let nobody else drop, read or advance slot %s", slot)
	}
	return "nothing"
}
