package rootserver

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the part of the config section "backend" that this package reads
// (contract/backend.md section 5).
type Config struct {
	BaseURL    string          `config:"baseUrl,required" doc:"the external URL of this backend, without /api"`
	Listen     Listen          `config:"listen" doc:"port, \":port\", \"host:port\", or {host, port}; :7007 if absent"`
	HTTPS      HTTPS           `config:"https" doc:"true for a self-signed certificate, or {certificate: {cert, key}} with PEM texts"`
	TrustProxy TrustProxy      `config:"trustProxy" doc:"true, the number of proxies, or their addresses; whose X-Forwarded headers count"`
	Server     ServerConfig    `config:"server" doc:"limits and timeouts of connections"`
	CORS       *CORS           `config:"cors" doc:"which other origins may call from a browser; none if absent"`
	CSP        CSP             `config:"csp" doc:"Content-Security-Policy directives: a list of sources, or false to drop the default"`
	Referrer   ReferrerConfig  `config:"referrer" doc:"the Referrer-Policy header"`
	Health     HealthConfig    `config:"health" doc:"the health routes"`
	RateLimit  RateLimit       `config:"rateLimit" doc:"true or options; bounds the requests of one address"`
	Lifecycle  LifecycleConfig `config:"lifecycle" doc:"what happens to requests around start and stop"`
}

// Defaults are the values of keys that are absent.
func Defaults() Config {
	return Config{
		Listen: Listen{Port: DefaultPort},
		Server: ServerConfig{
			HeadersTimeout:   config.Duration(60 * time.Second),
			RequestTimeout:   config.Duration(5 * time.Minute),
			KeepAliveTimeout: config.Duration(75 * time.Second), // longer than what load balancers use, so that they close first
			MaxHeadersCount:  2000,
		},
		Referrer:  ReferrerConfig{Policy: List{"no-referrer"}},
		Lifecycle: LifecycleConfig{StartupRequestPauseTimeout: config.Duration(5 * time.Second)},
	}
}

// Validate checks the base URL.
func (c *Config) Validate() error {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return config.At("baseUrl", errors.New("expected an http or https URL"))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return config.At("baseUrl", errors.New("has user information, a query or a fragment: leave it out"))
	}
	return nil
}

// ServerConfig bounds connections. Zero means no limit.
type ServerConfig struct {
	HeadersTimeout       config.Duration `config:"headersTimeout,millis" doc:"how long the headers of a request may take to arrive"`
	RequestTimeout       config.Duration `config:"requestTimeout,millis" doc:"how long a whole request may take to arrive"`
	KeepAliveTimeout     config.Duration `config:"keepAliveTimeout,millis" doc:"how long an idle connection is kept"`
	Timeout              config.Duration `config:"timeout,millis" doc:"how long a client may take to accept the next part of an answer"`
	MaxHeadersCount      int             `config:"maxHeadersCount" doc:"header lines in a request"`
	MaxRequestsPerSocket int             `config:"maxRequestsPerSocket" doc:"requests on one connection before it is closed"`
}

// Validate refuses counts below zero.
func (c *ServerConfig) Validate() error {
	var errs []error
	for key, n := range map[string]int{"maxHeadersCount": c.MaxHeadersCount, "maxRequestsPerSocket": c.MaxRequestsPerSocket} {
		if n < 0 {
			errs = append(errs, config.At(key, fmt.Errorf("is %d, want 0 for no limit, or more", n)))
		}
	}
	return errors.Join(errs...)
}

// ReferrerConfig is the Referrer-Policy header.
type ReferrerConfig struct {
	Policy List `config:"policy" doc:"policies, the last one that the browser knows counts"`
}

// HealthConfig is about the health routes.
type HealthConfig struct {
	Headers map[string]string `config:"headers" doc:"extra headers of the answers"`
}

// Validate refuses what is no header.
func (c *HealthConfig) Validate() error {
	var errs []error
	for name, value := range c.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			errs = append(errs, config.At("headers", fmt.Errorf("%q: %q is no header", name, value)))
		}
	}
	return errors.Join(errs...)
}

// LifecycleConfig is about requests around start and stop.
type LifecycleConfig struct {
	StartupRequestPauseTimeout config.Duration `config:"startupRequestPauseTimeout" doc:"how long requests wait for a plugin that is starting"`
	ServerShutdownDelay        config.Duration `config:"serverShutdownDelay" doc:"how long to go on serving after readiness has turned off"`
}

// List is one string, or several.
type List []string

// UnmarshalConfig implements config.Unmarshaler.
func (l *List) UnmarshalConfig(c *config.Config) error {
	list, err := words(c.Value(""))
	if err != nil {
		return err
	}
	for _, s := range list {
		if !headerSafe(s) {
			return errors.New("contains control characters")
		}
	}
	*l = list
	return nil
}

// words reads a string or a list of strings.
func words(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		out := make([]string, 0, len(v))
		for _, el := range v {
			s, ok := el.(string)
			if !ok {
				return nil, fmt.Errorf("expected a list of strings, found %T in it", el)
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("expected a string or a list of strings, got %v", v)
}

// whole reads a number without fraction.
func whole(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), true
	case int:
		return v, true
	case float64:
		if n := int(v); float64(n) == v {
			return n, true
		}
	}
	return 0, false
}

// headerSafe reports whether s can stand in a header's value.
func headerSafe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
