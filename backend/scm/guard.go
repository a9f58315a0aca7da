package scm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Resolver looks up the addresses of a host; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A guard dials, and decides by the address that is dialed whether it may. The
// check is here and not at the URL, because a name may resolve to another
// address by the time of the connection (DNS rebinding).
type guard struct {
	resolver Resolver
	dialer   net.Dialer
	// trusted reports whether the configuration names this host and port itself.
	trusted func(host string, port int) bool
}

const dialTimeout = 10 * time.Second

func newGuard(resolver Resolver, trusted func(string, int) bool) *guard {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	return &guard{resolver: resolver, dialer: net.Dialer{Timeout: dialTimeout}, trusted: trusted}
}

// DialContext resolves addr and connects to the first of its permitted addresses
// that answers. A private address is permitted only for a trusted host; an
// address of a cloud's metadata service only if the configuration names that
// address itself, since nobody's files are there but everybody's credentials.
func (g *guard) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, err
	}
	trusted := g.trusted(host, port)
	literal, literalErr := netip.ParseAddr(host)
	addresses := []netip.Addr{literal}
	if literalErr != nil {
		if addresses, err = g.resolver.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, err
		}
	}
	var problems []error
	for _, ip := range addresses {
		if !permitted(ip, trusted, literalErr == nil) {
			problems = append(problems, apierr.NotAllowed.New("host %s has the address %s, which is private: only a host that backend.reading.allow or an integration names, without a wildcard, may have such an address", host, ip.Unmap()))
			continue
		}
		conn, err := g.dialer.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), portText))
		if err == nil {
			return conn, nil
		}
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return nil, errors.Join(problems...)
}

func permitted(ip netip.Addr, trusted, literal bool) bool {
	ip = embedded(ip)
	if isMetadata(ip) {
		return trusted && literal
	}
	return trusted || isPublic(ip)
}

// embedded returns the IPv4 address that an IPv6 address carries to a gateway
// (mapped, NAT64, 6to4), else the address itself without its zone.
func embedded(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if !ip.Is6() {
		return ip
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip), compatible.Contains(ip) && ip != netip.IPv6Unspecified() && ip != netip.IPv6LinkLocalAllNodes() && !ip.IsLoopback():
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	compatible = netip.MustParsePrefix("::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)

// metadata are the addresses where clouds serve the machine's own credentials.
// The first is link-local; the others look private or even public.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // Amazon, Google, Azure, and others
	netip.MustParseAddr("169.254.170.2"),   // Amazon's containers
	netip.MustParseAddr("168.63.129.16"),   // Azure's wire server
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon over IPv6
	netip.MustParseAddr("fd20:ce::254"),    // Google over IPv6
}

func isMetadata(ip netip.Addr) bool {
	for _, m := range metadata {
		if ip == m {
			return true
		}
	}
	return false
}

// notPublic are the ranges of the special-purpose registries that the methods of
// netip.Addr do not cover.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo and other protocol assignments
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("fec0::/10"),
}

func isPublic(ip netip.Addr) bool {
	if !ip.IsValid() || ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified() || ip.IsMulticast() ||
		ip.IsLinkLocalUnicast() || ip.IsInterfaceLocalMulticast() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// literalAddress parses a host that is an address.
func literalAddress(host string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

// GuardedDial returns a DialContext for transports that fetch what somebody else names. It
// looks a host up, and connects to the address that it has checked: to a public one, or to
// a private one if trusted says that the configuration itself names that host and port. An
// address of a cloud's metadata service has to be named as an address. A nil Resolver is the
// system's. The transport must have no Proxy, which would connect in its place.
func GuardedDial(r Resolver, trusted func(host string, port int) bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return newGuard(r, trusted).DialContext
}
