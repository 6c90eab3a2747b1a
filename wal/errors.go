package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
)

// SetupError says that the server is not set up as the configuration wants it and that the gateway may not or cannot
// mend it. Its findings say what to do, with the SQL.
type SetupError struct {
	Findings []Finding
}

func (e *SetupError) Error() string {
	var b strings.Builder
	b.WriteString("the database is not ready:")
	for _, f := range e.Findings {
		fmt.Fprintf(&b, "\n  %s: %s", f.Check, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(&b, "\n    %s", strings.ReplaceAll(f.Fix, "\n", "\n    "))
		}
	}
	return b.String()
}

// interruption is an error after which a new attempt finds another state, whatever the server's code for it says.
type interruption struct{ error }

func (e interruption) Unwrap() error { return e.error }

// Temporary tells whether an error of a connection or a statement may go away by itself: the server is starting,
// stopping, full or out of reach. What is left are mistakes that only the operator can mend.
func Temporary(err error) bool {
	var setup *SetupError
	if errors.As(err, &setup) {
		return len(setup.Findings) > 0 && !slices.ContainsFunc(setup.Findings, func(f Finding) bool { return !f.Passing })
	}
	for _, lasting := range []error{ErrMessage, ErrNotPinned, ErrNotATable, ErrIncomparable} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &interruption{}) || !errors.As(err, &pg) {
		return true // no answer from the server: the connection failed
	}
	switch {
	case pgerrcode.IsInvalidAuthorizationSpecification(pg.Code), pgerrcode.IsInvalidCatalogName(pg.Code),
		pgerrcode.IsSyntaxErrororAccessRuleViolation(pg.Code), pgerrcode.IsFeatureNotSupported(pg.Code):
		return false
	}
	return true
}

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
