package rootserver

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// DefaultPort is where the server listens if backend.listen does not say.
const DefaultPort = 7007

// Listen is the address to listen on, backend.listen.
type Listen struct {
	Host string // empty: every address of the machine
	Port int    // 0: one that is free
}

// ConfigShapes implements config.Shaper.
func (Listen) ConfigShapes() []any {
	return []any{struct {
		Host string `config:"host" doc:"address to listen on; every address of the machine if absent"`
		Port int    `config:"port" doc:"port to listen on"`
	}{}}
}

// UnmarshalConfig implements config.Unmarshaler.
func (l *Listen) UnmarshalConfig(c *config.Config) error {
	parsed, err := parseListen(c.Value(""))
	if err == nil {
		*l = parsed
	}
	return err
}

// parseListen reads 7007, "7007", ":7007", "host:7007", "[::1]:7007", {host, port}.
func parseListen(v any) (Listen, error) {
	bad := fmt.Errorf("unable to parse listen address %v, expected <port> or <host>:<port>", v)
	if n, ok := whole(v); ok {
		return Listen{Port: n}.check(bad)
	}
	switch v := v.(type) {
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return Listen{Port: n}.check(bad)
		}
		if !strings.Contains(v, ":") {
			return Listen{}, bad
		}
		host, port, err := net.SplitHostPort(v)
		if err != nil {
			return Listen{}, bad
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return Listen{}, bad
		}
		return Listen{Host: host, Port: n}.check(bad)
	case map[string]any:
		l := Listen{Port: DefaultPort}
		if h, ok := v["host"]; ok {
			if l.Host, ok = h.(string); !ok {
				return Listen{}, bad
			}
		}
		if p, ok := v["port"]; ok {
			n, ok := whole(p)
			if s, isText := p.(string); isText {
				var err error
				n, err = strconv.Atoi(s)
				ok = err == nil
			}
			if !ok {
				return Listen{}, bad
			}
			l.Port = n
		}
		return l.check(bad)
	}
	return Listen{}, bad
}

func (l Listen) check(bad error) (Listen, error) {
	if l.Port < 0 || l.Port > 65535 {
		return Listen{}, bad
	}
	return l, nil
}

// String returns "host:port".
func (l Listen) String() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// InternalURL returns where this machine reaches a server that listens on l, as
// discovery gives it to other plugins (contract/backend.md section 12).
func (l Listen) InternalURL(https bool) string {
	scheme := "http"
	if https {
		scheme = "https"
	}
	host := l.Host
	switch host {
	case "", "::":
		host = "localhost"
	case "0.0.0.0":
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(l.Port))
}
