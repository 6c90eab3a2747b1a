package wal

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgerrcode"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// relations knows the tables that the stream has described, by their OIDs. Descriptions belong to one connection: a
// server describes every table anew to each. Those of a transaction in progress are its own: see described. It belongs to
// the goroutine that decodes.
type relations struct {
	catalog Querier
	types   *values.Catalog
	byOID   map[uint32]*relation
	// keys outlives connections: the primary keys last seen, for tables that were dropped before their changes were read.
	keys map[uint32][]string

	streamed map[uint32]*described // by the identifiers of the transactions in progress
	block    *described            // of the transaction whose block is open, nil outside of blocks
	decoder  *decoder              // of the connection; nil where all is UTF-8
	scratch  []byte                // for it
	arrived  uint64                // how many descriptions
}

// relation is a table as the stream describes it.
type relation struct {
	message Relation
	table   *cdc.Table
	key     []string
	root    uint32    // the partitioned table that it is a partition of, 0 where it is none
	partial bool      // a before image that is called full may hold only the key
	number  uint64    // of the message, in the order of arrival
	own     *ownTable // of schema mtbreactive; nil for every other table
	within  uint32    // the subtransaction that it came in, counted from its transaction's identifier

	scratch []byte
	values  []cdc.Value
}

// forget drops the descriptions at the beginning of a connection.
func (r *relations) forget() {
	r.byOID, r.streamed, r.block = map[uint32]*relation{}, nil, nil
}

func (r *relations) get(oid uint32) (*relation, error) {
	if rel := r.find(oid); rel != nil {
		return rel, nil
	}
	return nil, fmt.Errorf("relation %d was not described: %w", oid, ErrMessage)
}

func (r *relations) find(oid uint32) *relation {
	if r.block != nil {
		if rel := r.block.byOID[oid]; rel != nil {
			return rel
		}
	}
	return r.byOID[oid]
}

// describe takes in a Relation message. The stream does not say which columns are the primary key (under REPLICA
// IDENTITY FULL all are marked) nor what a type is made of, so both are looked up.
func (r *relations) describe(ctx context.Context, m Relation) error {
	if r.block != nil && r.block.knows(m) {
		return nil
	}
	r.arrived++
	return r.lookUp(ctx, m, r.arrived)
}

// lookUp is describe for a message that arrived as the given one.
func (r *relations) lookUp(ctx context.Context, m Relation, number uint64) error {
	if m.Schema == ownSchema {
		r.put(m, nil, 0, number)
		return nil
	}
	failed := func(err error) error { return fmt.Errorf("describe %s.%s: %w", m.Schema, m.Name, err) }
	oids := make([]uint32, len(m.Columns))
	for i, c := range m.Columns {
		oids[i] = c.TypeOID
	}
	var key []string
	if !m.nameless {
		err := r.types.Load(ctx, r.catalog, oids)
		if err == nil {
			key, err = r.primaryKey(ctx, m)
		}
		if m.nameless = hasCode(err, pgerrcode.UntranslatableCharacter); err != nil && !m.nameless {
			return failed(err)
		}
	}
	root, err := partitionRoot(ctx, r.catalog, m.OID)
	if err != nil {
		return failed(err)
	}
	if root == m.OID {
		root = 0
	}
	r.put(m, key, root, number)
	r.recheck(root)
	return nil
}

// put makes a description of what was looked up and what is known of partitions.
func (r *relations) put(m Relation, key []string, root uint32, number uint64) {
	rel := &relation{message: m, key: key, root: root, partial: r.partial(m.OID), number: number}
	if r.block != nil {
		rel.within = r.block.now
	}
	rel.table = &cdc.Table{OID: m.OID, Schema: m.Schema, Name: m.Name}
	if m.Schema == ownSchema {
		rel.own = newOwnTable(m)
		m.Columns = nil // nobody is shown them
	}
	for _, c := range m.Columns {
		inKey := slices.Contains(key, c.Name)
		rel.table.Columns = append(rel.table.Columns, cdc.Column{
			Name: c.Name, TypeOID: c.TypeOID, Key: inKey, Identity: c.Identity && (inKey || !rel.partial),
			JSON: r.types.Encoder(c.TypeOID),
		})
	}
	if r.block != nil {
		r.block.add(rel)
		return
	}
	r.byOID[m.OID] = rel
}

