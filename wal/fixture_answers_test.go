package wal_test

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// answers stands in for a server, or for a pooler: it answers each startup message by a message, and closes.
func answers(t *testing.T, answer func(parameters map[string]string) *pgproto3.ErrorResponse) (address string) {
	t.Helper()
	return standsIn(t, func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		for {
			message, err := backend.ReceiveStartupMessage()
			if err != nil {
				return
			}
			switch m := message.(type) {
			case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
				if _, err := conn.Write([]byte{'N'}); err != nil {
					return
				}
				continue
			case *pgproto3.StartupMessage:
				if e := answer(m.Parameters); e != nil {
					backend.Send(e)
					_ = backend.Flush()
				}
			}
			return
		}
	})
}

// standsIn serves connections, one after the other, until the test ends.
func standsIn(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			serve(conn)
			conn.Close()
		}
	})
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

func refusal(code, format string, args ...any) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: fmt.Sprintf(format, args...)}
}
