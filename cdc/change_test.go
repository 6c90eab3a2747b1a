package cdc

import (
	"maps"
	"testing"
)

// message is a table whose key is its identity; messageFull has REPLICA IDENTITY FULL.
func message() *Table {
	return &Table{OID: 1, Schema: "public", Name: "message", Columns: []Column{
		{Name: "id", Key: true, Identity: true}, {Name: "body"}, {Name: "photo"},
	}}
}

func messageFull() *Table {
	t := message()
	t.OID = 2
	for i := range t.Columns {
		t.Columns[i].Identity = true
	}
	return t
}

func TestChanged(t *testing.T) {
	for name, c := range map[string]struct {
		table         *Table
		before, after Row
		want          map[int]string
	}{
		"full image, one column":               {messageFull(), row(t, "1", "a", "p"), row(t, "1", "b", "p"), map[int]string{1: "b"}},
		"full image, nothing":                  {messageFull(), row(t, "1", "a", nil), row(t, "1", "a", nil), map[int]string{}},
		"to NULL":                              {messageFull(), row(t, "1", "a", "p"), row(t, "1", "a", nil), map[int]string{2: "NULL"}},
		"from NULL to the empty text":          {messageFull(), row(t, "1", nil, "p"), row(t, "1", "", "p"), map[int]string{1: ""}},
		"unchanged TOAST, not filled":          {message(), row(t, "1", Absent, Absent), row(t, "2", "a", Absent), map[int]string{0: "2", 1: "a"}},
		"before image of the key only":         {message(), row(t, "1", Absent, Absent), row(t, "2", "a", "p"), map[int]string{0: "2", 1: "a", 2: "p"}},
		"no before image: the identity stayed": {message(), nil, row(t, "1", "a", "p"), map[int]string{1: "a", 2: "p"}},
		"no before image, unchanged TOAST":     {message(), nil, row(t, "1", "a", Absent), map[int]string{1: "a"}},
		"a before image that is too short":     {messageFull(), row(t, "1"), row(t, "1", "a", "p"), map[int]string{1: "a", 2: "p"}},
		"no after image":                       {messageFull(), row(t, "1", "a", "p"), nil, map[int]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			change := Change{Op: Update, Table: c.table, Before: c.before, After: c.after}
			got := map[int]string{}
			for i, v := range change.Changed() {
				got[i] = string(v.Text)
				if v.State == Null {
					got[i] = "NULL"
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("changed %v, want %v", got, c.want)
			}
		})
	}
}

func TestChangedStopsWhenAsked(t *testing.T) {
	change := Change{Op: Update, Table: messageFull(), Before: row(t, "1", "a", "p"), After: row(t, "2", "b", "q")}
	seen := 0
	for range change.Changed() {
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("%d columns, want 1", seen)
	}
}

func TestKeyChanged(t *testing.T) {
	for name, c := range map[string]struct {
		before, after Row
		want          bool
	}{
		"another key, full image":     {row(t, "1", "a", "p"), row(t, "2", "a", "p"), true},
		"another key, key image":      {row(t, "1", Absent, Absent), row(t, "2", "a", "p"), true},
		"the same key":                {row(t, "1", "a", "p"), row(t, "1", "b", "q"), false},
		"no before image":             {nil, row(t, "1", "a", "p"), false},
		"a deletion":                  {row(t, "1", "a", "p"), nil, false},
		"an old key that is unknown":  {row(t, Absent, "a", "p"), row(t, "1", "a", "p"), false},
		"a new key that is not given": {row(t, "1", "a", "p"), row(t, Absent, "a", "p"), false},
	} {
		change := Change{Op: Update, Table: messageFull(), Before: c.before, After: c.after}
		if got := change.KeyChanged(); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestOpString(t *testing.T) {
	for op, want := range map[Op]string{Insert: "insert", Update: "update", Delete: "delete", Truncate: "truncate", 0: "unknown"} {
		if got := op.String(); got != want {
			t.Errorf("%d is %q, want %q", op, got, want)
		}
	}
}

func TestTableFindsColumns(t *testing.T) {
	table := message()
	if got := table.Column("photo"); got != 2 {
		t.Errorf("photo is column %d, want 2", got)
	}
	if got := table.Column("Photo"); got != -1 {
		t.Errorf("Photo is column %d, want none", got)
	}
	if got := table.String(); got != "public.message" {
		t.Errorf("the table is called %s", got)
	}
}
