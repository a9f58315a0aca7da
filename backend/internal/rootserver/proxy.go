package rootserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// TrustProxy is backend.trustProxy: whose X-Forwarded-* headers count. The zero value
// trusts nobody.
type TrustProxy struct {
	all  bool
	hops int
	nets []netip.Prefix
}

// UnmarshalConfig implements config.Unmarshaler.
func (t *TrustProxy) UnmarshalConfig(c *config.Config) error {
	parsed, err := parseTrustProxy(c.Value(""))
	if err == nil {
		*t = parsed
	}
	return err
}

func parseTrustProxy(v any) (TrustProxy, error) {
	if b, ok := v.(bool); ok {
		return TrustProxy{all: b}, nil
	}
	if n, ok := whole(v); ok {
		if n < 0 {
			return TrustProxy{}, fmt.Errorf("the number of proxies must not be negative")
		}
		return TrustProxy{hops: n}, nil
	}
	list, err := words(v)
	if err != nil {
		return TrustProxy{}, fmt.Errorf("expected true, false, a number of proxies, or addresses: %w", err)
	}
	var t TrustProxy
	for _, el := range list {
		for part := range strings.SplitSeq(el, ",") {
			if err := t.add(strings.TrimSpace(part)); err != nil {
				return TrustProxy{}, err
			}
		}
	}
	return t, nil
}

func (t *TrustProxy) add(s string) error {
	switch s {
	case "loopback":
		return t.addAll("127.0.0.1/8", "::1/128")
	case "linklocal":
		return t.addAll("169.254.0.0/16", "fe80::/10")
	case "uniquelocal":
		return t.addAll("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
	}
	p, err := parseNet(s)
	if err != nil {
		return err
	}
	t.nets = append(t.nets, p)
	return nil
}

func (t *TrustProxy) addAll(nets ...string) error {
	for _, n := range nets {
		t.nets = append(t.nets, netip.MustParsePrefix(n).Masked())
	}
	return nil
}

// parseNet reads an address or a CIDR.
func parseNet(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", s)
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func (t *TrustProxy) off() bool { return !t.all && t.hops == 0 && len(t.nets) == 0 }

// trusts reports whether the i-th address, counted from the connection's peer, is a proxy of ours.
func (t *TrustProxy) trusts(a netip.Addr, i int) bool {
	if t.all || i < t.hops {
		return true
	}
	for _, n := range t.nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// client finds out who is behind the proxies. From the peer outwards, the first address
// that is not trusted is the client; what it wrote into the headers itself is not looked at.
func (t *TrustProxy) client(r *http.Request) (httpx.Client, bool) {
	if t.off() {
		return httpx.Client{}, false
	}
	peer := httpx.ClientOf(r)
	if !t.trusts(peer.IP, 0) {
		return httpx.Client{}, false
	}
	c := peer
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		c.IP = a.Unmap().WithZone("")
		if !t.trusts(c.IP, len(hops)-i) {
			break
		}
	}
	if p := first(r.Header.Get("X-Forwarded-Proto")); p == "http" || p == "https" {
		c.Scheme = p
	}
	if h := first(r.Header.Get("X-Forwarded-Host")); h != "" {
		c.Host = h
	}
	return c, true
}

func first(list string) string {
	el, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(el)
}
