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
	for _, g := range Groups(e.Findings, mostTold) {
		for _, f := range g.Findings {
			fmt.Fprintf(&b, "\n  %s: %s", Line(f.Check), Line(f.Detail))
			if f.By != "" && f.Fix != "" {
				fmt.Fprintf(&b, "; as %s:", Line(f.By))
			}
			fixes := []string{f.Fix}
			if f.Kind == "" {
				fixes = append(fixes, f.Or)
			}
			for _, fix := range fixes {
				if fix != "" {
					fmt.Fprintf(&b, "\n    %s", strings.ReplaceAll(fix, "\n", "\n    "))
				}
			}
		}
		if more := g.Summary(); more != "" {
			fmt.Fprintf(&b, "\n  %s\n    -- `reactive-gw doctor --sql` prints the SQL for all of them", more)
		}
	}
	return b.String()
}

// mostTold is how many tables of which the same is to be said are told one by one.
const mostTold = 10

// interruption is an error after which a new attempt finds another state, whatever the server's code for it says.
type interruption struct{ error }

func (e interruption) Unwrap() error { return e.error }

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
