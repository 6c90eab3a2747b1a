package wal

import (
	"encoding/json"
	"slices"
	"strings"
)

// A start without a configuration makes its publication of every table that has a key, and later starts serve what is in the
// publication. Some tables enter it late, and a restart in between must not forget them, nor add what an operator has dropped.
// So the publication's comment lists the tables that are yet to be added.
const waitingComment = "reactive-gw is yet to add: "

// parseWaiting reads such a comment. Any other has none.
func parseWaiting(comment string) []TableName {
	list, ours := strings.CutPrefix(comment, waitingComment)
	var names [][2]string
	if !ours || json.Unmarshal([]byte(list), &names) != nil {
		return nil
	}
	var tables []TableName
	for _, n := range names {
		tables = append(tables, TableName{n[0], n[1]})
	}
	return tables
}

// waitingSQL makes the comment, or takes it away where no table waits.
func waitingSQL(publication string, tables []TableName) string {
	comment := "NULL"
	if len(tables) > 0 {
		var names [][2]string
		for _, t := range tables {
			names = append(names, [2]string{t.Schema, t.Name})
		}
		list, _ := json.Marshal(names) // of strings: it cannot fail
		comment = literal(waitingComment + string(list))
	}
	return "COMMENT ON PUBLICATION " + quote(publication) + " IS " + comment + ";"
}

// waiting are the wanted tables that nobody has named and that are not in the publication.
func (f *Facts) waiting(want Wanted) []TableName {
	var tables []TableName
	j := &judge{facts: f, want: want}
	for _, t := range want.Tables {
		if t.Optional && !j.publishes(t) {
			tables = append(tables, t.TableName)
		}
	}
	slices.SortFunc(tables, func(a, b TableName) int { return strings.Compare(a.String(), b.String()) })
	return tables
}
