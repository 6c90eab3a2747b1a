package cdc

// Snapshot is what a query saw at one moment.
type Snapshot struct {
	Visibility Visibility
	// Upto is a position in the log that no commit which the snapshot shows lies beyond.
	Upto LSN
	// Table describes the rows.
	Table *Table
	Rows  []Row
}
