package reactive_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/gateway/reactive"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

const orders = `create table orders (id int primary key)`

// leavesNothing fails the test if it has started a goroutine that is still there at its end.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		pgtest.CloseIdleSessions()
		goleak.VerifyNone(t, before)
	})
}

// newOrders gives a database with the table, and the configuration of a gateway for it.
func newOrders(t *testing.T) (options reactive.Options) {
	t.Helper()
	database := pgtest.Database(t)
	pgtest.Exec(t, database, orders)
	slot := strings.ToLower(database[strings.LastIndex(database, "/")+1:])
	slot, _, _ = strings.Cut(slot, "?")
	return reactive.Options{DatabaseURL: database, Config: "slot: " + slot + "\nallowAnonymous: true\n"}
}

func start(t *testing.T, o reactive.Options) *reactive.Gateway {
	t.Helper()
	gw, err := reactive.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, gw) })
	return gw
}

func stop(t *testing.T, gw *reactive.Gateway) {
	t.Helper()
	if err := gw.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// connect gives a client, and a function that ends it and the server.
func connect(t *testing.T, gw *reactive.Gateway) (client *websocket.Conn, end func()) {
	t.Helper()
	server := httptest.NewServer(gw)
	transport := &http.Transport{}
	client, _, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}}) //nolint:bodyclose // the connection is the body
	if err != nil {
		server.Close()
		t.Fatal(err)
	}
	return client, func() {
		client.CloseNow()
		transport.CloseIdleConnections()
		server.Close()
	}
}

