package protocol

// EventType is what happened to the set of rows that a subscription is a view of.
type EventType string

// The events: a row came into the set, stayed in it, or left it.
const (
	AfterInsert EventType = "afterInsert"
	AfterUpdate EventType = "afterUpdate"
	AfterDelete EventType = "afterDelete"
)

// Event is one row's event. The encoded members are JSON objects from column name to value; an empty slice stands for
// the empty object.
type Event struct {
	Type          EventType
	Schema, Table string
	PrimaryKey    []byte
	// Row is the after image of an insert or update and the before image of a delete.
	Row []byte
	// Changed is, for AfterUpdate, the columns that really changed with their new values. It is not read otherwise.
	Changed []byte

	// The rest is of the extended protocol, and left out of the event where it is nil or empty.

	// Before is, for AfterUpdate, the old values of the columns in Changed.
	Before []byte
	// Unchanged is the array of the names of columns that Row lacks, since they did not change and the server does not know
	// their values.
	Unchanged []byte
	// Origin is who made the change, as the transaction says.
	Origin string
}

// AppendEvent appends e as a JSON object, ready for AppendChange and AppendChanges.
func AppendEvent(dst []byte, e Event) []byte {
	dst = append(dst, `{"type":`...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"schemaName":`...)
	dst = AppendString(dst, e.Schema)
	dst = append(dst, `,"tableName":`...)
	dst = AppendString(dst, e.Table)
	dst = append(dst, `,"primaryKey":`...)
	dst = appendObject(dst, e.PrimaryKey)
	dst = append(dst, `,"row":`...)
	dst = appendObject(dst, e.Row)
	if e.Type == AfterUpdate {
		dst = append(dst, `,"changed":`...)
		dst = appendObject(dst, e.Changed)
		if e.Before != nil {
			dst = append(dst, `,"before":`...)
			dst = appendObject(dst, e.Before)
		}
	}
	if len(e.Unchanged) > 0 {
		dst = append(dst, `,"unchanged":`...)
		dst = append(dst, e.Unchanged...)
	}
	if e.Origin != "" {
		dst = append(dst, `,"origin":`...)
		dst = AppendString(dst, e.Origin)
	}
	return append(dst, '}')
}

func appendObject(dst, object []byte) []byte {
	if len(object) == 0 {
		return append(dst, '{', '}')
	}
	return append(dst, object...)
}
