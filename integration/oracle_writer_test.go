package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writers are what the writers of a run share.
type writers struct {
	database  string
	mutations int          // in each transaction
	begun     atomic.Int64 // transactions; each has its number
	committed atomic.Int64
	undone    atomic.Int64 // rolled back, on purpose or not
	moved     atomic.Int64 // mutations that took a row to another scope, of
	mutated   atomic.Int64
}

// writer writes random transactions over one connection, which it opens anew whenever it breaks.
type writer struct {
	*writers
	number int
	random *rand.Rand
	conn   *pgx.Conn

	transaction int64
	marks       int // tokens in the transaction
}

// run writes until enough is written. The error is one that no fault explains.
func (w *writer) run(enough func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for !enough() {
		if err := w.write(ctx); err != nil && !w.excused(err) {
			return fmt.Errorf("writer %d: %w", w.number, err)
		}
	}
	for { // nothing prepared may stay behind
		err := w.connected(ctx)
		if err == nil {
			return nil
		}
		if !w.excused(err) {
			return fmt.Errorf("writer %d: %w", w.number, err)
		}
	}
}

// excused tells whether an error is what faults and other writers make of a transaction.
func (w *writer) excused(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return !errors.Is(err, context.DeadlineExceeded) // the connection is gone, or there is no server
	}
	switch refused.Code {
	case pgerrcode.DeadlockDetected, pgerrcode.LockNotAvailable, pgerrcode.UniqueViolation, // another writer was there
		pgerrcode.UndefinedColumn, pgerrcode.DuplicateColumn,
		pgerrcode.AdminShutdown, pgerrcode.CrashShutdown, pgerrcode.CannotConnectNow:
		return true
	}
	return false
}

