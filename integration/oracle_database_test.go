package integration_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// The oracle's tables: a chat with messages that are meant for one reader alone, orders whose key is a scope, and tickets
// with a column that nobody is shown. journal has a row for each transaction, and history what each of them did.
const oracleSchema = `
create table message (id bigint primary key, conversation_id int, author_id int, reader text, body text not null, attachment text);
alter table message alter attachment set storage external;
create table order_item (order_id int, line int, product_id int, quantity int not null, note text not null, primary key (order_id, line));
create table ticket (number bigint primary key, queue text, title text not null, secret text not null);
create table journal (transaction bigint primary key, book int not null default 1);

create table history (id bigserial primary key, transaction bigint not null, source text not null, old jsonb, new jsonb);
create function remember() returns trigger language plpgsql as $$ begin
	insert into history (transaction, source, old, new)
	values (current_setting('oracle.transaction')::bigint, tg_table_name, to_jsonb(old), to_jsonb(new));
	return null;
end $$;
do $$ declare served text; begin
	foreach served in array array['message', 'order_item', 'ticket', 'journal'] loop
		execute format('create trigger remember after insert or update or delete on %I for each row execute function remember()', served);
		execute format('create trigger remember_truncate after truncate on %I for each statement execute function remember()', served);
		execute format('alter table %I replica identity full', served);
	end loop;
end $$`

// oracleSettings serve them. Who a client is its connection's header says.
const oracleSettings = `
authenticate:
  headers: {proxies: [127.0.0.1], claims: {sub: X-User}}
reactive:
  - {table: message, scopes: [conversation_id, author_id], snapshot: {limit: 100000}, filterRow: "row.reader == null || row.reader == ctx.sub"}
  - {table: order_item, channel: items, scopes: [order_id, product_id], snapshot: {limit: 100000}}
  - {table: ticket, scopes: [queue], snapshot: {limit: 100000, orderBy: title DESC}, batchMs: 20, columns: {exclude: [secret]}}
  - {table: journal, scopes: [book], snapshot: {limit: 100000}}
`

var (
	oracleTables = []string{"message", "order_item", "ticket", "journal"}
	oracleUsers  = []string{"ada", "bob", "eve"}
	ticketQueues = []string{"alpha", "beta", "gamma"}
)

// How many values there are for the scopes' columns.
const (
	talksOfOracle    = 8
	authorsOfOracle  = 5
	ordersOfOracle   = 6
	productsOfOracle = 5
)

// alteredPrefix begins the names of the columns that the writers add, rename and drop. A view has them as they were when
// its row was last sent, so that they are no part of what is compared.
const alteredPrefix = "extra_"

// definition is what a subscription shows: the rows of a table with one column's value that the user may see.
type definition struct {
	channel, table string
	column, value  string // the value in JSON
	user           string
}

// batchedChannel is the one that has batchMs.
const batchedChannel = "ticket"

// journalView is the one that every client has.
const journalView = 0

// oracleDefinitions lists the subscriptions there can be for a user, the journal first.
func oracleDefinitions(user string) []definition {
	all := []definition{{"journal", "journal", "book", "1", user}}
	numbered := func(channel, table, column string, values int) {
		for n := 1; n <= values; n++ {
			all = append(all, definition{channel, table, column, fmt.Sprint(n), user})
		}
	}
	numbered("message", "message", "conversation_id", talksOfOracle)
	numbered("message", "message", "author_id", authorsOfOracle)
	numbered("items", "order_item", "order_id", ordersOfOracle)
	numbered("items", "order_item", "product_id", productsOfOracle)
	for _, queue := range ticketQueues {
		all = append(all, definition{"ticket", "ticket", "queue", `"` + queue + `"`, user})
	}
	return all
}

func (d definition) scope() string { return fmt.Sprintf(`{"col":%q,"value":%s}`, d.column, d.value) }

// shows tells whether a row of the table belongs to the view.
func (d definition) shows(r row) bool {
	if r == nil || string(r[d.column]) != d.value {
		return false
	}
	reader := string(r["reader"])
	return reader == "" || reader == "null" || reader == `"`+d.user+`"`
}

func keysOf(table string) []string {
	switch table {
	case "order_item":
		return []string{"order_id", "line"}
	case "ticket":
		return []string{"number"}
	case "journal":
		return []string{"transaction"}
	}
	return []string{"id"}
}

// parseRow reads what to_jsonb gives; nil for NULL.
func parseRow(text *string) (row, error) {
	if text == nil {
		return nil, nil
	}
	r := row{}
	err := json.Unmarshal([]byte(*text), &r)
	return r, err
}

// compared is the row without what is not to be compared: altered columns, and what nobody is shown.
func (r row) compared() row {
	if r == nil {
		return nil
	}
	part := row{}
	for column, value := range r {
		if column != "secret" && !strings.HasPrefix(column, alteredPrefix) {
			part[column] = value
		}
	}
	return part
}

// sum stands for a row in the sum that stands for a set of rows: sums are equal when the sets are.
func (r row) sum() uint64 {
	if r == nil {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(r.String()))
	return h.Sum64()
}

// tokens finds the marks that the writers put into everything they write, each but once.
func tokens(text string) []string {
	var found []string
	for {
		_, rest, ok := strings.Cut(text, tokenBegin)
		if !ok {
			return found
		}
		token, after, _ := strings.Cut(rest, tokenEnd)
		found = append(found, token)
		text = after
	}
}

const (
	tokenBegin = "token:"
	tokenEnd   = ";"
)

// shownIn lists the rows in the order of their text, to show how two sets differ.
func shownIn(rows map[string]row) []string {
	var all []string
	for _, r := range rows {
		all = append(all, r.String())
	}
	slices.Sort(all)
	return all
}

// unlike lists what only one of two sorted lists has.
func unlike(got, want []string) string {
	var b strings.Builder
	for _, each := range got {
		if _, found := slices.BinarySearch(want, each); !found {
			fmt.Fprintf(&b, "  only in the view:     {%.300s}\n", each)
		}
	}
	for _, each := range want {
		if _, found := slices.BinarySearch(got, each); !found {
			fmt.Fprintf(&b, "  only in the database: {%.300s}\n", each)
		}
	}
	return b.String()
}
