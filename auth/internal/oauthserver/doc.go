// Package oauthserver lets programs of users, such as command line tools and coding
// agents, act as the user who agrees to it (contract/auth.md section 10). It is an OAuth 2
// authorization server for public clients on the user's machine, with the rules of RFC
// 9700, 8252 and 7636.
//
// A client is known by the URL of a document that describes it (CIMD), or registers itself
// (DCR). It sends the browser to GET /v1/authorize, the user agrees on the consent page, and
// the client exchanges the code for a token of the user at POST /v1/token.
//
// Where the browser may be sent to is decided by Patterns, component by component. What is
// fetched for a client is fetched from the address that was checked.
package oauthserver
