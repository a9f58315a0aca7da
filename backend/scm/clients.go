package scm

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm/internal/throttle"
)

// A Credential authorises requests to the hosts of one integration. The zero
// value is anonymous.
type Credential struct {
	// ID names the credential without revealing it. It stays the same when a
	// short-lived token is renewed: budgets and cached answers belong to it.
	ID string
	// Type is "app" for a token of a GitHub App's installation, "token" for a
	// configured one, and empty for none.
	Type string
	// Token is the bare token, for protocols other than HTTP; empty for user name
	// and password.
	Token string
	// Header is set on requests.
	Header http.Header
}

// IsZero reports whether the credential is anonymous.
func (c Credential) IsZero() bool { return c.ID == "" }

// String names the credential without revealing it.
func (c Credential) String() string { return stringOr(c.ID, "anonymous") }

// BearerCredential is a token in the Authorization header.
func BearerCredential(token string) Credential {
	return headerCredential("Authorization", "Bearer "+token, token)
}

// tokenCredential is a configured token, or anonymous if it is empty.
func tokenCredential(s config.Secret) Credential {
	if s.IsZero() {
		return Credential{}
	}
	return BearerCredential(s.Reveal())
}

// BasicCredential is a user name and a password.
func BasicCredential(user, password string) Credential {
	c := headerCredential("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)), user+"\x00"+password)
	c.Token = ""
	return c
}

func headerCredential(header, value, secret string) Credential {
	sum := sha256.Sum256([]byte(secret))
	return Credential{ID: "token:" + hex.EncodeToString(sum[:8]), Type: "token", Token: secret, Header: http.Header{header: {value}}}
}

// ClientOptions configure NewClients.
type ClientOptions struct {
	// Resolver looks up hosts; net.DefaultResolver if nil.
	Resolver Resolver
	// RequestsPerSecond and Burst bound each credential; 12 and 60 if zero.
	RequestsPerSecond float64
	Burst             int
	// MaxWait is the longest wait for a host's rate limit; 30 s if zero. Beyond it
	// callers get the 429.
	MaxWait time.Duration
	// Transport replaces the connections, for tests and for programs with a network
	// of their own. Whether an address may be reached is then its business.
	Transport http.RoundTripper
	// CacheBytes is the memory for conditional answers; 64 MiB if zero.
	CacheBytes int
}

// Clients hand out HTTP clients. All clients of one host and credential share
// one budget, whoever asked for them. Clients are safe for concurrent use and
// have no goroutines of their own.
type Clients struct {
	opts  ClientOptions
	cache *throttle.Cache

	mu      sync.Mutex
	budgets map[string]*throttle.Budget
	bases   map[*Integration]*http.Transport
}

// NewClients returns Clients without connections.
func NewClients(opts ClientOptions) *Clients {
	if opts.CacheBytes <= 0 {
		opts.CacheBytes = 64 << 20
	}
	return &Clients{
		opts:    opts,
		cache:   throttle.NewCache(opts.CacheBytes, 2<<20),
		budgets: map[string]*throttle.Budget{},
		bases:   map[*Integration]*http.Transport{},
	}
}

// maxBudgets is how many budgets there are before idle ones are dropped: tokens of
// users come and go.
const maxBudgets = 1024

// For returns a client that sends cred to the hosts of i and to no other host,
// also after redirects. It waits for the host's rate limit and repeats idempotent
// requests at most twice. Private addresses are reached only on i's own hosts.
func (c *Clients) For(i *Integration, cred Credential) *http.Client {
	identity := string(i.kind) + " " + i.host + " " + cred.ID
	c.mu.Lock()
	defer c.mu.Unlock()
	base, ok := c.bases[i]
	if !ok {
		base = newTransport(newGuard(c.opts.Resolver, i.trusts).DialContext)
		base.Proxy = http.ProxyFromEnvironment
		c.bases[i] = base
	}
	budget, ok := c.budgets[identity]
	if !ok {
		if len(c.budgets) >= maxBudgets {
			maps.DeleteFunc(c.budgets, func(_ string, b *throttle.Budget) bool { return b.Idle() })
		}
		budget = throttle.NewBudget(c.limits(i))
		c.budgets[identity] = budget
	}
	var rt http.RoundTripper = base
	if c.opts.Transport != nil {
		rt = c.opts.Transport
	}
	rt = budget.Transport(rt)
	rt = c.cache.Transport(identity, rt)
	return &http.Client{Transport: &authorizing{integration: i, cred: cred, base: rt}, CheckRedirect: checkRedirect}
}

func (c *Clients) limits(i *Integration) throttle.Limits {
	l := throttle.Limits{PerSecond: c.opts.RequestsPerSecond, Burst: c.opts.Burst, MaxWait: c.opts.MaxWait}
	if cfg, ok := i.config.(*GitLabConfig); ok {
		l.Retries, l.RetryStatus = cfg.Retry.MaxRetries, cfg.Retry.RetryStatusCodes
		if perMinute := cfg.Retry.MaxAPIRequestsPerMinute; perMinute > 0 {
			l.PerSecond, l.Burst = float64(perMinute)/60, max(1, perMinute/60)
		}
	}
	return l
}

// CloseIdle closes connections that nobody uses.
func (c *Clients) CloseIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.bases {
		t.CloseIdleConnections()
	}
}

