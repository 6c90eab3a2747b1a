package config

import "testing"

func TestAuthenticateThatIsRefused(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"nothing", "authenticate: {}\n", "reactive.yaml:1:15: authenticate says nothing: write one of headers, jwt, webhook"},
		{"two ways", "authenticate:\n  webhook: {url: https://a.example/x, headers: [Cookie]}\n  jwt: {secretEnv: KEY, algorithms: [HS256]}\n",
			"reactive.yaml:2:3: authenticate has jwt and webhook: keep one of them"},
		{"no keys", "authenticate:\n  jwt: {algorithms: [RS256]}\n",
			"reactive.yaml:2:8: jwt says nothing: write one of jwksFile, jwksUrl, publicKeyFile, secretEnv"},
		{"no algorithms", "authenticate:\n  jwt: {secretEnv: KEY}\n",
			"reactive.yaml:2:8: algorithms is missing: list those that your issuer signs with, for example algorithms: [RS256]"},
		{"token place", "authenticate:\n  jwt: {secretEnv: KEY, algorithms: [HS256], token: {cookie: true}}\n",
			`reactive.yaml:2:62: cookie "true" is true or false to YAML: write "true", with the quotes`},
		{"no token place", "authenticate:\n  jwt: {secretEnv: KEY, algorithms: [HS256], token: {authorization: false}}\n",
			"reactive.yaml:2:53: no place for a token is switched on: write token: {authorization: true}, or delete the key"},
		{"webhook without headers", "authenticate:\n  webhook: {url: https://a.example/x}\n",
			"reactive.yaml:2:12: headers is missing: list the headers that are forwarded, for example headers: [Authorization, Cookie]"},
		{"no user header", "authenticate:\n  headers: {proxies: [10.0.0.0/8], claims: {org: X-Org}}\n",
			"reactive.yaml:2:12: claims is missing: say which header tells the user, for example claims: {sub: X-User-Id}"},
		{"proxy", "authenticate:\n  headers: {proxies: [proxy], claims: {sub: X-User}}\n",
			`reactive.yaml:2:23: proxies "proxy" is no address: write an address or a range, for example 10.0.0.0/8`},
		{"claim of no type", "authenticate:\n  headers: {proxies: [10.0.0.0/8], claims: {sub: X-User}}\n  claims: {org: integer}\n",
			`reactive.yaml:3:17: org "integer" is not one of string, int, number, bool, any: write int`},
		{"claim of two types", "authenticate:\n  headers: {proxies: [10.0.0.0/8], claims: {sub: X-User}}\n  claims: {org: [int, string]}\n",
			`reactive.yaml:3:17: the list does not name one type: write one, such as [string]`},
		{"claim inside another", "authenticate:\n  headers: {proxies: [10.0.0.0/8], claims: {sub: X-User}}\n  claims: {org.id: int}\n",
			`reactive.yaml:3:12: a key is no claim's name: write the name of a claim at the top of the token, such as sub`},
		{"claims alone", "authenticate:\n  claims: {org: int}\n", "reactive.yaml:2:3: authenticate says nothing: write one of headers, jwt, webhook"},
		{"a pool of none", "databasePool: 0\n", `reactive.yaml:1:15: databasePool "0" is not a whole number from 1 to 1000: write digits only, for example 8`},
		{"a huge pool", "databasePool: 1001\n", `reactive.yaml:1:15: databasePool "1001" is not a whole number from 1 to 1000: write digits only, for example 8`},
		{"member without user", "reactive:\n  - table: message\n    authorize: {member: {table: member, scope: conversation_id}}\n",
			"reactive.yaml:3:25: user is missing: name its column with the user"},
		{"plain HTTP to nowhere", "authenticate:\n  jwt: {secretEnv: KEY, algorithms: [HS256], allowPlainHttp: true}\n",
			"reactive.yaml:2:62: allowPlainHttp is for jwksUrl, and there is none: delete the key"},
		{"plain HTTP to nowhere, to authorize", "reactive:\n  - table: message\n    authorize: {sql: select true, allowPlainHttp: true}\n",
			"reactive.yaml:3:51: allowPlainHttp is for webhook, and there is none: delete the key"},
		{"two authorizers", "reactive:\n  - table: message\n    authorize: {sql: select true, cel: 'true'}\n",
			"reactive.yaml:3:16: authorize has cel and sql: keep one of them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("DATABASE_URL", "postgres://db.internal/app")
			_, err := load(t, c.file)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAuthenticateReplacesAllowAnonymous(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	c, err := load(t, "listen: 0.0.0.0:8080\nauthenticate:\n  headers: {proxies: [10.1.2.3], claims: {sub: X-User, org: X-Org}}\n")
	if err != nil {
		t.Fatal(err)
	}
	h := c.Authenticate.Headers
	if h.Proxies[0].String() != "10.1.2.3/32" || h.Claims["org"] != "X-Org" {
		t.Errorf("got %+v", h)
	}
}
