package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal"
)

func TestConditionsSayWhatIsTheCaseAndWhatToDo(t *testing.T) {
	calm := wal.UnknownPressure()
	for what, c := range map[string]struct {
		now  circumstances
		want []string // name, a part of the detail, a part of what to do, for each
	}{
		"starting":    {circumstances{}, []string{"starting", "waits", "reactive-gw doctor"}},
		"draining":    {circumstances{running: true, draining: true}, []string{"draining", "sent away", "nothing"}},
		"connecting":  {circumstances{running: true}, []string{"connecting", "begins", "nothing"}},
		"interrupted": {circumstances{running: true, source: wal.Stats{Failure: errors.New("refused")}}, []string{"connecting", "refused", "reactive-gw doctor"}},
		"standby": {circumstances{running: true, slot: "shop", source: wal.Stats{State: wal.Standby}},
			[]string{"standby", "another gateway", "slot_name = 'shop'"}},
		"catching up": {circumstances{running: true, source: wal.Stats{State: wal.CatchingUp, LagBytes: 77}}, []string{"catching up", "77 bytes", "nothing"}},
		"live":        {circumstances{running: true, source: wal.Stats{State: wal.Live}}, []string{"live", "flow", "nothing"}},
		"pressure": {circumstances{running: true, source: wal.Stats{State: wal.Live}, pressure: wal.Pressure{Retained: 60 << 20, Limit: 100 << 20, Left: 40 * time.Second, High: true}},
			[]string{"live", "flow", "nothing", "wal pressure", "60 of 100 MB of log, and is lost beyond that, at this rate in 40s", "ALTER SYSTEM SET max_slot_wal_keep_size = '241MB'"}},
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
