// Package tokens proves who calls: it checks the tokens of requests, guards the routes
// of plugins, and issues tokens for users and for calls between plugins.
//
//   - A Checker verifies tokens of every kind, once per process: plugin tokens, user
//     tokens, limited user tokens, and those of outside programs (backend.auth.externalAccess).
//     What was verified is remembered for a minute, so that a request costs a hash and a
//     map lookup.
//   - A Barrier guards one plugin. It denies by default; routes and path policies widen it.
//   - A KeyStore holds the signing keys of one issuer, a Keys finds public keys of
//     another one. They are the seams to the database and to other processes.
//   - PluginIssuer and UserIssuer sign.
//
// The rules are those of contract/auth.md sections 7 and 9, with its hardening: audience
// and issuer of user tokens are checked, the cookie counts for reading only, static
// tokens are compared by digest in constant time, and reloads of key sets are budgeted.
package tokens

import "time"

// Token types, as they stand in the header of a token.
const (
	typPlugin  = "vnd.backstage.plugin"
	typUser    = "vnd.backstage.user"
	typLimited = "vnd.backstage.limited-user"
)

const (
	// userAudience is the aud of user tokens.
	userAudience = "backstage"
	// skew is how far the clocks of issuer and verifier may differ.
	skew = 10 * time.Second
	// maxToken bounds what is looked at as a token.
	maxToken = 32768
	// pluginTokenLife is how long plugin tokens are valid, and their keys sign.
	pluginTokenLife = time.Hour
	// keysKept is how many lifetimes a public key is listed after it was made.
	keysKept = 3
)
