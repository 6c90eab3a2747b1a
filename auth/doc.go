// Package auth decides who a client is and what it may see.
//
//   - An Authenticator turns the request of a client into a Principal: by a JWT, by a webhook, by the headers of a proxy
//     that is trusted, or not at all.
//   - An Authorizer decides whether a principal may subscribe: by an expression, by a query, by a table of members, by a
//     webhook.
//   - A Filter decides row by row what a principal sees of that.
//   - A ScopeResolver says to which scopes a row belongs where its own columns do not.
//
// Expressions are written in CEL, the Common Expression Language (cel.dev). Everything here fails closed: what cannot be
// decided lets nobody in. That is told apart from a no: see Undecided. Nothing here puts a token, a claim or a row into an
// error.
//
// The package must not know connections, queues, the wire protocol or a database driver. It imports none of our packages.
package auth
