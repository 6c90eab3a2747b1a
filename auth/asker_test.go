package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// distant is a connection over which everything that is sent takes a while.
type distant struct {
	net.Conn
	delay time.Duration
}

func (d distant) Write(b []byte) (int, error) {
	time.Sleep(d.delay)
	return d.Conn.Write(b)
}

// W30: 2,500 who may subscribe do so at once, with 4 connections and 3 ms to the database.
func TestW30AuthorizeAStormOfTheEntitled(t *testing.T) {
	const users = 2500
	url := pgtest.Database(t)
	pgtest.Exec(t, url, `create table member (conversation_id bigint, user_id text, role text)`,
		`insert into member select i % 100, 'user ' || i, 'editor' from generate_series(1, 2500) i`, `create index on member (user_id)`)
	for name, statement := range map[string]string{
		"exists":         "select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)",
		"rows":           "select 1 from member where conversation_id = $scope and user_id = $ctx.sub",
		"in a trip only": "select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub and role = any($ctx.roles))",
		"member":         "",
	} {
		t.Run(name, func(t *testing.T) {
			config, err := pgxpool.ParseConfig(url)
			if err != nil {
				t.Fatal(err)
			}
			config.MaxConns = 4
			config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				return distant{conn, 3 * time.Millisecond}, err
			}
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			db := &postgres{pool: pool}
			var a Authorizer
			if statement == "" {
				a, err = NewMember(MemberOptions{Database: db, Schema: "public", Table: "member", Scope: "conversation_id", User: "user_id"})
			} else {
				a, err = NewSQL(SQLOptions{Database: db, Statement: statement, Column: "conversation_id"})
			}
			if err != nil {
				t.Fatal(err)
			}
			var denied, entered atomic.Int64
			var asking sync.WaitGroup
			for i := 1; i <= users; i++ {
				user := principal(t, map[string]any{"sub": fmt.Sprint("user ", i), "roles": []any{"owner", "editor"}})
				stranger := principal(t, map[string]any{"sub": fmt.Sprint("stranger ", i), "roles": []any{"editor"}})
				asking.Go(func() {
					if err := a.Authorize(t.Context(), user, conversation(int64(i%100))); err != nil {
						denied.Add(1)
						t.Errorf("user %d: %v", i, err)
					}
				})
				if i%10 == 0 {
					asking.Go(func() {
						if a.Authorize(t.Context(), stranger, conversation(int64(i%100))) == nil {
							entered.Add(1)
						}
					})
				}
			}
			asking.Wait()
			if n := db.trips.Load(); denied.Load() > 0 || entered.Load() > 0 || n > 60 {
				t.Errorf("%d of %d denied, %d strangers let in, by %d queries", denied.Load(), users, entered.Load(), n)
			}
		})
	}
}

// W30: what a client sends in the place of a value costs nobody else the answer.
func TestW30AuthorizeBesideValuesOfNoType(t *testing.T) {
	db := database(t, `create table member (conversation_id int, user_id uuid)`, `insert into member values (1, '`+adaUUID+`')`)
	a := newSQLAuthorizer(t, SQLOptions{
		Database: db, Column: "conversation_id", Statement: "select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)",
	})
	if err := a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	for range 20 {
		for sub, want := range map[string]Reason{
			adaUUID: "", eveUUID: Forbidden, "nobody": UnusableClaims, "'": UnusableClaims,
			"{" + adaUUID + "}": "", // PostgreSQL reads that as well
		} {
			p := principal(t, map[string]any{"sub": sub})
			asking.Go(func() { wantDenied(t, a.Authorize(t.Context(), p, conversation(int64(1))), want) })
			asking.Go(func() {
				if want == "" {
					wantDenied(t, a.Authorize(t.Context(), p, conversation(int64(1)<<40)), UnusableClaims) // no int
				}
			})
		}
	}
	asking.Wait()
}

// W30: a table that is locked, renamed or forbidden to read gives no answer, and answers again when that is over.
func TestW30AuthorizeWithoutAnAnswer(t *testing.T) {
	url := pgtest.Database(t)
	pgtest.Exec(t, url, `create table member (conversation_id bigint, user_id text)`, `insert into member values (1, 'ada')`)
	db := open(t, url)
	a := newSQLAuthorizer(t, SQLOptions{
		Database: db, Column: "conversation_id", Timeout: 300 * time.Millisecond,
		Statement: "select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)",
	})
	ada := principal(t, map[string]any{"sub": "ada"})
	wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), "")
	locker, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(locker.Close)
	tx, err := locker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "lock table member"); err != nil {
		t.Fatal(err)
	}
	wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), Unavailable)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), "")
	pgtest.Exec(t, url, `alter table member rename to members`)
	wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), Unavailable)
	pgtest.Exec(t, url, `alter table members rename to member`)
	wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), "")
	// The server ends its connections: that is not even noticed.
	pgtest.Exec(t, url, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
	wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), "")
	db.pool.Close()
	err = a.Authorize(t.Context(), ada, conversation(int64(1)))
	if wantDenied(t, err, Unavailable); !Undecided(err) {
		t.Error("that is a refusal")
	}
}

