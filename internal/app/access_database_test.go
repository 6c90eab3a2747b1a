package app

import (
	"errors"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The questions of one batch are asked in one transaction. What one of them comes to is nothing to the others, and its error is
// the server's.
func TestAnErrorOfOneQuestionIsNotThatOfTheOthers(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, `create table member (room int, u text)`, `insert into member values (1, 'ada')`)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	check, err := wal.CheckTable(t.Context(), conn, wal.TableName{Schema: "public", Name: "member"}, "room")
	if err != nil {
		t.Fatal(err)
	}
	rooms := []string{"1", "nonsense", "2", "99999999999", "1"}
	var arguments [][]*string
	for i := range rooms {
		arguments = append(arguments, []*string{&rooms[i]})
	}
	const sql = "select true from public.member where room OPERATOR(pg_catalog.=) $1"
	for name, list := range map[string][][]*string{"all": arguments, "one": arguments[1:2], "the last fails": arguments[2:4]} {
		answers, err := accessConnection{conn, check}.Ask(t.Context(), sql, list)
		if err != nil || len(answers) != len(list) {
			t.Fatalf("%s: %d answers, %v", name, len(answers), err)
		}
		for i, a := range answers {
			room := *list[i][0]
			if bad := room == "nonsense" || room == "99999999999"; (a.Err != nil) != bad || !bad && a.Row != (room == "1") {
				t.Errorf("%s: room %s: %+v", name, room, a)
			}
			var refused *pgconn.PgError
			if a.Err != nil && (!errors.As(a.Err, &refused) || !pgerrcode.IsDataException(refused.Code)) {
				t.Errorf("%s: room %s: %v", name, room, a.Err)
			}
		}
	}
}
