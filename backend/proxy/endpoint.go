package proxy

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/callboard-dev/callboard/backend/config"
)

// Credentials says who may call an endpoint.
type Credentials string

// The credentials modes, as app-config.yaml has them.
const (
	// CredentialsRequire lets users and services in. Their tokens stay here.
	CredentialsRequire Credentials = "require"
	// CredentialsForward lets users and services in, and passes their Authorization header on.
	CredentialsForward Credentials = "forward"
	// CredentialsUnauthenticated lets everybody in. No token is passed on.
	CredentialsUnauthenticated Credentials = "dangerously-allow-unauthenticated"
)

func (c Credentials) check() error {
	switch c {
	case CredentialsRequire, CredentialsForward, CredentialsUnauthenticated:
		return nil
	}
	return fmt.Errorf("unknown credentials policy '%s'; expected one of '%s', '%s', '%s'", c, CredentialsRequire, CredentialsForward, CredentialsUnauthenticated)
}

// An Endpoint is where requests below one path go, and what passes. NewEndpoint has the
// defaults; app-config.yaml may also say the target alone.
type Endpoint struct {
	Target         string                   `config:"target,required" doc:"http or https URL; its path is put before what follows the endpoint's path"`
	Credentials    Credentials              `config:"credentials" doc:"who may call: require (users and services), forward (the same, and their token is passed on), or dangerously-allow-unauthenticated"`
	Headers        map[string]config.Secret `config:"headers" doc:"headers that are set on requests to the target"`
	Auth           config.Secret            `config:"auth" doc:"user:password for the target, sent as basic authorization"`
	AllowedMethods []string                 `config:"allowedMethods" doc:"methods that pass; all but CONNECT and TRACE if absent"`
	AllowedHeaders []string                 `config:"allowedHeaders" doc:"headers that pass in both directions besides the usual ones"`
	ChangeOrigin   bool                     `config:"changeOrigin" doc:"whether the target sees its own name in Host instead of the portal's"`
	PathRewrite    PathRewrite              `config:"pathRewrite" doc:"regular expressions and what replaces their first match in the path, which begins with /api/proxy; the first one that matches counts"`
	Secure         bool                     `config:"secure" doc:"whether the target's certificate is checked"`
	WS             bool                     `config:"ws" doc:"whether WebSockets pass"`
	Sandbox        bool                     `config:"sandbox" doc:"whether pages (HTML, SVG, XML) are shown without the portal's origin, so that their scripts cannot act as its users"`
	XFwd           bool                     `config:"xfwd" doc:"whether X-Forwarded-For, -Host, -Port and -Proto tell the target who called"`
	Timeout        *config.Duration         `config:"timeout,millis" doc:"upstream's name for timeouts.idle"`
	ProxyTimeout   *config.Duration         `config:"proxyTimeout,millis" doc:"upstream's name for timeouts.headers"`
	Timeouts       Timeouts                 `config:"timeouts" doc:""`
}

// Timeouts bound what a request waits for. Zero means no bound.
type Timeouts struct {
	Connect config.Duration `config:"connect,millis" doc:"until a connection to the target stands, TLS included"`
	Headers config.Duration `config:"headers,millis" doc:"from the end of a request until its answer begins"`
	Idle    config.Duration `config:"idle,millis" doc:"how long a body or a WebSocket may stand still in both directions"`
}

// PathRewrite is a list of rules, in the order of the file.
type PathRewrite []PathRule

// A PathRule replaces the first match of a regular expression.
type PathRule struct {
	Pattern string // in the syntax of package regexp
	Replace string // $1 and $<name> are what groups matched, $& is all of it, $$ is a dollar
}

// NewEndpoint returns an endpoint with the defaults of app-config.yaml.
func NewEndpoint(target string) Endpoint {
	e := Endpoint{}
	e.SetDefaults()
	e.Target = target
	return e
}

// SetDefaults implements config.Defaulter.
func (e *Endpoint) SetDefaults() {
	e.Credentials, e.ChangeOrigin, e.Secure, e.Sandbox = CredentialsRequire, true, true, true
	e.Timeouts = Timeouts{
		Connect: config.Duration(5 * time.Second),
		Headers: config.Duration(time.Minute),
		Idle:    config.Duration(5 * time.Minute),
	}
}

// UnmarshalConfig implements config.Unmarshaler. An option that is not understood is an error:
// one that restricts an endpoint must not be lost to a typing mistake.
func (e *Endpoint) UnmarshalConfig(c *config.Config) error {
	if target, ok := c.Value("").(string); ok {
		e.Target = target
		return nil
	}
	if _, ok := c.Value("").(map[string]any); !ok {
		return errors.New("expected the URL of a target, or an object with target and options")
	}
	type plain Endpoint // without this method
	errs := []error{unknownOptions(c), c.Decode("", (*plain)(e))}
	if err := e.Credentials.check(); err != nil {
		// With its place, and so as it is: the key's name is that of a secret, its value is none.
		errs = append(errs, &config.KeyError{Path: c.Sub("credentials").Path(), Pos: c.Pos("credentials"), Err: err})
	}
	for both, ours := range map[string]string{"timeout": "timeouts.idle", "proxyTimeout": "timeouts.headers"} {
		if c.Has(both) && c.Has(ours) {
			errs = append(errs, config.At(both, fmt.Errorf("is another name for %s, which is set too", ours)))
		}
	}
	if e.Timeout != nil {
		e.Timeouts.Idle = *e.Timeout
	}
	if e.ProxyTimeout != nil {
		e.Timeouts.Headers = *e.ProxyTimeout
	}
	return errors.Join(errs...)
}

