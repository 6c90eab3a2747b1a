package wal

import (
	"errors"
	"fmt"
	"strings"

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

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
