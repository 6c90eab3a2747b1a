package cdc

// AppendJSON appends to dst the JSON of one column value given in PostgreSQL's text output format, and returns the
// extended slice. It never fails: what it does not understand becomes a JSON string. It is safe for concurrent use
// and keeps neither slice.
type AppendJSON func(dst, text []byte) []byte

// Column is one column of a captured table.
type Column struct {
	Name string
	// TypeOID is the column's type in the catalog of the database that the row came from.
	TypeOID uint32
	// Key tells whether the column is part of the table's primary key.
	Key bool
	// Identity tells whether the column is part of the replica identity: its old value is known even where an update has
	// no before image, for then it did not change.
	Identity bool
	// JSON encodes a value of the column; nil means that every value is a JSON string.
	JSON AppendJSON
}

// Table is the shape of a captured table at one point of the stream. It is immutable: after an ALTER TABLE the
// changes that follow carry another Table.
type Table struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []Column
}

// Column returns the position of the named column, or -1.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// String gives schema.name for logs; it is not quoted and not for SQL.
func (t *Table) String() string { return t.Schema + "." + t.Name }
