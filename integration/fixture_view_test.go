package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// serverFrame has every member that a frame of the base protocol may have.
type serverFrame struct {
	Type    string          `json:"type"`
	Channel string          `json:"channel"`
	Scope   json.RawMessage `json:"scope"`
	Code    string          `json:"code"`
	Rows    []row           `json:"rows"`
	Event   *event          `json:"event"`
	Events  []event         `json:"events"`
}

type event struct {
	Type       string `json:"type"`
	SchemaName string `json:"schemaName"`
	TableName  string `json:"tableName"`
	PrimaryKey row    `json:"primaryKey"`
	Row        row    `json:"row"`
	Changed    row    `json:"changed"`
}

// row is a row's columns with their values in JSON.
type row map[string]json.RawMessage

func (r row) String() string {
	var members []string
	for _, column := range slices.Sorted(maps.Keys(r)) {
		members = append(members, column+":"+string(r[column]))
	}
	return strings.Join(members, " ")
}

// only is the row with the columns that it has of these.
func (r row) only(columns []string) row {
	part := row{}
	for _, column := range columns {
		part[column] = r[column]
	}
	return part
}

// misfit says how a frame does not fit what the client knows.
type misfit string

func (m misfit) Error() string { return string(m) }

const (
	lost       misfit = "lost"         // something that had to come before has not
	duplicated misfit = "duplicated"   // it has come already
	disordered misfit = "out of order" // it comes where it cannot
	leaked     misfit = "leaked"       // the client may not see it
)

// view is the set of rows of one subscription, as its frames make it.
type view struct {
	channel, scope string
	column, value  string // the scope's column, and its value as rows have it
	keys           []string

	subscribed int // how many subscribed frames have come
	snapshots  int // how many snapshot frames
	events     []event
	rows       map[string]row // by primary key
	// partial: the table had rows before the subscription and no snapshot brings them, so that unknown ones may change.
	partial bool
}

func newView(channel, scope, column, value string) *view {
	return &view{channel: channel, scope: scope, column: column, value: value, rows: map[string]row{}, keys: []string{"id"}}
}

func (v *view) apply(f *serverFrame) error {
	switch f.Type {
	case "subscribed":
		v.subscribed++
		return nil
	case "snapshot":
		return v.replace(f.Rows)
	case "change":
	default:
		return fmt.Errorf("unknown type %q", f.Type)
	}
	if v.subscribed == 0 {
		return fmt.Errorf("%w: a change before the subscription has begun", disordered)
	}
	events := f.Events
	if f.Event != nil {
		events = append(events, *f.Event)
	}
	if len(events) == 0 {
		return errors.New("a change without an event")
	}
	for _, e := range events {
		if err := v.change(e); err != nil {
			return err
		}
		v.events = append(v.events, e)
	}
	return nil
}

func (v *view) replace(rows []row) error {
	v.snapshots++
	clear(v.rows)
	for _, r := range rows {
		if err := v.belongs(r); err != nil {
			return err
		}
		key := r.only(v.keys)
		if v.rows[key.String()] != nil {
			return fmt.Errorf("%w: row %s twice in a snapshot", duplicated, key)
		}
		v.rows[key.String()] = r
	}
	return nil
}

// change holds an event against what the view has, and takes it in.
func (v *view) change(e event) error {
	key := e.PrimaryKey.String()
	known := v.rows[key]
	if err := v.belongs(e.Row); err != nil {
		return err
	}
	for column, value := range e.PrimaryKey {
		if !bytes.Equal(e.Row[column], value) {
			return fmt.Errorf("the primary key %s is not the row's", e.PrimaryKey)
		}
	}
	if (e.Type == "afterUpdate") != (e.Changed != nil) {
		return errors.New("afterUpdate, and no other event, has changed")
	}
	switch e.Type {
	case "afterInsert":
		if known != nil {
			return fmt.Errorf("%w: an insert of row %s, which is there", duplicated, key)
		}
	case "afterUpdate", "afterDelete":
		if known == nil && !v.partial {
			return fmt.Errorf("%w: %s of row %s, which is not there", lost, e.Type, key)
		}
	default:
		return fmt.Errorf("unknown event %q", e.Type)
	}
	if e.Type == "afterUpdate" && known != nil {
		if want := difference(known, e.Row); want.String() != e.Changed.String() {
			return fmt.Errorf("%w: changed is {%s}, and really changed {%s}", lost, e.Changed, want)
		}
	}
	if e.Type == "afterDelete" {
		if known != nil && known.String() != e.Row.String() {
			return fmt.Errorf("%w: deleted {%s}, which was {%s}", lost, e.Row, known)
		}
		delete(v.rows, key)
		return nil
	}
	v.rows[key] = e.Row
	return nil
}

// belongs refuses a row of another scope. Without a column nobody knows but the server.
func (v *view) belongs(r row) error {
	if v.column == "" {
		return nil
	}
	if got := string(r[v.column]); unquoted(got) != unquoted(v.value) {
		return fmt.Errorf("%w: a row whose %s is %s in a view of %s", leaked, v.column, got, v.value)
	}
	return nil
}

func unquoted(value string) string {
	if text := ""; json.Unmarshal([]byte(value), &text) == nil {
		return text
	}
	return value
}

func difference(before, after row) row {
	changed := row{}
	for column, value := range after {
		if !bytes.Equal(before[column], value) {
			changed[column] = value
		}
	}
	return changed
}

// equals compares the view with what a SELECT of whole rows returns.
func (v *view) equals(t *testing.T, database, sql string) {
	t.Helper()
	texts := pgtest.Query[[]string](t, database, "select coalesce(array_agg(to_jsonb(shown)::text), '{}') from ("+sql+") shown")
	var want, got []string
	for _, text := range texts {
		r := row{}
		if err := json.Unmarshal([]byte(compacted(text)), &r); err != nil {
			t.Fatal(err)
		}
		want = append(want, r.String())
	}
	for _, r := range v.rows {
		got = append(got, r.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the view of %s %s shows %d rows, %s has %d\nview: %.2000s\nSELECT: %.2000s", v.channel, v.scope, len(got), sql, len(want),
			strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
