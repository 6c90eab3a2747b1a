package wal_test

import (
	"slices"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestATransactionSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url,
		"begin; select mtbreactive.set_origin('overruled'); insert into orders values (1, 'bread'); select mtbreactive.set_origin('Grüße'); commit",
		"insert into orders values (2, 'wine')",
		"begin; select mtbreactive.set_origin('rolled back'); rollback",
		"begin; select mtbreactive.set_origin('with no row'); commit",
		"insert into orders values (3, 'beer')")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine", "insert orders 3,beer")
	if want := []string{"Grüße", "", ""}; !slices.Equal(g.origins, want) {
		t.Errorf("origins %q, want %q", g.origins, want)
	}
}
