package auth

import (
	"fmt"
	"testing"
)

// BenchmarkFilterRow is one row against many clients. Every number is for one client.
func BenchmarkFilterRow(b *testing.B) {
	for _, c := range []struct{ name, source string }{
		{"independent", "!row.deleted && row.n > 5"},
		{"decided by the row", "!row.private || row.author_id == ctx.sub"},
		{"dependent on ctx", "row.private && row.author_id == ctx.sub"},
		{"dependent on a list", "'editor' in ctx.roles || row.author_id == ctx.sub"},
		{"dependent with a macro", "ctx.roles.exists(r, r == row.role)"},
	} {
		row := &fixedRow{Values{"private": c.name != "decided by the row", "deleted": false, "author_id": int64(7), "n": int64(9), "role": "editor"}}
		for _, clients := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%s/clients=%d", c.name, clients), func(b *testing.B) {
				f := newFilter(b, c.source)
				p := principal(b, map[string]any{"sub": 7, "roles": []any{"reader", "editor"}})
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
