package devtools

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ping sends one ICMP echo request and waits for its reply until ctx is done. No program
// is started for it: what the configuration says is an address to send to, and nothing
// else.
func ping(ctx context.Context, host string) error {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return fmt.Errorf("look up %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return fmt.Errorf("%s has no address", host)
	}
	var last error
	for _, a := range addrs {
		if last = pingAddr(ctx, a.Unmap()); last == nil {
			return nil
		}
	}
	return last
}

// family is how one version of IP sends an echo.
type family struct {
	datagram, raw string // networks: without and with privileges
	any           string
	protocol      int // the number of ICMP
	request       icmp.Type
	reply         icmp.Type
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return family{"udp4", "ip4:icmp", "0.0.0.0", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	}
	return family{"udp6", "ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
}

// listen opens a socket for pings: the one that needs no privileges where the system has
// it, else the raw one.
func (f family) listen(to netip.Addr) (*icmp.PacketConn, net.Addr, error) {
	conn, err := icmp.ListenPacket(f.datagram, f.any)
	if err == nil {
		return conn, &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}, nil
	}
	conn, rawErr := icmp.ListenPacket(f.raw, f.any)
	if rawErr == nil {
		return conn, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}, nil
	}
	if errors.Is(rawErr, fs.ErrPermission) {
		return nil, nil, errors.New("this process may not send pings: let its group do so with net.ipv4.ping_group_range, or use type fetch")
	}
	return nil, nil, rawErr
}

func pingAddr(ctx context.Context, to netip.Addr) error {
	f := familyOf(to)
	conn, addr, err := f.listen(to)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// A raw socket sees the replies to others, too; the system changes the id of a
	// datagram socket. What tells our reply from others is therefore its data.
	data := make([]byte, 16)
	_, _ = rand.Read(data) // never fails
	text, err := (&icmp.Message{Type: f.request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: data}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(text, addr); err != nil {
		return fmt.Errorf("ping %s: %w", to, err)
	}
	for packet := make([]byte, 1500); ; {
		n, _, err := conn.ReadFrom(packet)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("ping %s: no reply within %s", to, probeTimeout)
			}
			return fmt.Errorf("ping %s: %w", to, err)
		}
		m, err := icmp.ParseMessage(f.protocol, packet[:n])
		if err != nil || m.Type != f.reply {
			continue
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && bytes.Equal(echo.Data, data) {
			return nil
		}
	}
}
