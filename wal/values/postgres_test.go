package values_test

import (
	"context"
	"flag"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

func TestMain(m *testing.M) {
	// The same rows in every run; -rapid.seed and -rapid.checks look further.
	if err := flag.Set("rapid.seed", "1"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

// connect returns a connection to a fresh database in which the statements of schema were executed, with the settings
// that the package asks for.
func connect(t testing.TB, schema ...string) *pgx.Conn {
	t.Helper()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, schema...)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(config.RuntimeParams, values.Settings())
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// typeOIDs resolves the names of types.
func typeOIDs(t testing.TB, conn *pgx.Conn, names ...string) []uint32 {
	t.Helper()
	rows, err := conn.Query(t.Context(),
		"select name::regtype::oid from unnest($1::text[]) with ordinality as wanted(name, place) order by place", names)
	if err != nil {
		t.Fatal(err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		t.Fatal(err)
	}
	return oids
}
