package wal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/wal"
)

func TestP58TemporaryErrors(t *testing.T) {
	server := func(code string) error { return fmt.Errorf("stream: %w", &pgconn.PgError{Code: code}) }
	for what, c := range map[string]struct {
		err  error
		want bool
	}{
		"no error":                 {nil, false},
		"connection cut":           {fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), true},
		"context":                  {context.DeadlineExceeded, true},
		"shutdown by the operator": {server("57P01"), true},
		"starting":                 {server("57P03"), true},
		"slot in use":              {server("55006"), true},
		"slot invalidated":         {server("55000"), true},
		"too many connections":     {server("53300"), true},
		"disk full":                {server("53100"), true},
		"lock timeout":             {server("55P03"), true},
		"wrong password":           {server("28P01"), false},
		"role may not":             {server("28000"), false},
		"no such database":         {server("3D000"), false},
		"no privilege":             {server("42501"), false},
		"no such object":           {server("42704"), false},
		"not in this server":       {server("0A000"), false},
		"malformed message":        {fmt.Errorf("decode: %w", wal.ErrMessage), false},
		"setup":                    {fmt.Errorf("stream: %w", &wal.SetupError{}), false},
		"walsenders are taken":     {&wal.SetupError{Findings: []wal.Finding{{Check: "max_wal_senders", Level: wal.Fail, Passing: true}}}, true},
		"that and another thing": {&wal.SetupError{Findings: []wal.Finding{
			{Check: "max_wal_senders", Level: wal.Fail, Passing: true}, {Check: "wal_level", Level: wal.Fail},
		}}, false},
	} {
		if got := wal.Temporary(c.err); got != c.want {
			t.Errorf("%s: temporary is %t", what, got)
		}
	}
}

func TestSetupErrorTellsEveryFix(t *testing.T) {
	err := error(&wal.SetupError{Findings: []wal.Finding{
		{Check: "wal_level", Detail: "wal_level is replica", Fix: "ALTER SYSTEM ...;\n-- then restart"},
		{Check: "slot shop", Detail: "is busy"},
	}})
	const want = "the database is not ready:\n  wal_level: wal_level is replica\n    ALTER SYSTEM ...;\n    -- then restart\n  slot shop: is busy"
	if err.Error() != want {
		t.Errorf("it says\n%s\nwant\n%s", err, want)
	}
	var setup *wal.SetupError
	if !errors.As(fmt.Errorf("serve: %w", err), &setup) {
		t.Error("it is lost when wrapped")
	}
}
