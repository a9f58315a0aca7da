// Package authtest helps with tests of what extends the auth plugin.
//
//   - [OIDC] is an OpenID provider on a local port that signs people in without a form. It
//     misbehaves on demand, in all the ways of [Misbehaviours].
//   - [Browser] signs in the way the frontend does it in a popup, and refreshes and signs out.
//   - [Users] is a catalog of users in memory, for resolvers.
//   - [RunProvider] and [RunResolver] are the rules of auth.Provider and
//     auth.SignInResolver as test suites.
package authtest
