package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal"
)

func TestConditionsSayWhatIsTheCaseAndWhatToDo(t *testing.T) {
	calm := wal.UnknownPressure()
	for what, c := range map[string]struct {
		now  circumstances
		want []string // name, a part of the detail, a part of what to do, for each
	}{
		"starting": {circumstances{}, []string{"starting", "waits", "reactive-gw doctor"}},
		"waiting": {circumstances{waitsFor: &wal.Verdict{What: "db:5432 refuses connections", Do: "start it"}},
			[]string{"starting", "waiting for the database: db:5432 refuses connections", "start it"}},
		"draining":    {circumstances{running: true, draining: true}, []string{"draining", "sent away", "nothing"}},
		"connecting":  {circumstances{running: true}, []string{"connecting", "begins", "nothing"}},
		"interrupted": {circumstances{running: true, source: wal.Stats{Failure: errors.New("refused")}}, []string{"connecting", "refused", "reactive-gw doctor"}},
		"standby": {circumstances{running: true, slot: "shop", source: wal.Stats{State: wal.Standby}},
			[]string{"standby", "another gateway", "slot_name = 'shop'"}},
		"catching up": {circumstances{running: true, source: wal.Stats{State: wal.CatchingUp, LagBytes: 77}}, []string{"catching up", "77 bytes", "nothing"}},
		"live":        {circumstances{running: true, source: wal.Stats{State: wal.Live}}, []string{"live", "flow", "nothing"}},
		"pressure": {circumstances{running: true, source: wal.Stats{State: wal.Live}, pressure: wal.Pressure{Retained: 60 << 20, Limit: 100 << 20, Left: 40 * time.Second, High: true}},
			[]string{"live", "flow", "nothing", "wal pressure", "60 of 100 MB of log, and is lost beyond that, at this rate in 40s", "ALTER SYSTEM SET max_slot_wal_keep_size = '241MB'"}},
		"no keys": {circumstances{running: true, source: wal.Stats{State: wal.Live}, keys: &auth.JWKSState{Host: "login.example.com", Failure: errors.New("no route")}},
			[]string{"live", "flow", "nothing", "no signing keys yet", "fetched from login.example.com: every client with a token is told to try again (1013); the last try: no route", "jwks_uri"}},
		"old keys": {circumstances{running: true, source: wal.Stats{State: wal.Live}, keys: &auth.JWKSState{Host: "login.example.com", Loaded: true, Failure: errors.New("no route")}},
			[]string{"live", "flow", "nothing", "old signing keys", "go on working", "curl"}},
		"good keys": {circumstances{running: true, source: wal.Stats{State: wal.Live}, keys: &auth.JWKSState{Loaded: true}}, []string{"live", "flow", "nothing"}},
		"few descriptors": {circumstances{running: true, source: wal.Stats{State: wal.Live}, descriptors: shareDescriptors(256, 88, 10_000)},
			[]string{"live", "flow", "nothing", "few file descriptors", "may have 256 descriptors open, and 88 of them are kept for the database, operators and files: 147 clients get in, and not maxConnections, 10000", "LimitNOFILE=10344"}},
		"unreadable": {circumstances{running: true, source: wal.Stats{State: wal.Live, Unreadable: wal.Unreadable{
			Table: "public.film", Detail: "it is too long", Fix: "split it", At: time.Now(), Oversized: 3}}},
			[]string{"live", "flow", "nothing", "unreadable changes", "a change of public.film could not be read, because it is too long", "split it"}},
		"unreadable long ago": {circumstances{running: true, source: wal.Stats{State: wal.Live, Unreadable: wal.Unreadable{
			Table: "public.film", At: time.Now().Add(-unreadableFor)}}}, []string{"live", "flow", "nothing"}},
	} {
		if c.now.pressure == (wal.Pressure{}) {
			c.now.pressure = calm
		}
		got := c.now.conditions()
		if len(got) != len(c.want)/3 {
			t.Errorf("%s: %+v", what, got)
			continue
		}
		for i, condition := range got {
			if condition.Name != c.want[3*i] || !strings.Contains(condition.Detail, c.want[3*i+1]) || !strings.Contains(condition.Do, c.want[3*i+2]) {
				t.Errorf("%s: %+v, want %q", what, condition, c.want[3*i:3*i+3])
			}
		}
	}
}

func TestEveryResetSaysWhatToDo(t *testing.T) {
	for _, reason := range []cdc.ResetReason{cdc.ResetSlotLost, cdc.ResetTimeline, cdc.ResetPublication} {
		if afterReset(reason, "shop") == "" {
			t.Errorf("%s says nothing", reason)
		}
	}
}
