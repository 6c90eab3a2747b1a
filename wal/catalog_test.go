package wal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/wal"
)

func table(t *testing.T, facts *wal.Facts, name string) *wal.TableInfo {
	t.Helper()
	i := slices.IndexFunc(facts.Tables, func(table *wal.TableInfo) bool { return table.String() == name })
	if i < 0 {
		t.Fatalf("no table %s", name)
	}
	return facts.Tables[i]
}

func TestCatalogDescribesTables(t *testing.T) {
	t.Parallel()
	url := database(t,
		"create schema kitchen", "create type mood as enum ('glad')", "create domain label as text check (value <> '')",
		"create domain dish as label", "create type size as (width int)",
		"create table kitchen.cook (id uuid primary key, old int)", "alter table kitchen.cook drop column old",
		`create table meal (b int, a int, mood mood, dish dish, size size, price numeric(8, 2), served tstzrange, cook uuid references kitchen.cook,
		 tag text collate "C", double int generated always as (b * 2) stored, primary key (a, b))`,
		"create unique index meal_tag on meal (tag, b) include (price)", "alter table meal alter tag set not null",
		"alter table meal replica identity using index meal_tag",
		"create temp table passing (id int)", "create unlogged table scratch (id int)", "create view menu as select 1")
	facts, _ := wanted(t, newServer(t, url))
	var names []string
	for _, table := range facts.Tables {
		names = append(names, table.String())
	}
	if want := []string{"kitchen.cook", "public.meal"}; !slices.Equal(names, want) {
		t.Errorf("tables %v, want %v", names, want)
	}
	meal := table(t, facts, "public.meal")
	var columns []string
	for _, c := range meal.Columns {
		marks := ""
		if c.BaseOID != c.TypeOID {
			marks += " domain"
		}
		if c.Generated == wal.StoredGenerated {
			marks += " stored"
		}
		columns = append(columns, fmt.Sprintf("%s %s %c%s", c.Name, c.TypeName, c.Kind, marks))
	}
	want := []string{"b integer b", "a integer b", "mood public.mood e", "dish public.dish b domain", "size public.size c", "price numeric(8,2) b", "served tstzrange r",
		"cook uuid b", "tag text b", "double integer b stored"}
	if !slices.Equal(columns, want) {
		t.Errorf("columns\n%s\nwant\n%s", strings.Join(columns, "\n"), strings.Join(want, "\n"))
	}
	if got := meal.Column("dish").BaseOID; got != 25 {
		t.Errorf("dish is made of type %d, want text, through both domains", got)
	}
	if want := []string{"a", "b"}; !slices.Equal(meal.PrimaryKey, want) {
		t.Errorf("key %v, want %v: in the key's own order", meal.PrimaryKey, want)
	}
	if want := []string{"cook"}; !slices.Equal(meal.ForeignKeys, want) {
		t.Errorf("foreign keys %v, want %v", meal.ForeignKeys, want)
	}
	leaf := meal.Leaves[0]
	slices.Sort(leaf.Columns)
	if want := []string{"b", "tag"}; len(meal.Leaves) != 1 || leaf.Identity != 'i' || !slices.Equal(leaf.Columns, want) {
		t.Errorf("identity %c of %v, want i of %v: included columns are not part of it", leaf.Identity, leaf.Columns, want)
	}
	if !leaf.Covers([]string{"tag"}) || leaf.Covers([]string{"tag", "price"}) {
		t.Error("the identity covers tag, and not price")
	}
}

func TestCatalogTellsNondeterministicCollations(t *testing.T) {
	t.Parallel()
	url := database(t, "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
		"create table member (id int primary key, nick text collate loose, name text)")
	facts, _ := wanted(t, newServer(t, url))
	member := table(t, facts, "public.member")
	if member.Column("nick").Deterministic || !member.Column("name").Deterministic || !member.Column("id").Deterministic {
		t.Errorf("columns %+v: want nick alone to be without a deterministic collation", member.Columns)
	}
	if member.Column("Nick") != nil {
		t.Error("column Nick: names are spelled as in the catalog")
	}
}

func TestCatalogFindsPartitionsOfSeveralLevels(t *testing.T) {
	t.Parallel()
	url := database(t,
		"create table payment (id int, region text, primary key (id, region)) partition by list (region)",
		"create table payment_eu partition of payment for values in ('de', 'fr') partition by list (region)",
		"create table payment_de partition of payment_eu for values in ('de')",
		"create table payment_us partition of payment for values in ('us')",
		"create table payment_none (id int, region text, primary key (id, region)) partition by list (region)",
		"alter table payment_us replica identity full")
	facts, _ := wanted(t, newServer(t, url))
	if len(facts.Tables) != 2 || len(facts.Candidates()) != 2 {
		t.Fatalf("%d tables, %d candidates, want the two roots", len(facts.Tables), len(facts.Candidates()))
	}
	var leaves []string
	for _, l := range table(t, facts, "public.payment").Leaves {
		leaves = append(leaves, fmt.Sprintf("%s %c", l.TableName, l.Identity))
	}
	if want := []string{"public.payment d", "public.payment_de d", "public.payment_us f"}; !slices.Equal(leaves, want) {
		t.Errorf("leaves %v, want %v", leaves, want)
	}
	if got := table(t, facts, "public.payment_none"); !got.Partitioned || len(got.Leaves) != 1 {
		t.Errorf("a table without partitions has leaves %v, want itself alone", got.Leaves)
	}
}
