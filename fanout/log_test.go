package fanout

import (
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Transactions that follow one another share memory: to keep one of many must not keep them all.
func TestReplayLogKeepsNoMemoryOfOthers(t *testing.T) {
	l := replayLog{ResumeOptions: ResumeOptions{Window: time.Minute, MaxBytes: 1 << 20}}
	l.begin(1)
	neighbours := &cdc.Transaction{Commit: 1}
	l.add(neighbours, nil)
	l.pass(&cdc.Transaction{Commit: 2})
	beside := &cdc.Transaction{Commit: 3} // as much was passed as it has itself
	l.add(beside, nil)
	for range 2 {
		l.pass(&cdc.Transaction{Commit: 4})
	}
	lone := &cdc.Transaction{Commit: 5}
	l.add(lone, nil)
	entries := l.chunks[0].entries
	if entries[0] != neighbours || entries[1] != beside {
		t.Error("neighbours were copied")
	}
	if entries[2] == lone || entries[2].Commit != lone.Commit {
		t.Error("a transaction that is kept alone was not copied")
	}
}
