package wal

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

func encoded(t *testing.T, m pgproto3.BackendMessage) []byte {
	t.Helper()
	b, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// served gives a connection on which the server says the given messages.
func served(t *testing.T, said ...[]byte) (r *replication, notices *[]string) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	go func() {
		for _, m := range said {
			if _, err := server.Write(m); err != nil {
				return
			}
		}
	}()
	notices = new([]string)
	return &replication{conn: client, frames: frames{from: client}, notices: func(n *pgconn.Notice) { *notices = append(*notices, n.Code+" "+n.Message) }}, notices
}

func TestWhatComesBesideTheDataIsHeard(t *testing.T) {
	r, notices := served(t,
		encoded(t, &pgproto3.NoticeResponse{Severity: "WARNING", Code: "55000", Message: "skipped"}),
		encoded(t, &pgproto3.ParameterStatus{Name: "a", Value: "b"}),
		encoded(t, &pgproto3.CopyData{Data: []byte("data")}),
		encoded(t, &pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P01", Message: "terminated"}))
	for _, want := range []string{"", "", "data"} {
		got, _, err := r.receive()
		if err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Fatalf("received %q, error %v, want %q", got, err, want)
		}
	}
	if len(*notices) != 1 || (*notices)[0] != "55000 skipped" {
		t.Errorf("notices %q", *notices)
	}
	_, _, err := r.receive()
	var ended *walsenderError
	if !errors.As(err, &ended) || !hasCode(err, "57P01") {
		t.Errorf("error %v, want the server's", err)
	}
}

func TestStreamsEndAndMalformedMessages(t *testing.T) {
	for name, c := range map[string]struct {
		message []byte
		want    error
	}{
		"the end of the copy":     {encoded(t, &pgproto3.CopyDone{}), errStreamEnded},
		"the end of the command":  {encoded(t, &pgproto3.CommandComplete{CommandTag: []byte("COPY 0")}), errStreamEnded},
		"an empty message":        {encoded(t, &pgproto3.CopyData{}), ErrMessage},
		"an unknown kind":         {frame('?', nil), errFrame},
		"an error without an end": {frame('E', []byte("Mnone")), errFrame},
		"a notice without an end": {frame('N', []byte{'C'}), errFrame},
		"a length that cannot be": {[]byte{'d', 0, 0, 0, 0}, errFrame},
	} {
		r, _ := served(t, c.message)
		if _, _, err := r.receive(); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestSendFailsInTime(t *testing.T) {
	r, _ := served(t) // nobody reads there
	err := r.send([]byte("status"), 10*time.Millisecond)
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("error %v, want a timeout", err)
	}
}

// The slot is free when the server has closed its side, and not when we have said goodbye: it may be sending, or slow.
func TestCloseWaitsForTheServer(t *testing.T) {
	for name, c := range map[string]struct{ takes, want time.Duration }{
		"that takes its time": {takes: time.Second, want: time.Second},
		"that hangs":          {takes: time.Hour, want: farewell},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				hangUp := make(chan struct{})
				go func() {
					defer server.Close()
					goodbye := make([]byte, 5)
					if _, err := io.ReadFull(server, goodbye); err != nil || goodbye[0] != 'X' {
						t.Errorf("%q, %v, want a Terminate", goodbye, err)
					}
					if _, err := server.Write([]byte("what was on its way")); err != nil {
						t.Error(err)
					}
					select {
					case <-time.After(c.takes):
					case <-hangUp:
					}
				}()
				began := time.Now()
				(&replication{conn: client}).close()
				if took := time.Since(began); took != c.want {
					t.Errorf("it took %s, want %s", took, c.want)
				}
				close(hangUp)
			})
		})
	}
}

// A status is what PostgreSQL's manual says ("Standby status update"), in a CopyData message.
func TestStatusHasTheShapeOfTheManual(t *testing.T) {
	at := time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)
	got := appendStatus(nil, 0x0102030405060708, 0x1112131415161718, at, true)
	want := "r\x01\x02\x03\x04\x05\x06\x07\x08\x11\x12\x13\x14\x15\x16\x17\x18\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x00\x00\x0f\x42\x40\x01"
	if string(got) != want {
		t.Errorf("status %x, want %x", got, want)
	}
}
