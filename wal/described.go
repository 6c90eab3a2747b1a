package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// described is what a transaction in progress was told of tables. It counts for that transaction alone, for it may have
// altered them itself, and until its commit for no other. What a subtransaction was told goes with it. The server keeps the
// same books: it describes a table anew to every transaction in progress, and after every abort, and takes what a transaction
// was told for known once it has committed.
type described struct {
	list  []*relation // in the order of arrival
	byOID map[uint32]*relation
	types []uint32 // that were told of too
	now   uint32   // the subtransaction that messages come in, counted from the transaction's identifier
}

func (d *described) add(rel *relation) {
	d.list = append(d.list, rel)
	d.byOID[rel.message.OID] = rel
}

// knows tells whether a message says what is known. What the catalog says may be another thing by now, but all is looked up
// again at the commit: see settle.
func (d *described) knows(m Relation) bool {
	rel := d.byOID[m.OID]
	return rel != nil && rel.message.equal(m)
}

// equal tells whether two messages say the same of a table.
func (m Relation) equal(n Relation) bool {
	return m.OID == n.OID && m.Schema == n.Schema && m.Name == n.Name && m.Identity == n.Identity && slices.Equal(m.Columns, n.Columns)
}

// cut takes back what the subtransaction was told, and those below it: it is at the end, as their changes are.
func (d *described) cut(from uint32) {
	kept := len(d.list)
	for kept > 0 && d.list[kept-1].within >= from {
		kept--
	}
	if kept == len(d.list) {
		return
	}
	d.list = d.list[:kept]
	clear(d.byOID)
	for _, rel := range d.list {
		d.byOID[rel.message.OID] = rel
	}
}

// open enters a block of a transaction in progress.
func (r *relations) open(xid uint32, first bool) {
	if first {
		if r.streamed == nil {
			r.streamed = map[uint32]*described{}
		}
		r.streamed[xid] = &described{byOID: map[uint32]*relation{}}
	}
	r.block = r.streamed[xid]
}

func (r *relations) abort(xid, subtransaction uint32) {
	if xid == subtransaction {
		delete(r.streamed, xid)
	} else if d := r.streamed[xid]; d != nil {
		d.cut(subtransaction - xid)
	}
}

// errTakenInWrongly: rows were taken in by a description that the catalog now belies.
var errTakenInWrongly = errors.New("a transaction attached or altered partitions, which could not be known while it was in progress")

// settle ends a transaction in progress that has committed: what it was told counts for all from now on. What it created or
// altered itself could not be seen in the catalog before, so that everything is looked up again. tables are those that its
// changes are of; they are exchanged for what is known of them now. Where that would have made other changes of the same rows,
// the error is an interruption: the server sends the transaction again, and then the catalog is right from its beginning.
func (r *relations) settle(ctx context.Context, xid uint32, tables []*cdc.Table) error {
	told := r.streamed[xid]
	delete(r.streamed, xid)
	if told == nil || len(told.list) == 0 {
		return nil
	}
	if err := r.awaitVisible(ctx, xid); err != nil {
		return err
	}
	r.types.Forget(told.types...)
	then, now := map[uint32]*relation{}, &described{byOID: map[uint32]*relation{}}
	r.block = now
	defer func() { r.block = nil }()
	instead := map[*cdc.Table]*cdc.Table{}
	for i, was := range told.list {
		then[was.message.OID] = was
		if !now.knows(was.message) {
			if err := r.lookUp(ctx, was.message, was.number); err != nil {
				return err
			}
		}
		if i+1 < len(told.list) && told.list[i+1].number < was.number {
			continue // the partition's table was described anew with it, and no change came in between
		}
		for _, oid := range []uint32{was.message.OID, now.byOID[was.message.OID].root} {
			if then[oid] == nil {
				continue
			}
			was, is := then[oid], now.byOID[oid]
			if other := instead[was.table]; slices.Contains(tables, was.table) && (!was.takesRowsLike(is) || other != nil && other != is.table) {
				return interruption{fmt.Errorf("table %s: %w", was.table, errTakenInWrongly)}
			}
			instead[was.table] = is.table
		}
	}
	for i, table := range tables {
		if is := instead[table]; is != nil {
			tables[i] = is
		}
	}
	r.block = nil
	r.promote(now)
	return nil
}

// takesRowsLike tells whether two descriptions of the same message make the same of a row: see images.
func (r *relation) takesRowsLike(other *relation) bool {
	return r.partial == other.partial && slices.EqualFunc(r.table.Columns, other.table.Columns, func(a, b cdc.Column) bool {
		return a.Identity == b.Identity
	})
}

const (
	// visiblePatience is how long a commit may take to become visible before it is settled as it is. It takes milliseconds,
	// but for one that waits for a synchronous standby.
	visiblePatience = time.Second
	visiblePoll     = 5 * time.Millisecond
)

// awaitVisible waits until the catalog shows what a transaction did: a commit is streamed before it is visible.
func (r *relations) awaitVisible(ctx context.Context, xid uint32) error {
	for deadline := time.Now().Add(visiblePatience); ; {
		var snapshot string
		err := each(ctx, r.catalog, "read snapshot", "select pg_catalog.pg_current_snapshot()::pg_catalog.text", nil, func(rows pgx.Rows) error {
			return rows.Scan(&snapshot)
		})
		if err != nil {
			return err
		}
		v, err := cdc.ParseVisibility(snapshot)
		if err != nil || v.Shows(xid) || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, visiblePoll); err != nil {
			return err
		}
	}
}

// promote makes descriptions those of the connection, but for tables that it has newer ones of.
func (r *relations) promote(d *described) {
	for oid, rel := range d.byOID {
		if known := r.byOID[oid]; known == nil || known.number <= rel.number {
			r.byOID[oid] = rel
		}
	}
	for _, rel := range d.byOID {
		r.recheck(rel.root)
	}
}