// connected opens the connection if need be, and finishes what was prepared over the one before.
func (w *writer) connected(ctx context.Context) error {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	conn, err := pgx.Connect(ctx, w.database)
	if err != nil {
		select { // as an application does, not as fast as it can
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		return err
	}
	rows, err := conn.Query(ctx, `select gid from pg_prepared_xacts where gid like $1`, fmt.Sprintf("%d-%%", w.number))
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	prepared, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, gid := range prepared {
		if err == nil {
			_, err = conn.Exec(ctx, w.pick("commit", "rollback")+" prepared '"+gid+"'")
		}
	}
	if err == nil {
		_, err = conn.Exec(ctx, `set lock_timeout = '2s'`)
	}
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	w.conn = conn
	return nil
}

func (w *writer) close() {
	if w.conn != nil {
		_ = w.conn.Close(context.Background())
	}
}

// write writes one transaction, and ends it as it comes.
func (w *writer) write(ctx context.Context) error {
	if err := w.connected(ctx); err != nil {
		return err
	}
	w.transaction, w.marks = w.begun.Add(1), 0
	err := w.exec(ctx, fmt.Sprintf(`begin; set local oracle.transaction = %d`, w.transaction))
	if err == nil {
		err = w.fill(ctx)
	}
	if err == nil {
		err = w.exec(ctx, fmt.Sprintf(`insert into journal values (%d)`, w.transaction))
	}
	if err != nil {
		w.undone.Add(1)
		_ = w.exec(ctx, `rollback`)
		return err
	}
	committed := true
	switch w.random.IntN(20) {
	case 0, 1:
		committed = false
		err = w.exec(ctx, `rollback`)
	case 2:
		committed = w.random.IntN(4) > 0
		err = w.prepared(ctx, committed)
	default:
		err = w.exec(ctx, `commit`)
	}
	if err == nil && committed {
		w.committed.Add(1)
	} else {
		w.undone.Add(1)
	}
	return err
}

// prepared ends the transaction in two phases.
func (w *writer) prepared(ctx context.Context, commit bool) error {
	gid := fmt.Sprintf("%d-%d", w.number, w.transaction)
	if err := w.exec(ctx, fmt.Sprintf(`prepare transaction '%s'`, gid)); err != nil {
		return err
	}
	select { // others commit in between
	case <-time.After(time.Duration(w.random.IntN(20)) * time.Millisecond):
	case <-ctx.Done():
	}
	if commit {
		return w.exec(ctx, fmt.Sprintf(`commit prepared '%s'`, gid))
	}
	return w.exec(ctx, fmt.Sprintf(`rollback prepared '%s'`, gid))
}

// fill makes the transaction's mutations, in savepoints now and then.
func (w *writer) fill(ctx context.Context) error {
	var savepoints []int
	for n := range w.mutations {
		switch i := len(savepoints) - 1; {
		case w.random.IntN(6) == 0:
			savepoints = append(savepoints, n)
			if err := w.exec(ctx, fmt.Sprintf(`savepoint s%d`, n)); err != nil {
				return err
			}
		case i >= 0 && w.random.IntN(4) == 0:
			end := w.pick("release", "rollback to")
			if err := w.exec(ctx, fmt.Sprintf(`%s s%d`, end, savepoints[i])); err != nil {
				return err
			}
			savepoints = savepoints[:i]
		}
		if err := w.exec(ctx, w.mutation()); err != nil {
			return err
		}
	}
	switch w.random.IntN(120) {
	case 0:
		return w.exec(ctx, `truncate `+w.pick("message", "order_item", "ticket"))
	case 1, 2:
		return w.alter(ctx, w.pick("message", "order_item", "ticket"))
	}
	return nil
}

// alter adds a column, or renames or drops one that was added. Then it writes rows of the new shape.
func (w *writer) alter(ctx context.Context, table string) error {
	var column *string
	err := w.conn.QueryRow(ctx, `select (select attname from pg_attribute
		where attrelid = $1::regclass and attname like 'extra%' and not attisdropped order by random() limit 1)::text`, table).Scan(&column)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s%d", alteredPrefix, w.transaction)
	alteration := w.pick("add column "+name+" text", "add column "+name+" int default 7")
	if column != nil {
		alteration = w.pick(alteration, "drop column "+*column, "rename column "+*column+" to "+name, "drop column "+*column)
	}
	if err := w.exec(ctx, "alter table "+table+" "+alteration); err != nil {
		return err
	}
	return w.exec(ctx, w.mutationOf(table))
}

func (w *writer) exec(ctx context.Context, sql string) error {
	if _, err := w.conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("%.100s: %w", sql, err)
	}
	return nil
}

func (w *writer) mutation() string {
	return w.mutationOf(w.pick("message", "message", "order_item", "ticket"))
}

// mutationOf is a statement that changes a row of the table, rarely several. One in five moves a row from one scope to
// another, where it finds one.
func (w *writer) mutationOf(table string) string {
	w.mutated.Add(1)
	action := w.random.IntN(20)
	if action >= 16 {
		w.moved.Add(1)
	}
	switch table {
	case "message":
		return w.message(action)
	case "order_item":
		return w.item(action)
	}
	return w.ticket(action)
}

func (w *writer) message(action int) string {
	const ids = 200
	id, talk, author := 1+w.random.IntN(ids), w.orNull(talksOfOracle), w.orNull(authorsOfOracle)
	reader := w.pick("null", "null", "'ada'", "'bob'")
	where := fmt.Sprintf(`where id = (select id from message where id >= %d order by id limit 1)`, id)
	switch {
	case action < 5:
		attachment := "null"
		if w.random.IntN(2) == 0 {
			attachment = w.attachment()
		}
		return fmt.Sprintf(`insert into message (id, conversation_id, author_id, reader, body, attachment) values (%d, %s, %s, %s, %s, %s) on conflict do nothing`,
			id, talk, author, reader, w.text(), attachment)
	case action < 9: // leaves a big attachment out of the log
		return fmt.Sprintf(`update message set body = %s %s`, w.text(), where)
	case action < 11:
		return fmt.Sprintf(`update message set body = %s, attachment = %s %s`, w.text(), w.attachment(), where)
	case action < 12:
		return fmt.Sprintf(`update message set body = %s, reader = %s %s`, w.text(), reader, where)
	case action < 13:
		return fmt.Sprintf(`update message set body = '%s%d.%d.' || id || '%s' where conversation_id = %d and id < %d`,
			tokenBegin, w.transaction, w.mark(), tokenEnd, 1+w.random.IntN(talksOfOracle), id)
	case action < 14:
		return fmt.Sprintf(`update message set body = %[1]s, id = %[2]d %[3]s and not exists (select from message where id = %[2]d)`, w.text(), 1+w.random.IntN(ids), where)
	case action < 16:
		return fmt.Sprintf(`delete from message %s`, where)
	case action < 18:
		return fmt.Sprintf(`update message set body = %s, conversation_id = %s %s`, w.text(), talk, where)
	}
	return fmt.Sprintf(`update message set body = %s, conversation_id = %s, author_id = %s, reader = %s %s`, w.text(), talk, author, reader, where)
}

