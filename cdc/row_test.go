package cdc

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func text(s string) Value { return Value{State: Text, Text: []byte(s)} }

// row packs values: a string is a text, nil is NULL, and absent is a value that the source did not give.
func row(t testing.TB, values ...any) Row {
	t.Helper()
	var list []Value
	for _, v := range values {
		switch v := v.(type) {
		case string:
			list = append(list, text(v))
		case nil:
			list = append(list, Value{State: Null})
		case State:
			list = append(list, Value{State: v})
		default:
			t.Fatalf("no value: %v", v)
		}
	}
	packed, err := AppendRow(nil, list)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// anyValues draws a row's values.
func anyValues() *rapid.Generator[[]Value] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Value {
		state := rapid.SampledFrom([]State{Null, Absent, Text}).Draw(t, "state")
		if state != Text {
			return Value{State: state}
		}
		return Value{State: Text, Text: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "text")}
	}), 0, 12)
}

func collect(r Row) []Value {
	list := []Value{}
	for _, v := range r.Values() {
		list = append(list, v)
	}
	return list
}

func TestRowKeepsItsValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := anyValues().Draw(t, "values")
		tail := rapid.SliceOf(rapid.Byte()).Draw(t, "what follows")
		packed, err := AppendRow([]byte("ahead"), values)
		if err != nil {
			t.Fatal(err)
		}
		r := Row(packed[len("ahead"):])
		size, absent, err := CheckRow(append(bytes.Clone(r), tail...))
		if err != nil || size != len(r) {
			t.Fatalf("CheckRow gives %d, %v; the row has %d bytes", size, err, len(r))
		}
		if r.Len() != len(values) {
			t.Fatalf("Len is %d, want %d", r.Len(), len(values))
		}
		wantAbsent := false
		for i, want := range values {
			wantAbsent = wantAbsent || want.State == Absent
			for way, got := range map[string]Value{"Value": r.Value(i), "Values": collect(r)[i]} {
				if got.State != want.State || !bytes.Equal(got.Text, want.Text) {
					t.Fatalf("%s of column %d is %v, want %v", way, i, got, want)
				}
			}
		}
		if absent != wantAbsent {
			t.Fatalf("CheckRow says absent = %t, want %t", absent, wantAbsent)
		}
	})
}

func TestRowHasNoColumnsBesideItsOwn(t *testing.T) {
	for name, r := range map[string]Row{"nil": nil, "empty": row(t), "one column": row(t, "1")} {
		if got := r.Value(1); got.State != Absent {
			t.Errorf("%s row: column 1 is %v, want Absent", name, got)
		}
	}
}

func TestAppendRowRefusesWhatIsNoRow(t *testing.T) {
	for name, values := range map[string][]Value{
		"the zero value":   {{}},
		"unknown state":    {{State: 'b', Text: []byte{1}}},
		"too many columns": make([]Value, math.MaxInt16+1),
	} {
		if _, err := AppendRow(nil, values); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v, want ErrRow", name, err)
		}
	}
}

func TestCheckRowRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                 nil,
		"half a count":            {0},
		"a column too few":        {0, 2, 'n'},
		"an unknown state":        {0, 1, 'b', 0, 0, 0, 0},
		"half a length":           {0, 1, 't', 0, 0},
		"a text cut short":        {0, 1, 't', 0, 0, 0, 2, 'x'},
		"a negative length":       {0, 1, 't', 0xff, 0xff, 0xff, 0xff},
		"a negative column count": append([]byte{0xff, 0xff}, bytes.Repeat([]byte{'n'}, 0xffff)...),
	} {
		if _, _, err := CheckRow(b); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v, want ErrRow", name, err)
		}
	}
}

func TestEqualIsNeverTrueOfWhatIsUnknown(t *testing.T) {
	null, absent := Value{State: Null}, Value{State: Absent}
	for _, c := range []struct {
		v, w Value
		want bool
	}{
		{text("1"), text("1"), true},
		{text("1"), text("2"), false},
		{null, null, true},
		{null, text(""), false},
		{absent, absent, false},
		{absent, null, false},
	} {
		if got := c.v.Equal(c.w); got != c.want {
			t.Errorf("%c%q.Equal(%c%q) is %t", c.v.State, c.v.Text, c.w.State, c.w.Text, got)
		}
	}
}

// FuzzCheckRow: what is accepted can be read without a panic, packs to the same bytes, and what is refused can be read
// without a panic too, since a Row may be made by conversion.
func FuzzCheckRow(f *testing.F) {
	f.Add([]byte(row(f, "1", nil, Absent, "")))
	f.Add([]byte(row(f)))
	f.Add([]byte{0, 1, 't', 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xff, 0xff, 'n'})
	f.Add([]byte{0, 2, 'n'})
	f.Fuzz(func(t *testing.T, b []byte) {
		size, absent, err := CheckRow(b)
		if err != nil {
			collect(Row(b))
			return
		}
		values := collect(Row(b[:size]))
		again, err := AppendRow(nil, values)
		if err != nil || !bytes.Equal(again, b[:size]) {
			t.Fatalf("%q packs to %q, %v", b[:size], again, err)
		}
		hasAbsent := false
		for _, v := range values {
			hasAbsent = hasAbsent || v.State == Absent
		}
		if absent != hasAbsent {
			t.Fatalf("absent is %t, the values say %t", absent, hasAbsent)
		}
	})
}
