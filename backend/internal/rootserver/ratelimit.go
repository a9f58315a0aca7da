package rootserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// RateLimit is backend.rateLimit.
type RateLimit struct {
	Enabled bool
	Off     bool                   // it says false, which also ends the limits that plugins have for their own routes
	Global  bool                   `config:"global" doc:"whether there is a limit over all plugins, besides those of single plugins"`
	Store   RateStoreConfig        `config:"store" doc:"where the counters are"`
	Plugin  map[string]LimitConfig `config:"plugin" doc:"limits of single plugins, by id"`
	LimitConfig
}

// RateStoreConfig says where the counters are.
type RateStoreConfig struct {
	Type       string        `config:"type" doc:"memory, or redis if its module is part of the backend"`
	Connection config.Secret `config:"connection" doc:"URL of the redis server"`
}

// LimitConfig is one limit.
type LimitConfig struct {
	Window                 config.Duration `config:"window,millis" doc:"the time in which requests are counted"`
	IncomingRequestLimit   int             `config:"incomingRequestLimit" doc:"requests of one address in that time"`
	IPAllowList            List            `config:"ipAllowList" doc:"addresses and networks without limit"`
	SkipSuccessfulRequests bool            `config:"skipSuccessfulRequests" doc:"do not count requests answered with a status below 400"`
	SkipFailedRequests     bool            `config:"skipFailedRequests" doc:"do not count requests answered with a status of 400 and above"`
	PassOnStoreError       bool            `config:"passOnStoreError" doc:"let requests through when the counters cannot be reached"`
}

// SetDefaults implements config.Defaulter.
func (l *LimitConfig) SetDefaults() {
	l.Window = config.Duration(time.Minute)
	l.IncomingRequestLimit = 5
	l.IPAllowList = List{"127.0.0.1", "::1"}
}

// Validate implements config.Validator.
func (l *LimitConfig) Validate() error {
	var errs []error
	if l.IncomingRequestLimit < 1 {
		errs = append(errs, config.At("incomingRequestLimit", errors.New("must be at least 1")))
	}
	if l.Window <= 0 {
		errs = append(errs, config.At("window", errors.New("must be longer than zero")))
	}
	for _, s := range l.IPAllowList {
		if _, err := parseNet(s); err != nil {
			errs = append(errs, config.At("ipAllowList", err))
		}
	}
	return errors.Join(errs...)
}

// UnmarshalConfig implements config.Unmarshaler.
func (l *RateLimit) UnmarshalConfig(c *config.Config) error {
	out := RateLimit{Enabled: true, Global: true, Store: RateStoreConfig{Type: "memory"}}
	out.LimitConfig.SetDefaults()
	switch v := c.Value("").(type) {
	case bool:
		out.Enabled, out.Off = v, !v
	case map[string]any:
		type plain RateLimit
		if err := c.Decode("", (*plain)(&out)); err != nil {
			*l = out // so that the rest can be checked
			return err
		}
	default:
		return errors.New("expected true, false, or an object such as {window: 1m, incomingRequestLimit: 100}")
	}
	*l = out
	return nil
}

// A RateStore counts requests. It is used from many goroutines at once.
type RateStore interface {
	// Hit counts one request for key, and returns how many there were in the current
	// window, this one included, and when the window ends. The first hit begins one.
	Hit(ctx context.Context, key string, window time.Duration) (count int, reset time.Time, err error)
	// Undo takes one request back.
	Undo(ctx context.Context, key string) error
}

// A RateStoreFactory opens a store for backend.rateLimit.store. It does no I/O yet.
type RateStoreFactory func(RateStoreConfig) (RateStore, error)

// openRateStore finds the store that the configuration names.
func openRateStore(cfg RateStoreConfig, factories map[string]RateStoreFactory, now func() time.Time) (RateStore, error) {
	if cfg.Type == "memory" || cfg.Type == "" {
		return &memoryStore{now: now, windows: map[string]*window{}}, nil
	}
	open, ok := factories[cfg.Type]
	if !ok {
		fix := "use memory"
		if cfg.Type == "redis" {
			fix += ", or backend.Add(rediscache.Module())"
		}
		what := fmt.Errorf("is %q, but no rate limit store of that type is part of this backend", cfg.Type)
		return nil, config.AtWithFix("backend.rateLimit.store.type", what, fix)
	}
	return open(cfg)
}

// limiter applies one limit.
type limiter struct {
	cfg   LimitConfig
	scope string
	store RateStore
	allow []netip.Prefix
	now   func() time.Time
	log   *slog.Logger
	fail  func(http.ResponseWriter, *http.Request, error)
	away  atomic.Bool // the store, as far as this limiter knows
}

func (s *Server) newLimiter(cfg LimitConfig, scope string) (*limiter, error) {
	l := &limiter{cfg: cfg, scope: scope, store: s.rateStore, now: s.now, log: s.log, fail: s.errors.Write}
	for _, s := range cfg.IPAllowList {
		p, err := parseNet(s)
		if err != nil {
			return nil, fmt.Errorf("backend.rateLimit.ipAllowList: %w", err)
		}
		l.allow = append(l.allow, p)
	}
	return l, nil
}