// partial tells whether partitions lie in their table's name. The changes of partitions come under the name and with the
// replica identity of the partitioned table. Where that is FULL and a partition's own is not, as it is of one that was added
// since the setup, an image that is called full holds NULL for all but the key, and one that is missing does not mean that
// nothing changed. The server describes a partition before its first change, after its table, and to each transaction in
// progress anew.
func (r *relations) partial(table uint32) bool {
	known := r.byOID
	if r.block != nil {
		known = r.block.byOID
	}
	for _, rel := range known {
		if rel.root == table && rel.message.Identity != 'f' {
			return true
		}
	}
	return false
}

// recheck makes the description of a partitioned table anew where what is known of its partitions has made it another.
func (r *relations) recheck(root uint32) {
	if rel := r.find(root); rel != nil && rel.partial != r.partial(root) {
		r.put(rel.message, rel.key, rel.root, rel.number)
	}
}

// primaryKey asks the catalog, which is that of now: by now the table may be dropped, or its key's columns renamed. Then
// the key last seen stands in, or the replica identity.
func (r *relations) primaryKey(ctx context.Context, m Relation) ([]string, error) {
	key, err := loadPrimaryKey(ctx, r.catalog, m.OID)
	if err != nil {
		return nil, err
	}
	if m.describes(key) {
		r.keys[m.OID] = key
		return key, nil
	}
	if key = r.keys[m.OID]; m.describes(key) {
		return key, nil
	}
	key = nil
	if m.Identity != 'f' {
		for _, c := range m.Columns {
			if c.Identity {
				key = append(key, c.Name)
			}
		}
	}
	return key, nil
}

// describes tells whether all of the key's columns, one at least, are among those of the message.
func (m Relation) describes(key []string) bool {
	return len(key) > 0 && !slices.ContainsFunc(key, func(name string) bool {
		return !slices.ContainsFunc(m.Columns, func(c RelationColumn) bool { return c.Name == name })
	})
}

// check tells whether an image has as many columns as the table.
func (r *relation) check(row cdc.Row) error {
	if row != nil && row.Len() != len(r.table.Columns) {
		return r.columnsMismatch(row)
	}
	return nil
}

func (r *relation) columnsMismatch(row cdc.Row) error {
	return fmt.Errorf("a row of %s has %d columns, the table %d: %w", r.table, row.Len(), len(r.message.Columns), ErrMessage)
}

// images makes the two images say what is known. In a before image that holds only the key, all other columns come as
// NULL: they become Absent. In an after image, a TOAST value that the update left alone comes as Absent: it is taken
// from the before image where that has it. The results are valid until the next call.
func (r *relation) images(old OldTuple, before, after cdc.Row) (cdc.Row, cdc.Row, error) {
	r.scratch = r.scratch[:0]
	if old == OldFull && r.partial {
		old = OldKey
	}
	if old == OldKey {
		r.values = r.values[:0]
		for i, v := range before.Values() {
			if !r.table.Columns[i].Identity {
				v = cdc.Value{State: cdc.Absent}
			}
			r.values = append(r.values, v)
		}
		var err error
		if before, err = r.pack(); err != nil {
			return nil, nil, err
		}
	}
	if old != OldNone && hasAbsent(after) {
		r.values = r.values[:0]
		for i, v := range after.Values() {
			if v.State == cdc.Absent {
				v = before.Value(i)
			}
			r.values = append(r.values, v)
		}
		var err error
		if after, err = r.pack(); err != nil {
			return nil, nil, err
		}
	}
	return before, after, nil
}

// pack appends the gathered values to the scratch space as a row.
func (r *relation) pack() (cdc.Row, error) {
	start := len(r.scratch)
	packed, err := cdc.AppendRow(r.scratch, r.values)
	if err != nil {
		return nil, fmt.Errorf("row of %s: %w", r.table, err)
	}
	r.scratch = packed
	return cdc.Row(packed[start:]), nil
}

func hasAbsent(row cdc.Row) bool {
	for _, v := range row.Values() {
		if v.State == cdc.Absent {
			return true
		}
	}
	return false
}
