package authtest

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Elsewhere is a transport for providers whose addresses are fixed: it sends requests for
// addresses that begin with a key to the address that the value begins with. The longest
// key counts; a request for any other address fails.
//
//	Elsewhere{"https://oauth2.googleapis.com": idp.URL}
type Elsewhere map[string]string

// RoundTrip implements http.RoundTripper.
func (e Elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := url.Parse(e.Address(r.URL.String()))
	if err != nil {
		return nil, err
	}
	if to.String() == r.URL.String() {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: errors.New("the test has no such host")}
	}
	r = r.Clone(r.Context())
	r.URL, r.Host = to, to.Host
	return http.DefaultTransport.RoundTrip(r)
}

// Address returns where requests for an address are sent.
func (e Elsewhere) Address(address string) string {
	longest := ""
	for from := range e {
		if strings.HasPrefix(address, from) && len(from) > len(longest) {
			longest = from
		}
	}
	if longest == "" {
		return address
	}
	return e[longest] + strings.TrimPrefix(address, longest)
}

// SignIn is SignIn of an OIDC with addresses that are elsewhere.
func (e Elsewhere) SignIn(o *OIDC) func(address string) (*url.URL, error) {
	return func(address string) (*url.URL, error) { return o.SignIn(e.Address(address)) }
}
