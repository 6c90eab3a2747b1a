package fanout

import (
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// unseen holds the transactions that the hub has routed and that no look at the database has shown yet. They are few:
// a commit becomes visible within milliseconds, unless it waits for a standby. It belongs to the hub's lock.
type unseen struct {
	limit        int
	transactions []unseenTransaction // in commit order
	bytes        int
	// forgotten are the identifiers of transactions that did not fit. A snapshot that does not show them all cannot be
	// completed, and is read again.
	forgotten     []uint32
	forgottenFrom cdc.LSN // the first of their commits

	// looked is the last look, until it may be applied: not before every reading has ended that began before it. Such a
	// reading may have an older snapshot, which needs what the look has shown. The number is of the last such reading.
	looked *cdc.Visibility
	number uint64
}

// unseenTransaction is a transaction that changed tables of channels with snapshots.
type unseenTransaction struct {
	tx *cdc.Transaction
	// cuts are the channels whose views it made begin anew: no snapshot from before it is of use to them.
	cuts []cut
}

func (u *unseen) add(t unseenTransaction) {
	u.transactions = append(u.transactions, t)
	u.bytes += t.tx.Size()
	for u.bytes > u.limit && len(u.transactions) > 0 {
		first := u.transactions[0].tx
		if len(u.forgotten) == 0 {
			u.forgottenFrom = first.Commit
		}
		u.forgotten = append(u.forgotten, first.XID)
		u.bytes -= first.Size()
		u.transactions[0] = unseenTransaction{}
		u.transactions = u.transactions[1:]
	}
}

// oldest is the position from which on the log has what no look has shown: after a restart it is needed again.
func (u *unseen) oldest() cdc.LSN {
	switch {
	case len(u.forgotten) > 0:
		return u.forgottenFrom
	case len(u.transactions) > 0:
		return u.transactions[0].tx.Commit
	}
	return cdc.NeedsNothing
}

func (u *unseen) empty() bool { return len(u.transactions) == 0 && len(u.forgotten) == 0 }

// completes tells whether everything that the snapshot does not show is still here and can follow it.
func (u *unseen) completes(ch *channel, v *cdc.Visibility) bool {
	for _, t := range u.transactions {
		cuts := slices.ContainsFunc(t.cuts, func(c cut) bool { return c.channel == ch })
		if cuts && !v.Shows(t.tx.XID) {
			return false
		}
	}
	return !slices.ContainsFunc(u.forgotten, func(xid uint32) bool { return !v.Shows(xid) })
}

// look notes what a look has shown. The reading's number is that of the last one that has begun by now.
func (u *unseen) look(v cdc.Visibility, number uint64) {
	if u.looked == nil {
		u.looked, u.number = &v, number
	}
}

// settle lets go of what the look has shown, once no reading is running that is as old. oldest is the number of the
// oldest one that runs.
func (u *unseen) settle(oldest uint64) {
	v := u.looked
	if v == nil || oldest <= u.number {
		return
	}
	u.looked = nil
	u.forgotten = slices.DeleteFunc(u.forgotten, v.Shows)
	u.transactions = slices.DeleteFunc(u.transactions, func(t unseenTransaction) bool {
		shown := v.Shows(t.tx.XID)
		if shown {
			u.bytes -= t.tx.Size()
		}
		return shown
	})
}

// clear forgets everything: after a gap in the stream every view is read anew.
func (u *unseen) clear() {
	u.transactions, u.forgotten, u.bytes, u.looked = nil, nil, 0, nil
}