// UnmarshalConfig implements config.Unmarshaler.
func (p *PathRewrite) UnmarshalConfig(c *config.Config) error {
	if _, ok := c.Value("").(map[string]any); !ok {
		return errors.New("expected regular expressions with their replacements")
	}
	rules := PathRewrite{}
	for _, pattern := range c.Keys("") {
		key := quoted("", pattern)
		text, ok := c.Value(key).(string)
		if !ok {
			return config.At(key, errors.New("expected text that replaces the match"))
		}
		rules = append(rules, PathRule{pattern, text})
	}
	*p = rules
	return nil
}

// Validate implements config.Validator. It is also what endpoints from code must pass.
func (e *Endpoint) Validate() error {
	_, err := parseTarget(e.Target)
	errs := []error{config.At("target", err), config.At("credentials", e.Credentials.check())}
	for i, m := range e.AllowedMethods {
		at := "allowedMethods[" + strconv.Itoa(i) + "]"
		switch {
		case !httpguts.ValidHeaderFieldName(m): // the same characters
			errs = append(errs, config.At(at, fmt.Errorf("%q is no HTTP method", m)))
		case neverMethod(strings.ToUpper(m)):
			errs = append(errs, config.At(at, fmt.Errorf("%s never passes: its answer would show the headers that the target gets", m)))
		}
	}
	for i, h := range e.AllowedHeaders {
		at := "allowedHeaders[" + strconv.Itoa(i) + "]"
		switch {
		case !httpguts.ValidHeaderFieldName(h):
			errs = append(errs, config.At(at, fmt.Errorf("%q is no name of a header", h)))
		case hopByHop(http.CanonicalHeaderKey(h)):
			errs = append(errs, config.At(at, fmt.Errorf("%s is about one connection and never passes", h)))
		}
	}
	errs = append(errs, e.validateHeaders()...)
	for i, rule := range e.PathRewrite {
		if _, err := rule.compile(); err != nil {
			errs = append(errs, config.At(quoted("pathRewrite", e.PathRewrite[i].Pattern), err))
		}
	}
	for key, d := range map[string]config.Duration{"connect": e.Timeouts.Connect, "headers": e.Timeouts.Headers, "idle": e.Timeouts.Idle} {
		if d < 0 {
			errs = append(errs, config.At("timeouts."+key, errors.New("must not be negative; 0 means no bound")))
		}
	}
	return errors.Join(errs...)
}

// validateHeaders looks at what is set on requests. Their values are secrets and stay out of
// the errors.
func (e *Endpoint) validateHeaders() (errs []error) {
	seen := map[string]string{}
	for _, name := range sortedKeys(e.Headers) {
		at := quoted("headers", name)
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			errs = append(errs, config.At(at, fmt.Errorf("%q is no name of a header", name)))
		case !httpguts.ValidHeaderFieldValue(e.Headers[name].Reveal()):
			errs = append(errs, config.At(at, errors.New("the value has characters that no header may have")))
		case hopByHop(canonical) || canonical == "Content-Length":
			errs = append(errs, config.At(at, fmt.Errorf("%s is about one connection or message and cannot be set", name)))
		case seen[canonical] != "":
			errs = append(errs, config.At(at, fmt.Errorf("%s is the same header, and set too", seen[canonical])))
		}
		seen[canonical] = name
	}
	if e.Auth.IsZero() {
		return errs
	}
	if !strings.Contains(e.Auth.Reveal(), ":") {
		errs = append(errs, config.At("auth", errors.New("expected user:password")))
	}
	if other := seen["Authorization"]; other != "" {
		errs = append(errs, config.At("auth", errors.New("headers sets Authorization too: leave one of them out")))
	}
	if e.Credentials == CredentialsForward {
		errs = append(errs, config.At("auth", errors.New("the caller's Authorization is passed on with credentials: forward: leave one of them out")))
	}
	return errs
}

// A notice is about an option that does not do what its name says.
type notice struct{ at, text string }

// notices are warnings about an endpoint that is valid.
func (e *Endpoint) notices() (out []notice) {
	for i, h := range e.AllowedHeaders {
		at := "allowedHeaders[" + strconv.Itoa(i) + "]"
		switch name := http.CanonicalHeaderKey(h); {
		case name == "Authorization" && e.Credentials != CredentialsForward && !e.sets(name):
			out = append(out, notice{at, "Authorization is not passed on, because credentials is " + string(e.Credentials) + "; say credentials: forward, or set it in headers"})
		case cookies(name):
			out = append(out, notice{at, h + " is not passed on: cookies of the portal are for the portal"})
		}
	}
	if !e.Secure {
		out = append(out, notice{"secure", "the certificate of the target is not checked: whoever is on the way can read what is sent"})
	}
	return out
}

func (e *Endpoint) sets(canonical string) bool {
	return slices.ContainsFunc(sortedKeys(e.Headers), func(name string) bool { return http.CanonicalHeaderKey(name) == canonical })
}

// basic is the Authorization of auth.
func basic(auth config.Secret) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(auth.Reveal()))
}

// parseTarget reads the URL of a target. Its errors do not repeat a password.
func parseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return nil, fmt.Errorf("proxy target is not a valid URL: %s", config.MaskCredentials(text))
	case u.Scheme == "ws" || u.Scheme == "wss":
		return nil, errors.New("proxy target is not a valid URL: say http or https, and ws: true beside it")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("proxy target is not a valid URL: %s", config.MaskCredentials(text))
	case u.User != nil:
		return nil, errors.New("proxy target has a user in it: put user:password into auth")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("proxy target has a query or a fragment: leave it out")
	}
	if !sound(u.EscapedPath()) {
		return nil, errors.New("proxy target has a path with dot segments, empty segments or backslashes: write it without")
	}
	return u, nil
}

// quoted is the configuration path of a key that may have dots.
func quoted(at, key string) string { return at + "[" + strconv.Quote(key) + "]" }
