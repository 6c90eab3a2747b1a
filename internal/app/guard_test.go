package app

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
)

// Of a change of which only the table is known, anybody may have lost a right.
func TestP86AChangeThatCannotBeReadConcernsEverybody(t *testing.T) {
	g := &guard{tables: map[fanout.TableName]*guardTable{{Schema: "public", Name: "member"}: {membership: &auth.Membership{}}}}
	for _, op := range []cdc.Op{cdc.Truncate, cdc.Unreadable} {
		concerns := g.Concerns(&cdc.Change{Op: op, Table: &cdc.Table{Schema: "public", Name: "member"}})
		if len(concerns) != 1 || concerns[0].Column != "" || concerns[0].Client != nil {
			t.Errorf("%s: %+v", op, concerns)
		}
	}
}
