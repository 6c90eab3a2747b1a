package auth

import (
	"context"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// CEL authorizes by an expression over ctx, the principal's claims; channel, a string; and scope, with the members col
// and value. It allows what comes to true; an error is a no.
type CEL struct{ expression *expression }

// NewCEL compiles an expression such as "scope.col == 'org_id' && scope.value == ctx.org.id".
// known says what the scope and the claims hold, as for NewFilter; nil is not known.
func NewCEL(source string, known *Types) (*CEL, error) {
	e, err := compile("authorize", source, known, []cel.Kind{types.BoolKind}, "ctx", "channel", "scope")
	if err != nil {
		return nil, err
	}
	return &CEL{e}, nil
}

// Authorize implements Authorizer. It asks nobody, so it takes no time to speak of.
func (c *CEL) Authorize(_ context.Context, p *Principal, s Subscription) error {
	if _, ok := s.Scope.Text(); !ok || p == nil {
		return deny(Forbidden)
	}
	vars := variables{
		ctx: p.ctx, channel: s.Channel,
		scope: celValue(map[string]any{"col": s.Scope.Column, "value": s.Scope.Value}),
	}
	value, failure := c.expression.evalBool(&vars)
	switch {
	case failure != nil:
		return failure
	case value != types.True:
		return deny(Forbidden)
	}
	return nil
}
