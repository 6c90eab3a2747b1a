package wal

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The golden files hold the messages that servers really sent, one in hexadecimal digits per line, a file per major
// version. To record those of the server that the tests run on: go test ./wal -run TestRecordGoldens -record
var record = flag.Bool("record", false, "write the golden messages of the tests' server to testdata")

// goldenChanges make a message of every kind.
func goldenChanges() []string {
	return []string{
		"create type mood as enum ('glad', 'sad')",
		"create table orders (id int primary key, mood mood, item text)",
		"create table line (id serial primary key, orders int references orders, photo text)",
		"alter table line alter photo set storage external",
		"create publication golden for all tables",
		"select pg_create_logical_replication_slot('golden_' || current_database(), 'pgoutput')",
		"insert into orders values (1, 'glad', 'bread'), (2, null, '')",
		"update orders set item = 'wine' where id = 1",
		"update orders set id = 3 where id = 1",
		"delete from orders where id = 3",
		"insert into line values (1, 2, repeat('B', 3000))",
		"update line set orders = null",
		"alter table line replica identity full",
		"update line set orders = 2",
		"delete from line",
		"truncate orders restart identity cascade",
		"select pg_logical_emit_message(true, 'kitchen', 'open')",
		"select pg_logical_emit_message(false, 'kitchen', '')",
		"select pg_replication_origin_create('branch_' || current_database())",
		`select pg_replication_origin_session_setup('branch_' || current_database());
		 select pg_replication_origin_xact_setup('0/ABC', '2026-01-02 03:04:05.678901+00');
		 insert into orders values (4, 'sad', null)`,
		"select pg_replication_origin_session_reset()", // or it is in use until the session's process has ended
	}
}

func TestRecordGoldens(t *testing.T) {
	recordGoldens(t, "messages", goldenChanges(), "'proto_version', '1', 'publication_names', 'golden', 'messages', 'true'", expectGoldens)
}

// recordGoldens makes the changes, decodes what the server says of them, and keeps that where it was asked to.
func recordGoldens(t *testing.T, name string, changes []string, options string, expect func(*testing.T, [][]byte)) {
	t.Helper()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, changes...)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	defer pgtest.Exec(t, url, "select pg_replication_origin_drop(roname) from pg_replication_origin where roname like '%' || current_database()")
	if _, err := conn.Exec(t.Context(), "set logical_decoding_work_mem = '64kB'"); err != nil { // the least
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "select data from pg_logical_slot_peek_binary_changes('golden_' || current_database(), null, null, "+options+")")
	if err != nil {
		t.Fatal(err)
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	expect(t, messages)
	if !*record {
		return
	}
	var file strings.Builder
	for _, m := range messages {
		fmt.Fprintln(&file, hex.EncodeToString(m))
	}
	if err := os.WriteFile(filepath.Join("testdata", fmt.Sprintf("%s_%d.txt", name, pgtest.Major(t))), []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// golden is a message as a server sent it. inBlock: between the beginning and the end of a block of a transaction in
// progress, its last message included.
type golden struct {
	message []byte
	inBlock bool
}

// goldens are the messages by the names of their files.
func goldens(t testing.TB) map[string][]golden {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*_*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden messages: %v", err)
	}
	all := map[string][]golden{}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines, name, inBlock := bufio.NewScanner(file), filepath.Base(path), false
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			message, err := hex.DecodeString(lines.Text())
			if err != nil {
				t.Fatal(err)
			}
			all[name] = append(all[name], golden{message, inBlock})
			switch message[0] {
			case 'S':
				inBlock = true
			case 'E':
				inBlock = false
			}
		}
	}
	return all
}

func TestGoldenMessages(t *testing.T) {
	for name, list := range goldens(t) {
		var messages [][]byte
		for _, each := range list {
			messages = append(messages, each.message)
		}
		expect := expectGoldens
		if strings.HasPrefix(name, "streamed") {
			expect = expectStreamedGoldens
		}
		t.Run(name, func(t *testing.T) { expect(t, messages) })
	}
}

