package httpx

import (
	"context"
	"net/http"
	"net/netip"
)

// Client is where a request comes from, with trusted proxies looked through.
type Client struct {
	IP     netip.Addr // zero if the request did not come over the network
	Scheme string     // "http" or "https", as the client used it
	Host   string     // the host that the client asked for
}

type clientKey struct{}

// ContextWithClient returns a context whose requests come from c. The server calls it
// when it trusts what a proxy says.
func ContextWithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf returns where r comes from: what backend.trustProxy allows a proxy to say,
// or else the peer of the connection.
func ClientOf(r *http.Request) Client {
	if c, ok := r.Context().Value(clientKey{}).(Client); ok {
		return c
	}
	c := Client{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		c.Scheme = "https"
	}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.IP = ap.Addr().Unmap().WithZone("")
	}
	return c
}
