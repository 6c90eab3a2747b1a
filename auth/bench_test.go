package auth

import (
	"fmt"
	"testing"
)

// BenchmarkFilterRow is one row against many clients. Every number is for one client.
func BenchmarkFilterRow(b *testing.B) {
	types := &Types{
		Columns: map[string]Type{"deleted": {Kind: Bool}, "private": {Kind: Bool}, "n": {Kind: Integer}, "author_id": {Kind: Integer}, "role": {Kind: Text}},
		Claims:  map[string]Type{"sub": {Kind: Text}},
	}
	for _, c := range []struct {
		name, source string
		types        *Types
		sub          any
	}{
		{"independent", "!row.deleted && row.n > 5", nil, 7},
		{"decided by the row", "!row.private || row.author_id == ctx.sub", nil, 7},
		{"dependent on ctx", "row.private && row.author_id == ctx.sub", nil, 7},
		{"dependent on ctx, with types", "row.private && row.author_id == ctx.sub", types, 7},
		{"dependent on ctx, in digits", "row.private && row.author_id == ctx.sub", types, "7"},
		{"dependent on a list", "'editor' in ctx.roles || row.author_id == ctx.sub", nil, 7},
		{"dependent on a list, with types", "'editor' in ctx.roles || row.author_id == ctx.sub", types, 7},
		{"dependent with a macro", "ctx.roles.exists(r, r == row.role)", nil, 7},
	} {
		row := &fixedRow{Values{"private": c.name != "decided by the row", "deleted": false, "author_id": int64(7), "n": int64(9), "role": "editor"}}
		for _, clients := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%s/clients=%d", c.name, clients), func(b *testing.B) {
				f, err := NewFilter(c.source, c.types)
				if err != nil {
					b.Fatal(err)
				}
				p := principal(b, map[string]any{"sub": c.sub, "roles": []any{"reader", "editor"}})
				var v Verdict
				b.ReportAllocs()
				for n := 0; n < b.N; n += clients {
					f.Judge(&v, row)
					for range clients {
						if !v.Allows(p) {
							b.Fatal(v.Failure())
						}
					}
				}
			})
		}
	}
}

type fixedRow struct{ values Values }

func (r *fixedRow) Value(column string) (any, bool) { return r.values.Value(column) }

// BenchmarkVerify is the work for one connection's token, without the network.
func BenchmarkVerify(b *testing.B) {
	is := theIssuer()
	for algorithm, key := range map[string]any{"HS256": is.secret, "RS256": is.rsa, "ES256": is.p256, "EdDSA": is.ed25519} {
		b.Run(algorithm, func(b *testing.B) {
			keys := jwksOf(b, jwkOf(b, is.secret, nil), jwkOf(b, &is.rsa.PublicKey, nil), jwkOf(b, &is.p256.PublicKey, nil), jwkOf(b, is.ed25519.Public(), nil))
			j := newJWT(b, JWTOptions{Keys: mustKeys(b)(JWKS(keys)), Algorithms: []string{algorithm}})
			token := sign(b, algorithm, key, nil, claimsFor(nil))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := j.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