func (w *writer) item(action int) string {
	const lines = 12
	order, line, product := 1+w.random.IntN(ordersOfOracle), 1+w.random.IntN(lines), w.orNull(productsOfOracle)
	where := fmt.Sprintf(`where (order_id, line) = (select order_id, line from order_item where order_id >= %d and line >= %d order by order_id, line limit 1)`, order, line)
	switch {
	case action < 7:
		return fmt.Sprintf(`insert into order_item (order_id, line, product_id, quantity, note) values (%d, %d, %s, %d, %s) on conflict do nothing`,
			order, line, product, w.random.IntN(9), w.text())
	case action < 13:
		return fmt.Sprintf(`update order_item set quantity = quantity + 1, note = %s %s`, w.text(), where)
	case action < 16:
		return fmt.Sprintf(`delete from order_item %s`, where)
	case action < 18: // to another order: its key changes as well
		to, at := 1+w.random.IntN(ordersOfOracle), 1+w.random.IntN(lines)
		return fmt.Sprintf(`update order_item set order_id = %[1]d, line = %[2]d, note = %[3]s %[4]s and not exists (select from order_item where (order_id, line) = (%[1]d, %[2]d))`,
			to, at, w.text(), where)
	}
	return fmt.Sprintf(`update order_item set product_id = %s, note = %s %s`, product, w.text(), where)
}

func (w *writer) ticket(action int) string {
	const tickets = 60
	number, queue := 1+w.random.IntN(tickets), "'"+w.pick(ticketQueues...)+"'"
	if w.random.IntN(10) == 0 {
		queue = "null"
	}
	where := fmt.Sprintf(`where number = (select number from ticket where number >= %d order by number limit 1)`, number)
	switch {
	case action < 7:
		return fmt.Sprintf(`insert into ticket (number, queue, title, secret) values (%d, %s, %s, %s) on conflict do nothing`, number, queue, w.text(), w.text())
	case action < 11:
		return fmt.Sprintf(`update ticket set title = %s %s`, w.text(), where)
	case action < 13: // changes nothing that is shown
		return fmt.Sprintf(`update ticket set secret = %s %s`, w.text(), where)
	case action < 16:
		return fmt.Sprintf(`delete from ticket %s`, where)
	}
	return fmt.Sprintf(`update ticket set queue = %s, title = %s %s`, queue, w.text(), where)
}

// text is a value that no other is like.
func (w *writer) text() string {
	return fmt.Sprintf("'%s%d.%d%s'", tokenBegin, w.transaction, w.mark(), tokenEnd)
}

func (w *writer) mark() int {
	w.marks++
	return w.marks
}

// attachment is a text that PostgreSQL stores apart.
func (w *writer) attachment() string {
	return w.text() + " || '" + strings.Repeat("x", 2500+w.random.IntN(500)) + "'"
}

func (w *writer) orNull(values int) string {
	if w.random.IntN(10) == 0 {
		return "null"
	}
	return fmt.Sprint(1 + w.random.IntN(values))
}

func (w *writer) pick(from ...string) string { return from[w.random.IntN(len(from))] }
