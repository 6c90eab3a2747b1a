package auth

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Asked together, questions have the answers that each has alone, whatever the types of the columns and the values are.
func TestTogetherIsAsAlone(t *testing.T) {
	db := database(t,
		`create type plan as enum ('free', 'paid', '7', 'true')`, `create domain small as int check (value < 1000)`, `create domain words as text check (value <> 'no')`,
		`create table t (i2 smallint, i4 int, i8 bigint, u uuid, b bool, tx text, vc varchar(5), c4 char(4), n numeric, f float8, e plan, d small, w words, a text[], j jsonb, o oid, nm name, ts timestamptz)`,
		`create function strict_no(x text) returns bool language plpgsql as $$ begin if x = '13' then raise exception 'thirteen'; end if; return x = '7'; end $$`,
	)
	pool := []string{
		"7", "07", "-7", "+7", " 7", "7 ", "7.0", "7e0", "0x7", "7_0", "\u0667", "32767", "32768", "2147483648", "9223372036854775807", "9223372036854775808", "13", "0", "",
		"true", "t", "TRUE", "false", "free", "paid", "no", "NULL", "null", adaUUID, "{" + adaUUID + "}", "0B5E9D4C-8F1A-4C57-9A51-6F0D3B2A1C00", "a,b", `a"b`, `a\b`, "{a}", "é", "e\u0301",
		"abc", "abc  ", "toolongforit", "'; drop table t --", "{7,free}", `{"7"}`, "2024-01-01", "infinity", "NaN", "\u2028", "\t",
	}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() string { return pool[r.IntN(len(pool))] }
	for _, column := range []string{"i2", "i4", "i8", "u", "b", "tx", "vc", "c4", "n", "f", "e", "d", "w", "o", "nm", "ts"} {
		for range 12 {
			_, _ = db.pool.Exec(t.Context(), fmt.Sprintf("insert into t (%s, tx) values ($1::text::%s, $2)", column,
				map[string]string{"i2": "smallint", "i4": "int", "i8": "bigint", "u": "uuid", "b": "bool", "tx": "text", "vc": "varchar(5)", "c4": "char(4)", "n": "numeric",
					"f": "float8", "e": "plan", "d": "small", "w": "words", "o": "oid", "nm": "name", "ts": "timestamptz"}[column]), pick(), pick())
		}
	}
	statements := []string{
		"select 1 from t where i4 = $scope or tx = $ctx.sub", "select exists (select from t where d = $scope and b = $ctx.sub)", "select tx = $ctx.sub from t where i8 = $scope order by 1 desc nulls last, ctid",
		"select 1 from t where tx = any($ctx.sub)", "select $ctx.sub::bool", "select strict_no($scope) or $ctx.sub = 'x'", "select strict_no(tx) from t where tx = $ctx.sub or i2 = $scope",
		"with m as materialized (select * from t where w = $ctx.sub) select exists (select 1 from m, t where t.i4 = $scope or true)", "select 1 from t where tx = $ctx.sub union all select 1 from t where i8 = $scope limit 1; -- end",
		"select 1 from t where i8 = $scope offset 1", "select count(*) > 1 from t where vc = $ctx.sub or i4 = $scope", "select bool_and(b) from t where tx = $ctx.sub and $scope::text is not null",
		"select 1 where $ctx.sub = '7' /* $x */ and $scope = '7'", "select 1 from t where i4 = $scope limit $ctx.sub", "select case when $scope::int > 0 then 10 / ($scope::int - 7) > 0 end and $ctx.sub <> ''",
		"(select b from t where tx = $ctx.sub limit 1) union (select b from t where i4 = $scope)", "values ($scope = $ctx.sub)", "select 1 from t where (i4, tx) = ($scope, $ctx.sub)", "select 1 from t where i4 between $scope and $ctx.sub",
		"select 1 from t where j @> $ctx.sub or i4 = $scope", "select distinct on (tx) true from t where tx in ($ctx.sub, $scope) order by tx", "select 1 from t where i4 = $scope for update", "select t.* from t where i8 = $scope and tx like $ctx.sub || '%'",
		"select 1 from t as mtbreactive_q where mtbreactive_q.i4 = $scope and mtbreactive_q.tx = $ctx.sub", "select b from t where i4 = $scope group by b having count(*) > 0 and max(tx) >= $ctx.sub",
		"select 1 from generate_series(1, $scope::int % 5) g, t where g = t.i4 or t.tx = $ctx.sub", "table t", "select pg_catalog.set_config('x.y', $ctx.sub, true) = $scope",
	}
	for _, column := range []string{"i2", "i4", "i8", "u", "b", "tx", "vc", "c4", "n", "f", "e", "d", "w", "o", "nm", "ts"} {
		statements = append(statements, "select 1 from t where "+column+" = $scope", "select exists (select from t where "+column+" = $ctx.sub and "+column+" is not null)")
	}
	together, yes, failed := 0, 0, 0
	for _, text := range statements {
		s, err := parseStatement(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		q := &query{statement: s}
		lists := make([][]*string, 90)
		for i := range lists {
			lists[i] = make([]*string, len(s.parameters))
			for p := range lists[i] {
				value := pick()
				if r.IntN(4) == 0 {
					value = "7"
				}
				lists[i][p] = &value
			}
		}
		var batch []verdict
		alone := make([]verdict, len(lists))
		errs := make([]error, len(lists))
		err = db.With(t.Context(), func(c Connection) error {
			for i := range lists {
				v, err := q.run(t.Context(), c, lists[i:i+1])
				if errs[i] = err; err == nil {
					alone[i] = v[0]
				}
			}
			var err error
			batch, err = q.run(t.Context(), c, lists)
			return err
		})
		if err != nil {
			if errs[0] == nil {
				t.Errorf("%s: together %v, alone %v", text, err, alone[0])
			}
			continue
		}
		if q.shape.together != "" {
			together++
		}
		for i := range lists {
			if alone[i].allowed {
				yes++
			}
			if alone[i].err != nil {
				failed++
			}
			if batch[i].allowed != alone[i].allowed || fmt.Sprint(batch[i].err) != fmt.Sprint(alone[i].err) {
				var values []string
				for _, v := range lists[i] {
					values = append(values, *v)
				}
				t.Errorf("%s with %q: together %v, alone %v", text, values, batch[i], alone[i])
			}
		}
	}
	if together < 15 || yes < 100 || failed < 100 {
		t.Errorf("%d statements were asked together; %d answers are yes, and %d are none", together, yes, failed)
	}
}
