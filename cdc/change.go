package cdc

import "iter"

// Op is what a change did.
type Op byte

// The operations. Truncate and Unreadable have a table and no images.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate
	// Unreadable is a change of some row that the source could not read.
	Unreadable
)

// OfTable tells whether the change may concern every row of its table, and has no images.
func (o Op) OfTable() bool { return o == Truncate || o == Unreadable }

func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case Unreadable:
		return "unreadable change"
	}
	return "unknown"
}

// Change is one row's change, or one of a whole table: see Op.OfTable. Its rows alias the transaction that it came from and are
// valid as long as that is.
type Change struct {
	Op    Op
	Table *Table
	// Before is the old image of an Update or Delete: complete under REPLICA IDENTITY FULL, otherwise with Absent in
	// every column outside the identity. It is nil for an Update that left the identity alone and is not FULL.
	Before Row
	// After is the new image of an Insert or Update.
	After Row
}

// Changed yields the columns of an Update that changed, with their new values. A column whose old value is not known
// counts as changed, except where the source says that it stayed: its new value is Absent, or it is part of the replica
// identity and there is no before image.
func (c *Change) Changed() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		before, after := c.Before.cursor(), c.After.cursor()
		for i := 0; ; i++ {
			now, ok := after.next()
			if !ok {
				return
			}
			was, _ := before.next()
			if now.State == Absent || now.Equal(was) {
				continue
			}
			if c.Before == nil && i < len(c.Table.Columns) && c.Table.Columns[i].Identity {
				continue
			}
			if !yield(i, now) {
				return
			}
		}
	}
}

// KeyChanged tells whether an Update gave the row another primary key.
func (c *Change) KeyChanged() bool {
	if c.Before == nil || c.After == nil {
		return false
	}
	for i, now := range c.Changed() {
		if i < len(c.Table.Columns) && c.Table.Columns[i].Key && c.Before.Value(i).State != Absent && now.State != Absent {
			return true
		}
	}
	return false
}
