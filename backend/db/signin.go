package db

import (
	"errors"
	"net/netip"
	"strings"
)

// NeedsTLS is for a TokenSource: it fails unless what c sends is encrypted or stays on this
// machine. Whoever reads a token on the way can sign in with it.
func NeedsTLS(c *ConnConfig) error {
	if c.TLSConfig != nil || strings.HasPrefix(c.Host, "/") || c.Host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(c.Host); err == nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("a token is not sent without TLS: set backend.database.connection.ssl")
}
