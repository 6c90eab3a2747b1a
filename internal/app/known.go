package app

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// firstOwnOID is the first that is nobody's of PostgreSQL itself (PostgreSQL source, access/transam.h).
const firstOwnOID = 16384

// known says what an entry's expressions look at: the table's columns, as rowImage shows them, and the claims. t is nil where
// there is no table.
func (r *resolver) known(entry config.Reactive, t *wal.TableInfo) *auth.Types {
	if entry.FilterRow == "" && !slices.ContainsFunc(entry.ResolveScopes, func(s config.ScopeSource) bool { return s.CEL != "" }) {
		return nil // there is no expression
	}
	known := &auth.Types{Columns: map[string]auth.Type{}, Claims: claimTypes(r.cfg)}
	if t == nil || t.Columns == nil { // its scopes are text, and everything else is JSON
		for _, name := range entry.Scopes {
			known.Columns[name] = auth.Type{Kind: auth.Text}
		}
		return known
	}
	for i := range t.Columns {
		known.Columns[t.Columns[i].Name] = r.columnType(&t.Columns[i])
	}
	return known
}

func (r *resolver) columnType(c *wal.ColumnInfo) auth.Type {
	is := auth.Type{Name: c.TypeName}
	switch {
	case c.Kind == 'e':
		labels, err := r.enumLabels(c.BaseOID)
		if err != nil {
			r.err = err
		}
		is.Kind, is.Labels = auth.Enum, labels
	case c.Kind == 'b' && c.BaseOID < firstOwnOID:
		is = builtinType(c.BaseOID)
		is.Name = c.TypeName
	case c.Kind == 'r' || c.Kind == 'm':
		is.Kind = auth.Text
	}
	return is
}

// enumLabels asks once for each enum.
func (r *resolver) enumLabels(oid uint32) ([]string, error) {
	if labels, asked := r.labels[oid]; asked {
		return labels, nil
	}
	labels, err := wal.EnumLabels(r.ctx, r.path.pool, oid)
	if err != nil {
		return nil, err
	}
	if r.labels == nil {
		r.labels = map[uint32][]string{}
	}
	r.labels[oid] = labels
	return labels, nil
}

// builtinType is what an expression sees of a type of PostgreSQL's own: see values.Native.
func builtinType(oid uint32) auth.Type {
	switch oid {
	case pgtype.BoolOID:
		return auth.Type{Kind: auth.Bool}
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return auth.Type{Kind: auth.Integer}
	case pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return auth.Type{Kind: auth.Float}
	case pgtype.UUIDOID:
		return auth.Type{Kind: auth.UUID}
	case pgtype.JSONOID, pgtype.JSONBOID:
		return auth.Type{}
	}
	t, known := pgtype.NewMap().TypeForOID(oid)
	if !known {
		return auth.Type{} // such as int2vector, which is shown as a list
	}
	if array, ok := t.Codec.(*pgtype.ArrayCodec); ok {
		element := builtinType(array.ElementType.OID)
		return auth.Type{Kind: auth.List, Element: &element}
	}
	if _, composite := t.Codec.(*pgtype.CompositeCodec); composite {
		return auth.Type{}
	}
	return auth.Type{Kind: auth.Text}
}

// claimTypes says what claims hold: those that the configuration declares, and those that are known by how clients are.
func claimTypes(cfg *config.Config) map[string]auth.Type {
	text, number := auth.Type{Kind: auth.Text}, auth.Type{Kind: auth.Float, Name: "number"}
	claims := map[string]auth.Type{}
	a := cfg.Authenticate
	switch {
	case a == nil:
		return claims
	case a.JWT != nil: // RFC 7519, section 4.1
		claims = map[string]auth.Type{"sub": text, "iss": text, "jti": text, "exp": number, "nbf": number, "iat": number}
	case a.Webhook != nil:
		claims["exp"] = number
	case a.Headers != nil:
		for name := range a.Headers.Claims {
			claims[name] = text
		}
	}
	for name, declared := range a.Claims {
		is := auth.Type{Kind: map[config.ClaimKind]auth.Kind{
			config.ClaimString: auth.Text, config.ClaimInt: auth.Integer, config.ClaimNumber: auth.Float, config.ClaimBool: auth.Bool,
		}[declared.Kind], Name: string(declared.Kind)}
		if declared.List {
			element := is
			is = auth.Type{Kind: auth.List, Element: &element}
		}
		claims[name] = is
	}
	return claims
}

// scopeType is what scope.value is of a channel, where all its scopes are of one kind.
func (s *served) scopeType(channel string) auth.Type {
	var common auth.Type
	for _, ch := range s.allChannels() {
		if ch.Name != channel {
			continue
		}
		for i, scope := range ch.Scopes {
			is := auth.Type{Kind: auth.Text}
			switch scope.Type {
			case fanout.Int2, fanout.Int4, fanout.Int8:
				is = auth.Type{Kind: auth.Integer}
			case fanout.Bool:
				is = auth.Type{Kind: auth.Bool}
			case fanout.UUID:
				is = auth.Type{Kind: auth.UUID}
			}
			if i > 0 && is.Kind != common.Kind {
				return auth.Type{}
			}
			common = is
		}
	}
	return common
}

// mismatchFix is what to write instead of a comparison that can never be true, and otherwise the usual.
func mismatchFix(err error, usual string) string {
	if m, ok := errors.AsType[*auth.Mismatch](err); ok {
		return m.Fix
	}
	return usual
}
