package auth

import (
	"fmt"
	"strings"
	"testing"
)

func TestScopeQueries(t *testing.T) {
	for source, want := range map[string]struct{ text, columns, correlated, lookup string }{
		`select project_id from task_list where id = $row.list_id`: {
			`select project_id from task_list where id = $1`, `list_id`,
			`select project_id from task_list where id = mtbreactive_row."list_id"`, `.task_list project_id [id] list_id`,
		},
		`SELECT l."Project" FROM app.task_list AS l WHERE $row.List = l.id AND l.kind = 'it''s'`: {
			`SELECT l."Project" FROM app.task_list AS l WHERE $1 = l.id AND l.kind = 'it''s'`, `List`,
			`SELECT l."Project" FROM app.task_list AS l WHERE mtbreactive_row."List" = l.id AND l.kind = 'it''s'`, `app.task_list Project [id kind] List`,
		},
		`select a from "MtbReactive_Row" where b = $row.a and c = $row.a`: {
			`select a from "MtbReactive_Row" where b = $1 and c = $2`, `a a`,
			`select a from "MtbReactive_Row" where b = mtbreactive_row_."a" and c = mtbreactive_row_."a"`, `.MtbReactive_Row a [b c] a a`,
		},
		`select x.a from task_list l where l.id = $row.a`:             {`select x.a from task_list l where l.id = $1`, `a`, `select x.a from task_list l where l.id = mtbreactive_row."a"`, ``},
		`select a from b where id = any($row.ids) and '$row.x' <> ''`: {`select a from b where id = any($1) and '$row.x' <> ''`, `ids`, `select a from b where id = any(mtbreactive_row."ids") and '$row.x' <> ''`, ``},
		`select a from b join c using (d) where id = $row.a`:          {`select a from b join c using (d) where id = $1`, `a`, `select a from b join c using (d) where id = mtbreactive_row."a"`, ``},
		`select a + 1 from b where id = $row.a`:                       {`select a + 1 from b where id = $1`, `a`, `select a + 1 from b where id = mtbreactive_row."a"`, ``},
		`select distinct a from b where id = $row.a`:                  {`select distinct a from b where id = $1`, `a`, `select distinct a from b where id = mtbreactive_row."a"`, ``},
		`select a from b where id = $row.a limit 1`:                   {`select a from b where id = $1 limit 1`, `a`, `select a from b where id = mtbreactive_row."a" limit 1`, ``},
	} {
		q, err := NewScopeQuery(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		alias := "mtbreactive_row"
		if q.Mentions(alias) {
			alias += "_"
		}
		correlated := q.Correlated(alias)
		lookup := ""
		if l := q.Lookup(); l != nil {
			lookup = fmt.Sprint(l.Schema, ".", l.Table, " ", l.Value, " ", l.Columns())
			for i := range l.Columns() {
				if column, isColumn := l.Compared(i); isColumn {
					lookup += " " + column
				}
			}
		}
		if q.Text() != want.text || strings.Join(q.Columns(), " ") != want.columns || correlated != want.correlated || lookup != want.lookup {
			t.Errorf("%s\n%s\n%s\n%s\n%s", source, q.Text(), q.Columns(), correlated, lookup)
		}
	}
	for source, hint := range map[string]string{
		`select 1`:                           "does not look at the row: write $row.column",
		`select 1 where $scope = 1`:          "$scope stands for nothing: write $row.column",
		`select 1 where $row.a.b = 1`:        "$row.a.b stands for nothing",
		`select 1 where $row.a = 1;`:         "without it",
		`select 1 where $row = 1`:            "$row stands for nothing",
		`select 1 where '$row.a`:             "does not end",
		`select project_id where 1 = $ctx.a`: "$ctx.a stands for nothing",
	} {
		if _, err := NewScopeQuery(source); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", source, err)
		}
	}
}
