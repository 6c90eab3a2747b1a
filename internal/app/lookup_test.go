package app

import (
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// packed makes a row of texts; "" is NULL and "?" is not known.
func packed(t *testing.T, texts ...string) cdc.Row {
	t.Helper()
	values := make([]cdc.Value, len(texts))
	for i, text := range texts {
		switch text {
		case "":
			values[i] = cdc.Value{State: cdc.Null}
		case "?":
			values[i] = cdc.Value{State: cdc.Absent}
		default:
			values[i] = cdc.Value{State: cdc.Text, Text: []byte(text)}
		}
	}
	row, err := cdc.AppendRow(nil, values)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func tableOf(columns ...string) *cdc.Table {
	t := &cdc.Table{Schema: "public", Name: "task_list"}
	for _, name := range columns {
		t.Columns = append(t.Columns, cdc.Column{Name: name})
	}
	return t
}

func TestALookupsKeyIsItsParameters(t *testing.T) {
	l := &lookup{columns: []string{"b", "a", "b"}}
	seen := map[string]string{}
	for _, row := range [][]string{{"x", "y"}, {"", "y"}, {"x", ""}, {"", ""}, {"xy", "z"}, {"x", "yz"}, {"\x00", "\x01"}, {"\x01", "\x00"}} {
		key, tuple, known := l.key(tableOf("a", "b"), packed(t, row...))
		if !known || len(tuple) != 3 {
			t.Fatalf("%q: %q, %v", row, tuple, known)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%q has the key of %s", row, other)
		}
		seen[key] = fmt.Sprintf("%q", row)
		for i, v := range l.parameters(key) {
			if (v.State == cdc.Null) != (tuple[i] == nil) || string(v.Text) != string(tuple[i]) {
				t.Errorf("%q: parameter %d is %q, want %q", row, i, v.Text, tuple[i])
			}
		}
	}
	for _, row := range [][]string{{"?", "y"}, {"x", "?"}} {
		if _, _, known := l.key(tableOf("a", "b"), packed(t, row...)); known {
			t.Errorf("%q is known", row)
		}
	}
	if _, _, known := l.key(tableOf("a"), packed(t, "x")); known {
		t.Error("a column that is not there is known")
	}
}

func TestWhatALookupRemembersIsBounded(t *testing.T) {
	l := &lookup{captured: true, answers: map[string]*answer{}}
	value := string(make([]byte, 1<<20))
	for i := range 100 {
		l.round = uint64(i)
		l.remember(fmt.Sprint(i), []string{value})
		if l.answers[fmt.Sprint(i)] == nil {
			t.Fatalf("answer %d is not remembered", i)
		}
	}
	size := 0
	for key, a := range l.answers {
		size += a.size(key)
	}
	if size != l.bytes || size > lookupBytes+2<<20 || len(l.answers) < 20 {
		t.Errorf("%d answers of %d bytes, counted as %d", len(l.answers), size, l.bytes)
	}
}

func TestWhatAChangeOfAJoinTableAffects(t *testing.T) {
	shape := &lookupShape{value: "project", compared: []lookupColumn{{name: "id", parameter: 0, sameText: true}, {name: "kind", parameter: -1}}}
	table := tableOf("id", "project", "kind", "title")
	table.Columns[0].Identity = true
	for name, c := range map[string]struct {
		change     cdc.Change
		unaffected bool
		values     string
		known      bool
	}{
		"inserted":          {cdc.Change{Op: cdc.Insert, After: packed(t, "1", "10", "a", "x")}, false, "[10]", true},
		"in no project":     {cdc.Change{Op: cdc.Insert, After: packed(t, "1", "", "a", "x")}, false, "[]", true},
		"deleted":           {cdc.Change{Op: cdc.Delete, Before: packed(t, "1", "10", "a", "x")}, false, "[10]", true},
		"moved":             {cdc.Change{Op: cdc.Update, Before: packed(t, "1", "10", "a", "x"), After: packed(t, "1", "20", "a", "x")}, false, "[10 20]", true},
		"of another kind":   {cdc.Change{Op: cdc.Update, Before: packed(t, "1", "10", "a", "x"), After: packed(t, "1", "10", "b", "x")}, false, "[10]", true},
		"of another title":  {cdc.Change{Op: cdc.Update, Before: packed(t, "1", "10", "a", "x"), After: packed(t, "1", "10", "a", "y")}, true, "[10]", true},
		"left alone":        {cdc.Change{Op: cdc.Update, Before: packed(t, "1", "10", "a", "x"), After: packed(t, "1", "?", "a", "y")}, true, "[10]", true},
		"unreadable":        {cdc.Change{Op: cdc.Unreadable}, false, "[]", false},
		"truncated":         {cdc.Change{Op: cdc.Truncate}, false, "[]", false},
		"old image missing": {cdc.Change{Op: cdc.Update, After: packed(t, "1", "10", "a", "x")}, false, "[]", false},
		"only the key":      {cdc.Change{Op: cdc.Delete, Before: packed(t, "1", "?", "?", "?")}, false, "[]", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.change.Table = table
			unaffected, values, known := shape.affects(&c.change)
			if known != c.known || known && (unaffected != c.unaffected || fmt.Sprint(values) != c.values) {
				t.Errorf("unaffected %v, values %v, known %v", unaffected, values, known)
			}
		})
	}
}
