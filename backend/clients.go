package backend

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Clients makes the HTTP clients with which a plugin calls other plugins, wherever they
// run. It is injected into plugins and modules.
type Clients interface {
	// Client returns a client whose requests act as c towards plugin, and the plugin's
	// base URL, such as http://localhost:7007/api/catalog, which their URLs begin with.
	// The error is that of Auth.TokenFor or of Discovery. The client renews its tokens and
	// may be kept for as long as c is valid; it refuses URLs outside the base URL, so that
	// no token leaves for elsewhere, and does not follow redirects. A plugin of this
	// process is called in memory.
	Client(ctx context.Context, c Credentials, plugin string) (client *http.Client, baseURL string, err error)
}

// Timeouts of calls to other processes. An answer may take as long as its reader lets it:
// exports and event streams are answers, too.
const (
	clientDialTimeout   = 5 * time.Second
	clientAnswerTimeout = 60 * time.Second // until an answer begins
	clientIdleTimeout   = 60 * time.Second // shorter than the server's backend.server.keepAliveTimeout
	clientIdleConns     = 16               // for each process
)

// clientTokenKept is how long a client uses a token: all of them are valid for longer.
const clientTokenKept = 30 * time.Second

// processClients is what the Clients of all plugins share.
type processClients struct {
	http   *http.Client // to other processes, without credentials
	memory http.RoundTripper
	own    func(baseURL string) bool // whether this process answers at that address
	wrap   func(http.RoundTripper) http.RoundTripper
	now    func() time.Time
}

func newProcessClients(now func() time.Time) *processClients {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: clientDialTimeout, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = clientDialTimeout
	t.ResponseHeaderTimeout = clientAnswerTimeout
	t.IdleConnTimeout = clientIdleTimeout
	t.MaxIdleConnsPerHost = clientIdleConns
	return &processClients{http: &http.Client{Transport: t}, now: now}
}

// transport finds the way to a base URL.
func (p *processClients) transport(base string) http.RoundTripper {
	next := p.http.Transport
	if p.memory != nil && p.own(base) {
		next = p.memory
	}
	if p.wrap != nil {
		next = p.wrap(next)
	}
	return next
}

func (p *processClients) close() {
	if p != nil {
		p.http.CloseIdleConnections()
	}
}

// pluginClients is the Clients of one plugin.
type pluginClients struct {
	shared    *processClients
	discovery Discovery
	auth      Auth
}

var _ Clients = (*pluginClients)(nil)

// Client implements Clients.
func (p *pluginClients) Client(ctx context.Context, c Credentials, plugin string) (*http.Client, string, error) {
	base, err := p.discovery.BaseURL(plugin)
	if err != nil {
		return nil, "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, "", fmt.Errorf("base URL of plugin %s: %w", plugin, err)
	}
	t := &actingTransport{
		next: p.shared.transport(base), base: u, now: p.shared.now,
		token: func(ctx context.Context) (string, error) { return p.auth.TokenFor(ctx, c, plugin) },
	}
	if _, err := t.bearer(ctx); err != nil {
		return nil, "", err
	}
	return &http.Client{Transport: t, CheckRedirect: dontFollow}, base, nil
}

func dontFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// actingTransport adds the token of one caller to requests for one plugin.
type actingTransport struct {
	next  http.RoundTripper
	base  *url.URL
	now   func() time.Time
	token func(context.Context) (string, error)

	mu    sync.Mutex
	have  string
	taken time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *actingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.bearer(r.Context())
	if err == nil && !within(r.URL, t.base) {
		err = fmt.Errorf("%s://%s%s is not below %s, whose client this is", r.URL.Scheme, r.URL.Host, r.URL.Path, t.base)
	}
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return t.next.RoundTrip(r)
}

// bearer returns a token that is at most clientTokenKept old.
func (t *actingTransport) bearer(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if !t.taken.IsZero() && now.Sub(t.taken) < clientTokenKept {
		return t.have, nil
	}
	token, err := t.token(ctx)
	if err != nil {
		return "", err
	}
	t.have, t.taken = token, now
	return token, nil
}

// within reports whether u is base or below it.
func within(u, base *url.URL) bool {
	if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil {
		return false
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), base.EscapedPath())
	return ok && (rest == "" || rest[0] == '/')
}
