package wal

import (
	"slices"
	"strings"
	"testing"
)

// streamedChanges make the server send transactions before they commit: the rows of the table that is not published fill its
// memory.
func streamedChanges() []string {
	const fill = "insert into unpublished select i from generate_series(1, 2000) i;"
	return []string{
		"create table orders (id int primary key, item text)",
		"create table line (id int primary key)",
		"create table unpublished (id int)",
		"create publication golden for table orders, line",
		"select pg_create_logical_replication_slot('golden_' || current_database(), 'pgoutput')",
		`begin; insert into orders values (1, 'bread');` + fill + `
		 savepoint one; insert into orders values (2, 'gone');` + fill + `
		 alter table orders add price int; insert into orders values (3, 'gone', 5);` + fill + `
		 savepoint two; insert into orders values (4, 'gone', 6);` + fill + `
		 release two; rollback to one; insert into orders values (5, 'wine');` + fill + `
		 savepoint three; update orders set item = 'beer' where id = 5; delete from orders where id = 1;` + fill + `
		 release three; truncate line; select pg_logical_emit_message(true, 'kitchen', 'open');` + fill + `commit`,
		"create type mood as enum ('glad')",
		"alter table orders add mood mood",
		"begin; insert into orders values (7, 'bread', 'glad');" + fill + "commit",
		"insert into orders values (8, 'wine', 'glad')",
		"begin; insert into orders values (9, 'gone');" + fill + "rollback",
	}
}

func TestRecordStreamedGoldens(t *testing.T) {
	recordGoldens(t, "streamed", streamedChanges(),
		"'proto_version', '2', 'streaming', 'on', 'publication_names', 'golden', 'messages', 'true'", expectStreamedGoldens)
}

// expectStreamedGoldens compares what is told with what streamedChanges did. Where blocks begin and end is the server's
// affair. It was asked when all was over: of what it knew by then to be rolled back it may have told the first rows, or, from
// version 18 on, of a whole transaction nothing.
func expectStreamedGoldens(t *testing.T, messages [][]byte) {
	t.Helper()
	got := slices.DeleteFunc(told(t, messages), func(s string) bool { return strings.HasPrefix(s, "stream st") })
	const rolledBack = "7"
	if at := slices.IndexFunc(got, func(s string) bool {
		return strings.HasPrefix(s, rolledBack+": ") || strings.HasPrefix(s, "stream abort "+rolledBack)
	}); at >= 0 {
		if slices.ContainsFunc(got[at:], func(s string) bool { return strings.HasPrefix(s, "stream commit") }) {
			t.Errorf("a transaction that was rolled back is committed: %q", got[at:])
		}
		got = got[:at]
	}
	want := []string{
		"1: relation public.orders d *id item",
		`1: insert orders t"1" t"bread"`,
		`2: insert orders t"2" t"gone"`,
		"stream abort 1 3",
		"stream abort 1 2",
		"4: relation public.orders d *id item",
		`4: insert orders t"5" t"wine"`,
		"5: relation public.orders d *id item", // described again after the abort
		`5: update orders - | t"5" t"beer"`,
		`5: delete orders K t"1" n""`,
		"4: relation public.line d *id",
		"4: truncate line cascade=false restart=false",
		`1: message kitchen "open" transactional=true`,
		"stream commit 1",
		"6: type public.mood",
		"6: relation public.orders d *id item mood",
		`6: insert orders t"7" t"bread" t"glad"`,
		"stream commit 6",
		"begin",
		`insert orders t"8" t"wine" t"glad"`, // what the commit described counts for those behind it
		"commit",
	}
	if !slices.Equal(got, want) {
		t.Errorf("decoded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// number names the transactions and subtransactions in the order in which they are first heard of: 1, 2, 3.
func (h *teller) number(xid uint32) int {
	at := slices.Index(h.xids, xid)
	if at < 0 {
		at, h.xids = len(h.xids), append(h.xids, xid)
	}
	return at + 1
}

func (h *teller) StreamStart(m StreamStart) error {
	return h.tell("stream start %d first=%t", h.number(m.XID), m.First)
}

func (h *teller) StreamStop() error { return h.tell("stream stop") }

func (h *teller) StreamCommit(m StreamCommit) error {
	return h.tell("stream commit %d", h.number(m.XID))
}

func (h *teller) StreamAbort(m StreamAbort) error {
	return h.tell("stream abort %d %d", h.number(m.XID), h.number(m.Subtransaction))
}

func (h *teller) Within(xid uint32) error {
	h.within = h.number(xid)
	return nil
}
