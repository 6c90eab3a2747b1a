package wal

import (
	"testing"
	"time"
)

// P72: whoever holds locks on a table for how long, others lose at most 2 % of their time to our tries.
func TestP72TriesTakeAtMostTwoPercent(t *testing.T) {
	t.Parallel()
	reader := func(transaction string) holder { return holder{1, transaction, readMode} }
	for name, c := range map[string]struct {
		holders func(look int) []holder
		most    int // tries in an hour
	}{
		"one reader for an hour":       {func(int) []holder { return []holder{reader("3/1")} }, 61},
		"readers that come and go":     {func(look int) []holder { return []holder{reader(string(rune('a' + look%7)))} }, 72},
		"nobody whenever it is looked": {func(int) []holder { return nil }, 72},
		"a writer for an hour":         {func(int) []holder { return []holder{{1, "3/1", "RowExclusiveLock"}} }, 61},
		"a reader, and writers that go": {func(look int) []holder {
			return []holder{reader("3/1"), {1, string(rune('a' + look%7)), "RowExclusiveLock"}}
		}, 61},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Unix(1e9, 0)
			p := pace{tried: begin}
			var tries []time.Time
			for look := range 7200 {
				now := begin.Add(time.Duration(look) * lookEvery)
				due, patient := p.look(now, c.holders(look), true)
				if patient {
					t.Fatal("it is patient, though more than VACUUM is in the way")
				}
				if due {
					tries = append(tries, now)
					p.failed(now, 0)
				}
			}
			if len(tries) == 0 || len(tries) > c.most {
				t.Errorf("%d tries in an hour, want some, and at most %d", len(tries), c.most)
			}
			for i := 1; i < len(tries); i++ {
				if pause := tries[i].Sub(tries[i-1]); alterTakes*50 > pause {
					t.Errorf("tries %s apart take more than 2 %% of the time", pause)
				}
			}
		})
	}
}

func TestP72PaceHeedsWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	at := func(look int) time.Time { return time.Unix(1e9, 0).Add(time.Duration(look) * lookEvery) }
	vacuum, reader := holder{1, "4/1", vacuumMode}, holder{1, "3/1", readMode}

	p := pace{tried: at(0)}
	if due, _ := p.look(at(0), nil, true); due {
		t.Error("the first look does not know who holds locks for long")
	}
	p.look(at(1), []holder{vacuum}, true)
	if due, patient := p.look(at(2), []holder{vacuum}, true); !due || !patient {
		t.Errorf("behind VACUUM due %t, patient %t", due, patient)
	}
	p.failed(at(2), 1)
	if due, _ := p.look(at(2).Add(minPause), []holder{vacuum}, true); due {
		t.Error("it is tried before its time: chance lengthens the pause")
	}
	if due, _ := p.look(at(2).Add(minPause*5/4), []holder{vacuum}, true); !due {
		t.Error("it is not tried when its time has come")
	}
	p = pace{tried: at(0)}
	p.look(at(0), []holder{reader}, false)
	if due, _ := p.look(at(1), []holder{reader}, false); !due {
		t.Error("a reader hinders nobody who only adds a table")
	}
	p = pace{tried: at(0)}
	p.look(at(0), []holder{reader}, true)
	if due, _ := p.look(at(1), []holder{reader}, true); due {
		t.Error("a reader that stays hinders an alteration")
	}
	if due, _ := p.look(at(2), nil, true); !due {
		t.Error("it is tried once the reader is gone")
	}
}

// A transaction that wrote before is waited for, also when it was prepared; one that began to write later is not.
func TestTablesDrainOfThoseWhoWroteBefore(t *testing.T) {
	t.Parallel()
	writer := func(transaction string) holder { return holder{1, transaction, "RowExclusiveLock"} }
	table := &tableProgress{relations: []uint32{1}}
	if !table.waitsFor([]holder{writer("3/1"), {1, "3/2", readMode}, {2, "3/3", "RowExclusiveLock"}}) {
		t.Error("it does not wait for the one that writes")
	}
	if !table.waitsFor([]holder{writer("3/1"), writer("3/9")}) {
		t.Error("it does not wait until that one is gone")
	}
	if table.waitsFor([]holder{writer("3/9"), {1, "3/2", readMode}, {2, "3/3", "RowExclusiveLock"}}) {
		t.Error("it waits for one that wrote later, for a reader, or for a writer of another table")
	}
	if !table.waitsFor([]holder{writer("-1/700")}) {
		t.Error("it does not wait for one that was prepared before the server crashed: it may be any")
	}
}

func TestWaitingTablesAreKeptInTheComment(t *testing.T) {
	t.Parallel()
	names := []TableName{{"public", "orders"}, {`odd "sch'ema`, `back\slash`}}
	sql := waitingSQL("p", names)
	if want := `COMMENT ON PUBLICATION "p" IS  E'reactive-gw is yet to add: [["public","orders"],["odd \\"sch''ema","back\\\\slash"]]';`; sql != want {
		t.Logf("%s", sql)
	}
	if got := waitingSQL("p", nil); got != `COMMENT ON PUBLICATION "p" IS NULL;` {
		t.Errorf("without tables: %s", got)
	}
	got := parseWaiting(waitingComment + `[["public","orders"],["odd \"sch'ema","back\\slash"]]`)
	if len(got) != 2 || got[0] != names[0] || got[1] != names[1] {
		t.Errorf("read %v, want %v", got, names)
	}
	for _, other := range []string{"", "of the shop", waitingComment, waitingComment + "[[1]]"} {
		if got := parseWaiting(other); got != nil {
			t.Errorf("%q is read as %v", other, got)
		}
	}
}
