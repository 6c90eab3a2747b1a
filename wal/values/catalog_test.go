package values_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/wal/values"
)

// counter counts the queries of Load.
type counter struct {
	values.Querier
	queries int
}

func (c *counter) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.queries++
	return c.Querier.Query(ctx, sql, args...)
}

func TestLoadReadsATypeAndItsPartsWithOneQuery(t *testing.T) {
	db := &counter{Querier: connect(t, orderSchema()...)}
	conn := db.Querier.(*pgx.Conn)
	oids := typeOIDs(t, conn, "sealed_parcel", "parcel", `"order ""line"""`, `"order ""line"""[]`, "price", "amount",
		"moment", "order_status", "labels", "item_range", "item_multirange")
	sealed, parcel, line, lines, price := oids[0], oids[1], oids[2], oids[3], oids[4]

	catalog := values.NewCatalog(values.Options{})
	for range 2 {
		if err := catalog.Load(t.Context(), db, []uint32{sealed, oids[9], oids[10]}); err != nil {
			t.Fatal(err)
		}
	}
	if db.queries != 1 {
		t.Errorf("%d queries", db.queries)
	}
	kinds := []values.Kind{values.Domain, values.Composite, values.Composite, values.Array, values.Domain, values.Domain,
		values.Domain, values.Enum, values.Domain, values.Range, values.Multirange}
	for i, oid := range oids {
		if !catalog.Known(oid) || catalog.Kind(oid) != kinds[i] {
			t.Errorf("type %d: known %v, kind %v, want %v", i, catalog.Known(oid), catalog.Kind(oid), kinds[i])
		}
	}
	for oid, base := range map[uint32]uint32{price: pgtype.NumericOID, sealed: parcel, lines: lines, pgtype.TextOID: pgtype.TextOID} {
		if got := catalog.Base(oid); got != base {
			t.Errorf("base of %d is %d, want %d", oid, got, base)
		}
	}
	got, _ := catalog.Type(line)
	want := values.Type{OID: line, Name: `order "line"`, Kind: values.Composite, Attrs: []values.Attr{
		{Name: `the "item"`, TypeOID: pgtype.TextOID}, {Name: "quantity", TypeOID: pgtype.Int4OID}, {Name: "unit", TypeOID: price},
		{Name: "placed", TypeOID: oids[6]}, {Name: "status", TypeOID: oids[7]}, {Name: `back\slash`, TypeOID: oids[8]},
		{Name: "details", TypeOID: pgtype.JSONBOID}, {Name: "note", TypeOID: pgtype.VarcharOID}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// The table of built-in types says what the database says.
func TestBuiltinTypesAreThoseOfTheDatabase(t *testing.T) {
	conn := connect(t)
	rows, err := conn.Query(t.Context(), `
		select oid from pg_type where oid < 10000 and typtype in ('b', 'r', 'm')
		and typelem not in (select oid from pg_type where typtype in ('c', 'p'))`)
	if err != nil {
		t.Fatal(err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		t.Fatal(err)
	}
	loaded := values.NewCatalog(values.Options{})
	loaded.Forget(oids...)
	if err := loaded.Load(t.Context(), conn, oids); err != nil {
		t.Fatal(err)
	}
	builtin := values.NewCatalog(values.Options{})
	for _, oid := range oids {
		got, _ := builtin.Type(oid)
		want, ok := loaded.Type(oid)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("built in %+v, in the database %+v", got, want)
		}
	}
	db := &counter{Querier: conn}
	if err := builtin.Load(t.Context(), db, oids); err != nil || db.queries != 0 {
		t.Errorf("built-in types took %d queries (%v)", db.queries, err)
	}
}

func TestLoadOverTheSimpleProtocol(t *testing.T) {
	conn := connect(t, orderSchema()...)
	oids := typeOIDs(t, conn, "parcel")
	extended, simple := values.NewCatalog(values.Options{}), values.NewCatalog(values.Options{})
	if err := extended.Load(t.Context(), conn, oids); err != nil {
		t.Fatal(err)
	}
	if err := simple.Load(t.Context(), simpleProtocol{conn}, oids); err != nil {
		t.Fatal(err)
	}
	want, _ := extended.Type(oids[0])
	if got, _ := simple.Type(oids[0]); len(got.Attrs) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// simpleProtocol asks as one must through some poolers.
type simpleProtocol struct{ conn *pgx.Conn }

func (s simpleProtocol) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.conn.Query(ctx, sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
}

func TestForgetAfterAlterType(t *testing.T) {
	conn := connect(t, "create type item as (name text, price numeric)", "create table orders (items item[])")
	oids := typeOIDs(t, conn, "orders", "item")
	orders, item := oids[0], oids[1]
	catalog := values.NewCatalog(values.Options{})
	if err := catalog.Load(t.Context(), conn, []uint32{orders}); err != nil {
		t.Fatal(err)
	}
	before := catalog.Encoder(orders)
	if _, err := conn.Exec(t.Context(), "alter type item drop attribute name, add attribute sold bool"); err != nil {
		t.Fatal(err)
	}
	catalog.Forget(item)
	if catalog.Known(item) {
		t.Error("the forgotten type is known")
	}
	if err := catalog.Load(t.Context(), conn, []uint32{orders}); err != nil {
		t.Fatal(err)
	}
	after := catalog.Encoder(orders)
	if got := string(before(nil, []byte(`("{""(bread,1)""}")`))); got != `{"items":[{"name":"bread","price":1}]}` {
		t.Errorf("before: %s", got)
	}
	if got := string(after(nil, []byte(`("{""(1,t)""}")`))); got != `{"items":[{"price":1,"sold":true}]}` {
		t.Errorf("after: %s", got)
	}
}

func TestDroppedTypeIsAString(t *testing.T) {
	conn := connect(t, "create type colour as enum ('red')")
	oids := typeOIDs(t, conn, "colour[]")
	if _, err := conn.Exec(t.Context(), "drop type colour"); err != nil {
		t.Fatal(err)
	}
	catalog := values.NewCatalog(values.Options{})
	if err := catalog.Load(t.Context(), conn, oids); err != nil {
		t.Fatal(err)
	}
	if catalog.Known(oids[0]) || catalog.Kind(oids[0]) != values.Base || catalog.Base(oids[0]) != oids[0] {
		t.Error("the dropped type is known")
	}
	if got := string(catalog.Encoder(oids[0])(nil, []byte("{red}"))); got != `"{red}"` {
		t.Errorf("got %s", got)
	}
}

func TestLoadTellsWhyItFailed(t *testing.T) {
	conn := connect(t, orderSchema()...)
	oids := typeOIDs(t, conn, "parcel")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := values.NewCatalog(values.Options{}).Load(ctx, conn, oids); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// For the race detector: snapshots and the stream load, forget and ask at the same time.
func TestCatalogIsSafeForConcurrentUse(t *testing.T) {
	conn := connect(t, orderSchema()...)
	oids := typeOIDs(t, conn, "sealed_parcel")
	catalog := values.NewCatalog(values.Options{})
	var group sync.WaitGroup
	for range 4 {
		conn, err := pgx.ConnectConfig(t.Context(), conn.Config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		group.Go(func() {
			for range 20 {
				if err := catalog.Load(t.Context(), conn, oids); err != nil {
					t.Error(err)
				}
				catalog.Encoder(oids[0])(nil, []byte("()"))
				catalog.Base(oids[0])
				catalog.Forget(oids...)
			}
		})
	}
	group.Wait()
}

func TestKindString(t *testing.T) {
	for kind, want := range map[values.Kind]string{values.Base: "base", values.Enum: "enum", values.Domain: "domain",
		values.Composite: "composite", values.Array: "array", values.Range: "range", values.Multirange: "multirange", 200: "unknown"} {
		if got := kind.String(); got != want {
			t.Errorf("%d: %s", kind, got)
		}
	}
}
