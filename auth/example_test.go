package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/reactive-gw/reactive-gw/auth"
)

// A browser cannot set headers on a WebSocket, but it can name subprotocols: new WebSocket(url, ["bearer", token]).
func ExampleJWT() {
	secret := []byte("a secret of 32 bytes is the least")
	keys, err := auth.Secret(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	authenticator, err := auth.NewJWT(auth.JWTOptions{
		Tokens:     auth.TokenSources{Subprotocol: true},
		Keys:       keys,
		Algorithms: []string{"HS256"},
		Audience:   []string{"app"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "ada", "aud": "app", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	request := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/ws", nil)
	request.Header.Set("Sec-WebSocket-Protocol", "mtbreactive, bearer, "+token)
	principal, err := authenticator.Authenticate(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, expires := principal.Expires()
	fmt.Println(principal.Subject(), expires)

	request.Header.Set("Sec-WebSocket-Protocol", "mtbreactive")
	_, err = authenticator.Authenticate(request)
	fmt.Println(err)
	// Output:
	// ada true
	// denied: no_credentials
}

// The keys of an issuer are fetched from its URL, and fetched anew when they change.
func ExampleRemoteJWKS() {
	keys, err := auth.NewRemoteJWKS(auth.RemoteJWKSOptions{
		URL:     "https://id.example.com/.well-known/jwks.json",
		OnError: func(err error) { fmt.Println(err) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	authenticator, err := auth.NewJWT(auth.JWTOptions{
		Tokens: auth.TokenSources{Cookie: "session"}, Keys: keys, Algorithms: []string{"RS256"},
		Audience: []string{"app"}, Issuer: "https://id.example.com",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A server does this when it starts: if err := keys.Start(ctx); err != nil { ... }; defer keys.Stop()
	request := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/ws", nil)
	request.AddCookie(&http.Cookie{Name: "session", Value: "not.a.token"})
	_, err = authenticator.Authenticate(request)
	fmt.Println(err)
	// Output:
	// denied: malformed: the token is no JWT
}

func ExampleFilter() {
	filter, err := auth.NewFilter("!row.private || row.author_id == ctx.sub", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ada, _ := auth.NewPrincipal(map[string]any{"sub": 7}, time.Time{})
	eve, _ := auth.NewPrincipal(map[string]any{"sub": 8}, time.Time{})

	var verdict auth.Verdict // used for row after row
	for _, private := range []bool{false, true} {
		filter.Judge(&verdict, auth.Values{"private": private, "author_id": int64(7)})
		_, shared := verdict.Shared()
		fmt.Println("private:", private, "the same for all:", shared, "ada:", verdict.Allows(ada), "eve:", verdict.Allows(eve))
	}
	// Output:
	// private: false the same for all: true ada: true eve: true
	// private: true the same for all: false ada: true eve: false
}

func ExampleScopeResolver() {
	resolver, err := auth.NewScopeResolver("row.product_ids.map(p, {'col': 'product_id', 'value': p})", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	scopes, err := resolver.Resolve(auth.Values{"product_ids": []any{int64(1), int64(2)}})
	fmt.Println(scopes, err)
	// Output:
	// [{product_id 1} {product_id 2}] <nil>
}

func ExampleSQL() {
	authorizer, err := auth.NewSQL(auth.SQLOptions{
		Database:  memberOf{}, // what asks a real one is a few lines around a pool of connections
		Statement: "select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)",
		Column:    "conversation_id",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ada, _ := auth.NewPrincipal(map[string]any{"sub": "ada"}, time.Time{})
	err = authorizer.Authorize(context.Background(), ada, auth.Subscription{
		Channel: "message", Scope: auth.Scope{Column: "conversation_id", Value: int64(42)},
	})
	fmt.Println(err)
	// Output:
	// select exists (select 1 from member where conversation_id = $1 and user_id = $2) 42 ada
	// <nil>
}

// memberOf stands for a database that says yes. It is a Database and its Connection.
type memberOf struct{}

func (m memberOf) With(_ context.Context, f func(auth.Connection) error) error { return f(m) }

func (memberOf) Describe(context.Context, string) (auth.Description, error) {
	return auth.Description{Parameters: []uint32{20, 25}, Columns: []uint32{16}}, nil // bigint, text; boolean
}

func (memberOf) Ask(_ context.Context, sql string, arguments [][]*string) ([]auth.Answer, error) {
	fmt.Println(sql, *arguments[0][0], *arguments[0][1])
	yes := "t"
	return []auth.Answer{{Row: true, First: &yes}}, nil
}