func subscribe(t *testing.T, client *websocket.Conn, channel, column string) {
	t.Helper()
	if err := client.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"type":"subscribe","channel":%q,"scope":{"col":%q,"value":1}}`, channel, column)); err != nil {
		t.Fatal(err)
	}
	if _, frame, err := client.Read(t.Context()); err != nil || !strings.Contains(string(frame), "subscribed") {
		t.Fatalf("%s, %v", frame, err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestStartSaysWhatHasToBeMended(t *testing.T) {
	o := newOrders(t)
	leavesNothing(t)
	o.Config += "setup: check\n"
	_, err := reactive.Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "CREATE PUBLICATION") {
		t.Errorf("the error is %v", err)
	}
}

func TestStartWaitsNoLongerThanItsContext(t *testing.T) {
	leavesNothing(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := reactive.Start(ctx, reactive.Options{DatabaseURL: "postgres://127.0.0.1:1/shop", Config: "allowAnonymous: true"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "starting") {
		t.Errorf("the error is %v", err)
	}
}

func TestStartAndStopAgainAndAgain(t *testing.T) {
	o := newOrders(t)
	leavesNothing(t)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		gw, err := reactive.Start(ctx, o)
		cancel() // bounds the start alone
		if err != nil {
			t.Fatal(err)
		}
		client, end := connect(t, gw)
		subscribe(t, client, "orders", "id")
		goodbye := make(chan error, 1)
		go func() {
			_, _, err := client.Read(context.Background())
			goodbye <- err
		}()
		var stops sync.WaitGroup
		for range 3 {
			stops.Go(func() { stop(t, gw) })
		}
		stops.Wait()
		if err := <-goodbye; websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("the client got %v", err)
		}
		end()
		select {
		case <-gw.Done():
		default:
			t.Error("Stop came back before everything had ended")
		}
		if err := gw.Err(); err != nil {
			t.Error(err)
		}
		if _, err := gw.Emit(t.Context(), ingest.Event{}); err == nil {
			t.Error("an event was taken after the end")
		}
		late := httptest.NewRecorder()
		gw.ServeHTTP(late, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/ws", nil))
		if late.Code != http.StatusServiceUnavailable {
			t.Errorf("after the end a client gets %d", late.Code)
		}
	}
}

// While rows are written as fast as the database takes them, to clients that read and to one that does not.
func TestStopUnderLoadLeavesNothing(t *testing.T) {
	for name, patient := range map[string]bool{"to its end": true, "cut short": false} {
		t.Run(name, func(t *testing.T) {
			o := newOrders(t)
			pgtest.Exec(t, o.DatabaseURL, `create table note (id serial primary key, shelf int, body text)`)
			leavesNothing(t)
			o.Config += "drainTimeout: 1s\nreactive: [{table: note, scopes: [shelf]}]\n"
			gw := start(t, o)
			writing, stopWriting := context.WithCancel(t.Context())
			defer stopWriting()
			var load sync.WaitGroup
			load.Go(func() {
				for writing.Err() == nil {
					pgtest.Exec(t, o.DatabaseURL, `insert into note (shelf, body) select 1, repeat('x', 1000) from generate_series(1, 500)`)
				}
			})
			flowing := make(chan struct{}, 2)
			for i := range 3 {
				client, end := connect(t, gw)
				defer end()
				subscribe(t, client, "note", "shelf")
				if i == 0 {
					continue // it never reads again
				}
				load.Go(func() {
					for n := 0; ; n++ {
						if _, _, err := client.Read(context.Background()); err != nil {
							return
						}
						if n == 0 {
							flowing <- struct{}{}
						}
					}
				})
			}
			<-flowing
			<-flowing
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if !patient {
				cancel()
			}
			if err := gw.Stop(ctx); patient && err != nil || !patient && !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
			select {
			case <-gw.Done():
			default:
				t.Error("Stop came back before everything had ended")
			}
			stopWriting()
			load.Wait()
			stop(t, gw) // again, with nothing left to do
		})
	}
}

// The program that has the gateway in it has no listener that the gateway knows of: all addresses are answered, and names on request.
func TestW33AnEmbeddedGatewayChecksHost(t *testing.T) {
	o := newOrders(t)
	o.Config += "allowedHosts: [shop.internal]\n"
	gw := start(t, o)
	for host, want := range map[string]bool{"localhost:8080": true, "10.0.0.7": true, "shop.internal": true, "evil.example": false, "": false} {
		for what, handler := range map[string]http.Handler{"clients": gw, "operators": gw.Admin()} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", nil)
			r.Host = host
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			if (answer.Code != http.StatusForbidden) != want {
				t.Errorf("%s get %d as %q", what, answer.Code, host)
			}
		}
	}
}

func TestASecondGatewayStandsByForTheFirst(t *testing.T) {
	o := newOrders(t)
	leavesNothing(t)
	first := start(t, o)
	second := start(t, o)
	if ready, why := second.Ready(); ready || why != "standby" {
		t.Fatalf("the second one is ready: %v, %s", ready, why)
	}
	away := httptest.NewRecorder()
	second.ServeHTTP(away, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/ws", nil))
	if away.Code != http.StatusServiceUnavailable {
		t.Errorf("its clients get %d", away.Code)
	}
	if _, err := second.Emit(t.Context(), ingest.Event{Type: ingest.AfterInsert, Schema: "public", Table: "orders"}); err == nil {
		t.Error("it takes events")
	}
	stop(t, first)
	eventually(t, "the second one takes over", func() bool { ready, _ := second.Ready(); return ready })
}

func TestWhatEndsTheGatewayCanBeRead(t *testing.T) {
	o := newOrders(t)
	stop(t, start(t, o)) // makes what is missing
	leavesNothing(t)
	o.Config += "setup: check\n"
	gw := start(t, o)
	pgtest.Exec(t, o.DatabaseURL, `drop publication mtbreactive`,
		`select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where database = current_database()`)
	eventually(t, "the gateway has ended", func() bool {
		select {
		case <-gw.Done():
			return true
		default:
			return false
		}
	})
	if err := gw.Err(); err == nil || !strings.Contains(err.Error(), "CREATE PUBLICATION") {
		t.Errorf("the error is %v", err)
	}
}

func TestAHookNeedsATokenThatIsNotGuessed(t *testing.T) {
	o := newOrders(t)
	o.Config += "reactive: [{table: orders}, {table: basket, source: hook, scopes: [shop]}]\n"
	gw := start(t, o)
	for _, token := range []string{"", "fifteen letters"} {
		if _, err := gw.Hook(token); err == nil {
			t.Errorf("%q is taken", token)
		}
	}
	hook, err := gw.Hook("sixteen letters.")
	if err != nil {
		t.Fatal(err)
	}
	for authorization, want := range map[string]int{
		"": http.StatusUnauthorized, "Bearer ": http.StatusUnauthorized, "Bearer sixteen letters.": http.StatusAccepted,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/ingest", strings.NewReader(
			`{"type":"afterInsert","schemaName":"public","tableName":"basket","primaryKey":{"id":1},"row":{"id":1,"shop":"Oslo"}}`))
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		hook.ServeHTTP(answer, r)
		if answer.Code != want {
			t.Errorf("with %q the answer is %d %s, want %d", authorization, answer.Code, answer.Body, want)
		}
	}
	health := httptest.NewRecorder()
	gw.Admin().ServeHTTP(health, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/readyz", nil))
	if health.Code != http.StatusOK {
		t.Errorf("/readyz says %d %s", health.Code, health.Body)
	}
}