// checkRedirect follows like fetchReader: five hops, never from https to http.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return apierr.Input.New("%s redirects more than %d times", via[0].URL.Redacted(), maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return apierr.NotAllowed.New("%s redirects from https to %s", via[0].URL.Redacted(), req.URL.Scheme)
	}
	return nil
}

// authorizing sets the credential on requests to the integration's own hosts. It
// works below the client, where every hop of a redirect passes.
type authorizing struct {
	integration *Integration
	cred        Credential
	base        http.RoundTripper
}

func (a *authorizing) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if slices.Contains(a.integration.credentialHosts(), hostOf(req.URL)) {
		for name, values := range a.cred.Header {
			req.Header[name] = values
		}
	} else if req.Response != nil {
		// A redirect away from the integration's hosts. On a first request the
		// header is the caller's own doing: the signature of a bucket's SDK.
		req.Header.Del("Authorization")
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "callboard")
	}
	return a.base.RoundTrip(req)
}

// trusts reports whether the configuration names a host for this integration:
// its own hosts and names below them.
func (i *Integration) trusts(host string, _ int) bool {
	host = strings.ToLower(host)
	own := append(i.credentialHosts(), i.host)
	if c, ok := i.config.(*GitHubConfig); ok {
		own = append(own, hostsOf(c.RawBaseURL)...)
	}
	for _, own := range own {
		name, _ := url.Parse("//" + own)
		if name != nil && (host == name.Hostname() || strings.HasSuffix(host, "."+name.Hostname())) {
			return true
		}
	}
	return false
}

// credentialHosts are the hosts that the credential is for.
func (i *Integration) credentialHosts() []string {
	switch c := i.config.(type) {
	case *GitHubConfig:
		return hostsOf(c.APIBaseURL)
	case *GitLabConfig:
		return hostsOf(c.APIBaseURL, c.BaseURL)
	case *BitbucketCloudConfig:
		return []string{bitbucketCloudHost, "api." + bitbucketCloudHost}
	case *BitbucketServerConfig:
		return hostsOf(c.APIBaseURL, "https://"+c.Host)
	case *GerritConfig:
		return hostsOf(c.BaseURL, c.GitilesBaseURL)
	case *GiteaConfig:
		return hostsOf(c.BaseURL)
	case *GoogleGCSConfig:
		return []string{gcsAPIHost}
	}
	return []string{i.host}
}

func hostsOf(bases ...string) []string {
	var hosts []string
	for _, base := range bases {
		if u, err := url.Parse(base); err == nil && u.Host != "" {
			hosts = append(hosts, hostOf(u))
		}
	}
	return hosts
}

// kindOnly returns the error of an HTTP client without the method and the URL
// that package http puts in front, if it has a kind of its own.
func kindOnly(err error, what string) error {
	var e *apierr.Error
	if errors.As(err, &e) {
		return e
	}
	// The address may hold a signature, so it does not belong into logs either.
	return apierr.Internal.Wrap(unwrapURLError(err), "could not read %s", what)
}