// slowBase is a database with some connections, and questions that are slow.
type slowBase struct {
	connections chan struct{}
	slow        string        // a question that never ends
	each        time.Duration // what another takes
	broken      bool
	asked       atomic.Int64
}

func (d *slowBase) With(ctx context.Context, f func(Connection) error) error {
	if d.broken {
		return errors.New("connection refused")
	}
	select {
	case d.connections <- struct{}{}:
		defer func() { <-d.connections }()
		return f(d)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *slowBase) Describe(context.Context, string) (Description, error) {
	return Description{Parameters: []uint32{0}, Columns: []uint32{boolOID}}, nil
}

func (d *slowBase) Ask(ctx context.Context, _ string, arguments [][]*string) (answers []Answer, err error) {
	d.asked.Add(1)
	yes := "t"
	for _, list := range arguments {
		takes := d.each
		if d.slow != "" && *list[0] == d.slow {
			takes = time.Hour
		}
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		answers = append(answers, Answer{Row: true, First: &yes})
	}
	return answers, nil
}

func TestW30AuthorizeManyOnAFewConnections(t *testing.T) {
	for name, c := range map[string]struct {
		db      *slowBase
		users   int
		refused int
		most    time.Duration
		queries int64
	}{
		"fast":                                {&slowBase{each: time.Microsecond}, 2500, 0, time.Second, 12},
		"one question that never ends":        {&slowBase{slow: "7", each: time.Millisecond}, 500, 1, 8 * time.Second, 60},
		"each is slow, all together too slow": {&slowBase{each: 10 * time.Millisecond}, 1000, 0, 8 * time.Second, 100},
		"no connection":                       {&slowBase{broken: true}, 2500, 2500, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.db.connections = make(chan struct{}, 4)
				a := newSQLAuthorizer(t, SQLOptions{Database: c.db, Statement: "select f($ctx.sub)"})
				var refused atomic.Int64
				var asking sync.WaitGroup
				began := time.Now()
				for i := range c.users {
					p := principal(t, map[string]any{"sub": fmt.Sprint(i)})
					asking.Go(func() {
						if err := a.Authorize(t.Context(), p, conversation(int64(1))); err != nil {
							refused.Add(1)
							if !Undecided(err) {
								t.Errorf("%d: %v", i, err)
							}
						}
					})
				}
				asking.Wait()
				took := time.Since(began)
				if int(refused.Load()) != c.refused || took > c.most || c.db.asked.Load() > c.queries {
					t.Errorf("%d of %d refused, in %s, by %d queries", refused.Load(), c.users, took, c.db.asked.Load())
				}
			})
		})
	}
}

// A webhook is asked a few dozen questions at a time, and the others wait, but not for ever.
func TestW30AuthorizeAWebhookInAStorm(t *testing.T) {
	for name, c := range map[string]struct {
		takes   time.Duration
		refused int
	}{"quick": {100 * time.Millisecond, 0}, "slow": {time.Second, 1000 - 5*MaxRequests}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most, refused atomic.Int64
				transport := roundTrip(func(*http.Request) (*http.Response, error) {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					defer running.Add(-1)
					time.Sleep(c.takes)
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"allowed":true}`))}, nil
				})
				a, err := NewAuthorizeWebhook(AuthorizeWebhookOptions{URL: "https://app.example.com/may", Transport: transport})
				if err != nil {
					t.Fatal(err)
				}
				var asking sync.WaitGroup
				for i := range 1000 {
					p := principal(t, map[string]any{"sub": fmt.Sprint(i)})
					asking.Go(func() {
						if err := a.Authorize(t.Context(), p, conversation(int64(1))); err != nil {
							refused.Add(1)
							wantDenied(t, err, Unavailable)
						}
					})
				}
				asking.Wait()
				if most.Load() > MaxRequests || refused.Load() > int64(c.refused) || c.refused > 0 && refused.Load() == 0 {
					t.Errorf("%d at a time, %d refused, want %d", most.Load(), refused.Load(), c.refused)
				}
			})
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The wait for a connection has a bound of its own, and who leaves is not asked about.
func TestW30AuthorizeWaitsForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slowBase{connections: make(chan struct{}, 1)}
		db.connections <- struct{}{} // somebody has it
		a := newSQLAuthorizer(t, SQLOptions{Database: db, Statement: "select f($ctx.sub)", Timeout: time.Second})
		ada := principal(t, map[string]any{"sub": "ada"})
		var asking sync.WaitGroup
		for wait, want := range map[time.Duration]Reason{time.Second: Unavailable, time.Minute: ""} {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				wantDenied(t, a.Authorize(ctx, ada, conversation(int64(1))), want)
			})
		}
		time.Sleep(4 * time.Second) // longer than a query may take
		<-db.connections
		asking.Wait()
		db.connections <- struct{}{}
		began := time.Now()
		wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), Unavailable)
		if took := time.Since(began); took != leastPatience {
			t.Errorf("it waited for %s", took)
		}
		if len(a.asker.pending) > 0 || len(a.asker.queue) > 0 || len(a.asker.slots) > 0 {
			t.Errorf("something is left: %+v", &a.asker)
		}
	})
}
