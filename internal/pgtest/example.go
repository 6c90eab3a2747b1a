package pgtest

import (
	"fmt"
	"testing"
)

// ExampleDatabase is Database for an Example, which has no testing.TB: it runs the statements, and whoever called it has to
// drop the database. It panics where a test would fail.
func ExampleDatabase(sql ...string) (url string, drop func()) {
	e := &example{}
	url = Database(e)
	Exec(e, url, sql...)
	return url, func() {
		for _, f := range e.cleanups {
			f()
		}
	}
}

// example is as much of a testing.TB as this package calls.
type example struct {
	testing.TB
	cleanups []func()
}

func (e *example) Helper()                           {}
func (e *example) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *example) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (e *example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
