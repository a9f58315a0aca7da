// Package flow is what a sign-in with a browser is made of, apart from identity providers
// and users: the state that travels, the origins that may ask, the cookies, the scopes, and
// the page of the popup (contract/auth.md sections 2 and 3).
package flow
