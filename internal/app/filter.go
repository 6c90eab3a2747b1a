package app

import (
	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// rowFilter lets the hub, which knows no policies, ask one.
type rowFilter struct {
	filter *auth.Filter
	types  *values.Catalog
}

// PerClient implements fanout.RowFilter.
func (f rowFilter) PerClient() bool { return f.filter.UsesCtx() }

// NewVerdict implements fanout.RowFilter.
func (f rowFilter) NewVerdict() fanout.Verdict {
	return &verdict{filter: f.filter, image: rowImage{types: f.types}}
}

// verdict implements fanout.Verdict.
type verdict struct {
	filter *auth.Filter
	auth.Verdict
	image rowImage
}

// Judge implements fanout.Verdict.
func (v *verdict) Judge(t *cdc.Table, row cdc.Row) {
	v.image.set(t, row)
	v.filter.Judge(&v.Verdict, &v.image)
}

// Allows implements fanout.Verdict.
func (v *verdict) Allows(viewer any) bool {
	principal, _ := viewer.(*auth.Principal) // nobody is let through as nil
	return v.Verdict.Allows(principal)
}