// Limit returns h for at most so many requests of one address in a window, counted under
// a name of the plugin. Unlike other limits it holds although backend.rateLimit is absent,
// and then counts in memory. ipAllowList, store and passOnStoreError are those of
// backend.rateLimit. It does not hold if that is false, nor if the operator has set
// backend.rateLimit.plugin.<id>, which takes its place.
func (s *Server) Limit(plugin, name string, most int, window time.Duration, h httpx.HandlerFunc) httpx.HandlerFunc {
	rl := s.cfg.RateLimit
	if _, own := rl.Plugin[plugin]; rl.Off || own && rl.Enabled {
		return h
	}
	l := &limiter{cfg: s.routes.cfg, scope: plugin + " " + name, store: s.rateStore, allow: s.routes.allow, now: s.now, log: s.log, fail: s.errors.Write}
	l.cfg.IncomingRequestLimit, l.cfg.Window = most, config.Duration(window)
	l.cfg.SkipFailedRequests, l.cfg.SkipSuccessfulRequests = false, false
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, ok := l.check(w, r); !ok {
			return nil // it has answered
		}
		return h(w, r)
	}
}

const tooManyRequests = `{"error":{"name":"Error","message":"Too many requests, please try again later"},"response":{"statusCode":429}}`

// check counts r. It answers r itself and returns false if there were too many;
// otherwise done must be called with the status of the answer.
func (l *limiter) check(w http.ResponseWriter, r *http.Request) (done func(status int), ok bool) {
	pass := func(int) {}
	if l == nil {
		return pass, true
	}
	ip := httpx.ClientOf(r).IP
	if !ip.IsValid() || l.allowed(ip) {
		return pass, true
	}
	key := l.scope + " " + subject(ip)
	count, reset, err := l.store.Hit(r.Context(), key, time.Duration(l.cfg.Window))
	l.note(r.Context(), err)
	if err != nil {
		// Without the counters the process is as alive and as ready as before.
		if l.cfg.PassOnStoreError || strings.HasPrefix(r.URL.Path, "/.backstage/health/") {
			return pass, true
		}
		l.fail(w, r, apierr.ServiceUnavailable.Wrap(err, "the requests of this address cannot be counted at the moment"))
		return pass, false
	}
	h := w.Header()
	left := max(reset.Sub(l.now()), 0)
	h.Set("X-Ratelimit-Limit", strconv.Itoa(l.cfg.IncomingRequestLimit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(max(l.cfg.IncomingRequestLimit-count, 0)))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset.Add(time.Second-1).Unix(), 10))
	if count > l.cfg.IncomingRequestLimit {
		h.Set("Retry-After", strconv.Itoa(int((left+time.Second-1)/time.Second)))
		httpx.JSONBytes(w, http.StatusTooManyRequests, []byte(tooManyRequests))
		return pass, false
	}
	if !l.cfg.SkipFailedRequests && !l.cfg.SkipSuccessfulRequests {
		return pass, true
	}
	return func(status int) {
		if status >= 400 && l.cfg.SkipFailedRequests || status < 400 && l.cfg.SkipSuccessfulRequests {
			// A lost decrement makes the limit stricter for one window; nothing to report.
			_ = l.store.Undo(context.WithoutCancel(r.Context()), key)
		}
	}, true
}

// note logs that the store is away, or back, once each.
func (l *limiter) note(ctx context.Context, err error) {
	switch {
	case err == nil && l.away.Load() && l.away.Swap(false):
		l.log.InfoContext(ctx, "the rate limit store can be used again", "limit", l.scope)
	case err != nil && ctx.Err() == nil && !l.away.Swap(true):
		l.log.WarnContext(ctx, "the rate limit store cannot be used", "limit", l.scope, "passOnStoreError", l.cfg.PassOnStoreError, "error", err)
	}
}

func (l *limiter) allowed(ip netip.Addr) bool {
	for _, p := range l.allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// subject is what is counted: an address, and of IPv6 the network that one customer gets.
func subject(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(56)
	if err != nil {
		return ip.String()
	}
	return p.String()
}

// memoryStore counts in this process. It holds at most maxWindows addresses.
type memoryStore struct {
	now func() time.Time

	mu      sync.Mutex
	windows map[string]*window
	sweep   time.Time
}

type window struct {
	count int
	ends  time.Time
}

const maxWindows = 100_000

func (m *memoryStore) Hit(_ context.Context, key string, length time.Duration) (int, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if now.After(m.sweep) || len(m.windows) >= maxWindows {
		m.clean(now)
		m.sweep = now.Add(length)
	}
	w := m.windows[key]
	if w == nil || !now.Before(w.ends) {
		w = &window{ends: now.Add(length)}
		m.windows[key] = w
	}
	w.count++
	return w.count, w.ends, nil
}

// clean drops windows that have ended. If an attack from very many addresses leaves no
// room, arbitrary ones go: memory is what must not run out.
func (m *memoryStore) clean(now time.Time) {
	for key, w := range m.windows {
		if !now.Before(w.ends) {
			delete(m.windows, key)
		}
	}
	for key := range m.windows {
		if len(m.windows) < maxWindows {
			return
		}
		delete(m.windows, key)
	}
}

func (m *memoryStore) Undo(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.windows[key]; w != nil && w.count > 0 {
		w.count--
	}
	return nil
}