// expectGoldens compares what Decode finds in the messages with what goldenChanges did.
func expectGoldens(t *testing.T, messages [][]byte) {
	t.Helper()
	got := slices.DeleteFunc(told(t, messages), func(s string) bool { return s == "begin" || s == "commit" })
	want := []string{
		"type public.mood",
		"relation public.orders d *id mood item",
		`insert orders t"1" t"glad" t"bread"`,
		`insert orders t"2" n"" t""`,
		`update orders - | t"1" t"glad" t"wine"`,
		`update orders K t"1" n"" n"" | t"3" t"glad" t"wine"`,
		`delete orders K t"3" n"" n""`,
		"relation public.line d *id orders photo",
		`insert line t"1" t"2" t*3000`,
		`update line - | t"1" n"" u""`,
		"relation public.line f *id *orders *photo",
		`update line O t"1" n"" t*3000 | t"1" t"2" u""`,
		`delete line O t"1" t"2" t*3000`,
		"truncate orders line cascade=true restart=true",
		`message kitchen "open" transactional=true`,
		`message kitchen "" transactional=false`,
		"origin 0/ABC",
		`insert orders t"4" t"sad" n""`,
	}
	// A server describes a type or table again whenever its caches say so.
	told := withoutRepeated(got)
	if !slices.Equal(told, want) {
		t.Errorf("decoded\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// told decodes the messages of one connection.
func told(t *testing.T, messages [][]byte) []string {
	t.Helper()
	var d Decoder
	teller := &teller{names: map[uint32]string{}}
	for _, m := range messages {
		if err := d.Decode(m, teller); err != nil {
			t.Fatalf("%x: %v", m, err)
		}
	}
	return teller.told
}

// withoutRepeated drops the descriptions that say again what the last one said.
func withoutRepeated(got []string) []string {
	last := map[string]string{}
	var list []string
	for _, s := range got {
		kind, rest, _ := strings.Cut(s, " ")
		if kind == "type" || kind == "relation" {
			name, _, _ := strings.Cut(rest, " ")
			if last[kind+name] == s {
				continue
			}
			last[kind+name] = s
		}
		list = append(list, s)
	}
	return list
}

// teller is a Handler that writes down what it is told, without what differs from run to run.
type teller struct {
	names  map[uint32]string
	told   []string
	xids   []uint32 // heard of
	within int      // whose the next message is, 0 outside of blocks
}

func (h *teller) tell(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	if h.within > 0 {
		line = fmt.Sprintf("%d: %s", h.within, line)
	}
	h.told, h.within = append(h.told, line), 0
	return nil
}

func words(row cdc.Row) string {
	var list []string
	for _, v := range row.Values() {
		if len(v.Text) > 100 {
			list = append(list, fmt.Sprintf("%c*%d", v.State, len(v.Text)))
			continue
		}
		list = append(list, fmt.Sprintf("%c%q", v.State, v.Text))
	}
	return strings.Join(list, " ")
}

func (h *teller) Begin(Begin) error   { return h.tell("begin") }
func (h *teller) Commit(Commit) error { return h.tell("commit") }

func (h *teller) Relation(m Relation) error {
	h.names[m.OID] = m.Name
	var columns []string
	for _, c := range m.Columns {
		mark := ""
		if c.Identity {
			mark = "*"
		}
		columns = append(columns, mark+c.Name)
	}
	return h.tell("relation %s.%s %c %s", m.Schema, m.Name, m.Identity, strings.Join(columns, " "))
}

func (h *teller) Insert(relation uint32, after cdc.Row) error {
	return h.tell("insert %s %s", h.names[relation], words(after))
}

func (h *teller) Update(relation uint32, old OldTuple, before, after cdc.Row) error {
	if old == OldNone {
		return h.tell("update %s - | %s", h.names[relation], words(after))
	}
	return h.tell("update %s %c %s | %s", h.names[relation], old, words(before), words(after))
}

func (h *teller) Delete(relation uint32, old OldTuple, before cdc.Row) error {
	return h.tell("delete %s %c %s", h.names[relation], old, words(before))
}

func (h *teller) Oversized(relation uint32, size int) error {
	return h.tell("oversized %s %d", h.names[relation], size)
}

func (h *teller) Truncate(m Truncate) error {
	var names []string
	for _, oid := range m.Relations {
		names = append(names, h.names[oid])
	}
	return h.tell("truncate %s cascade=%t restart=%t", strings.Join(names, " "), m.Cascade, m.Restart)
}

func (h *teller) Message(m LogicalMessage) error {
	if m.XID != 0 {
		h.within = h.number(m.XID)
	}
	return h.tell("message %s %q transactional=%t", m.Prefix, m.Content, m.Transactional)
}

func (h *teller) Origin(m Origin) error { return h.tell("origin %s", m.Commit) }
func (h *teller) Type(m Type) error     { return h.tell("type %s.%s", m.Schema, m.Name) }
