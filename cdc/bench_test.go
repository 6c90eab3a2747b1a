package cdc

import (
	"strconv"
	"testing"
	"time"
)

// wide is a table of ten columns under REPLICA IDENTITY FULL, with two images that differ in one.
func wide(b *testing.B) (*Table, Row, Row) {
	table := &Table{Schema: "public", Name: "orders"}
	var before, after []any
	for i := range 10 {
		table.Columns = append(table.Columns, Column{Name: "column" + strconv.Itoa(i), Key: i == 0, Identity: true})
		before = append(before, "a value of some length")
		after = append(after, "a value of some length")
	}
	after[7] = "another value"
	return table, row(b, before...), row(b, after...)
}

func BenchmarkChanged(b *testing.B) {
	table, before, after := wide(b)
	change := Change{Op: Update, Table: table, Before: before, After: after}
	b.ReportAllocs()
	for b.Loop() {
		for i := range change.Changed() {
			if i != 7 {
				b.Fatal("another column changed")
			}
		}
	}
}

func BenchmarkAssemble(b *testing.B) {
	table, before, after := wide(b)
	var a Assembler
	b.ReportAllocs()
	b.SetBytes(int64(len(before) + len(after)))
	for b.Loop() {
		if err := a.Begin(1, 1, time.Time{}); err != nil {
			b.Fatal(err)
		}
		if err := a.Add(Update, table, before, after); err != nil {
			b.Fatal(err)
		}
		if _, err := a.Commit(1, 2); err != nil {
			b.Fatal(err)
		}
	}
}
