package wal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// stranger makes a role that is nobody's, and gives its name with a database's URL for it.
func stranger(t *testing.T, url, prefix string) (role, as string) {
	t.Helper()
	role = prefix + "_" + query[string](t, newServer(t, url).Pool, "select current_database()")
	pgtest.Exec(t, url, "create role "+role+" login")
	t.Cleanup(func() { pgtest.Exec(t, url, "drop owned by "+role, "drop role "+role) })
	return role, strings.Replace(url, "postgres@", role+"@", 1)
}

// However a path is set, our sessions have ours.
func TestS1TheSearchPathIsPinned(t *testing.T) {
	t.Parallel()
	url := database(t, "create schema evil")
	name := query[string](t, newServer(t, url).Pool, "select current_database()")
	role, as := stranger(t, url, "gateway")
	pgtest.Exec(t, url, "alter database "+name+" set search_path = evil", "alter role "+role+" set search_path = evil, public",
		"alter role "+role+" set row_security = on", "alter database "+name+" set standard_conforming_strings = off",
		"alter database "+name+" set quote_all_identifiers = on", "alter database "+name+" set default_transaction_isolation = serializable")
	for _, more := range []string{"", "&search_path=evil", "&SEARCH_PATH=evil&Row_Security=on", "&options=-csearch_path%3Devil%20-c%20row_security%3Don"} {
		for range 5 { // a map's order is another one each time
			pool, err := wal.OpenPool(t.Context(), as+more, wal.PoolOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var path, security, strings, quoting, isolation string
			err = pool.QueryRow(t.Context(), "select pg_catalog.current_setting('search_path'), pg_catalog.current_setting('row_security'), "+
				"pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('quote_all_identifiers'), "+
				"pg_catalog.current_setting('transaction_isolation')").Scan(&path, &security, &strings, &quoting, &isolation)
			pool.Close()
			if err != nil || path != "pg_catalog, pg_temp" || security != "off" || strings != "on" || quoting != "off" || isolation != "read committed" {
				t.Fatalf("%q: search_path %s, row_security %s, standard_conforming_strings %s, quote_all_identifiers %s, isolation %s, error %v",
					more, path, security, strings, quoting, isolation, err)
			}
		}
	}
	// RESET gives what the session began with.
	pool, err := wal.OpenPool(t.Context(), as, wal.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var path string
	if _, err := pool.Exec(t.Context(), "discard all"); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), "select pg_catalog.current_setting('search_path')").Scan(&path); err != nil || path != "pg_catalog, pg_temp" {
		t.Errorf("after DISCARD ALL: %s, %v", path, err)
	}
}

func TestS1WhichSchemasOfThePathAreTrusted(t *testing.T) {
	t.Parallel()
	url := database(t)
	server := newServer(t, url)
	name := query[string](t, server.Pool, "select current_database()")
	mallory, _ := stranger(t, url, "mallory")
	gateway, as := stranger(t, url, "gateway")
	pgtest.Exec(t, url, "create schema app", "create schema open", "grant create on schema open to public", "create schema lent", "grant create on schema lent to "+mallory,
		"create schema foreign_owned authorization "+mallory, "create schema own authorization "+gateway, "create schema "+gateway+" authorization "+mallory,
		"create schema leftover", "grant all on schema leftover to "+mallory, "create schema hidden", `create schema "Odd ""one"""`,
		"grant usage on schema app, open, lent, foreign_owned, leftover, public, \"Odd \"\"one\"\"\", "+gateway+" to "+gateway)
	pgtest.Exec(t, strings.Replace(url, "postgres@", mallory+"@", 1),
		"create function leftover.evil(varchar, varchar) returns bool language sql as 'select true'",
		"create operator leftover.= (leftarg = varchar, rightarg = varchar, function = leftover.evil)",
		"create function leftover.lower(varchar) returns text language sql as 'select $1::text'", "create function leftover.own(int) returns int language sql as 'select $1'")
	pgtest.Exec(t, url, "revoke all on schema leftover from "+mallory,
		`alter role `+gateway+` set search_path = "$user", app, pg_catalog, open, lent, "no such", own, leftover, hidden, foreign_owned, "Odd ""one""", public, app`)
	// The same as before version 15, where everybody may create in public.
	pgtest.Exec(t, url, "grant create on schema public to public")
	path, err := wal.ReadPath(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"app", "own", `Odd "one"`}; !slices.Equal(path.Trusted, want) {
		t.Errorf("trusted are %q, want %q", path.Trusted, want)
	}
	var got []string
	for _, s := range path.Untrusted {
		got = append(got, s.Name+": "+strings.Join(append(append([]string{s.Owner}, s.Creators...), s.Objects...), "; ")+": "+s.Fix())
	}
	want := []string{
		gateway + ": " + mallory + ": ALTER SCHEMA " + gateway + " OWNER TO pg_database_owner",
		"open: ; PUBLIC: REVOKE CREATE ON SCHEMA open FROM PUBLIC",
		"lent: ; " + mallory + ": REVOKE CREATE ON SCHEMA lent FROM " + mallory,
		"leftover: ; function leftover.lower(character varying) of role " + mallory + "; operator leftover.=(character varying,character varying) of role " + mallory +
			": drop function leftover.lower(character varying) of role " + mallory + ", operator leftover.=(character varying,character varying) of role " + mallory +
			", or make a superuser their owner",
		"foreign_owned: " + mallory + ": ALTER SCHEMA foreign_owned OWNER TO pg_database_owner",
		"public: ; PUBLIC: REVOKE CREATE ON SCHEMA public FROM PUBLIC",
	}
	if !slices.Equal(got, want) {
		t.Errorf("untrusted are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// The owner of the database is trusted, and so is whom it owns by way of pg_database_owner.
	pgtest.Exec(t, url, "alter database "+name+" owner to "+mallory)
	t.Cleanup(func() { pgtest.Exec(t, url, "alter database "+name+" owner to postgres") })
	if path, err = wal.ReadPath(t.Context(), as); err != nil || slices.Contains(path.Trusted, "open") || !slices.Contains(path.Trusted, "lent") || !slices.Contains(path.Trusted, "leftover") {
		t.Errorf("with mallory as the owner: %+v, %v", path, err)
	}
	// By the URL.
	if path, err = wal.ReadPath(t.Context(), as+"&search_path=app,open"); err != nil || !slices.Equal(path.Trusted, []string{"app"}) || len(path.Untrusted) != 1 {
		t.Errorf("by the URL: %+v, %v", path, err)
	}
}

// A path that was trusted is looked at again by every new session.
func TestS1APathThatIsTrustedNoMore(t *testing.T) {
	t.Parallel()
	url := database(t, "create schema app", "create table app.member (id int)")
	pool, err := wal.OpenPool(t.Context(), url, wal.PoolOptions{Path: []string{"app"}})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "select from member"); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "grant create on schema app to public")
	pool.Reset()
	if _, err := pool.Exec(context.Background(), "select from member"); !errors.Is(err, wal.ErrUntrusted) {
		t.Errorf("error %v, want %v", err, wal.ErrUntrusted)
	}
}
