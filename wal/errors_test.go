package wal_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/wal"
)

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
