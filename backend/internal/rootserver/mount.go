package rootserver

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// DefaultMaxBody bounds request bodies of plugins that do not say otherwise.
const DefaultMaxBody = 10 << 20

// A Plugin is what is mounted below /api/<id>. Its handlers see paths without that
// prefix. Requests pass, in this order: the plugin's rate limit, Before, the gate, Routes.
type Plugin struct {
	ID string
	// Before answers requests that need neither a started plugin nor credentials, such as
	// the plugin's public keys, and reports whether it did. It may be nil.
	Before func(w http.ResponseWriter, r *http.Request) bool
	// Routes answers all other requests. It is usually an *httpx.Mux with a guard.
	Routes http.Handler
	// Errors writes the errors of the gate.
	Errors httpx.ErrorWriter
	// MaxBody bounds request bodies: 0 means DefaultMaxBody, a negative value no bound.
	MaxBody int64
	// App marks the plugin that serves pages: they must not be framed by anybody.
	App bool
}

type mount struct {
	Plugin
	gate    *Gate
	limiter *limiter
}

// Mount adds a plugin. Its gate is shut until Open is called on it. An id that differs
// from that of an earlier plugin by case only is refused, because paths match in any case.
func (s *Server) Mount(p Plugin) (*Gate, error) {
	if !validID(p.ID) {
		return nil, fmt.Errorf("plugin id %q cannot be a path: use letters, digits, - and _", p.ID)
	}
	if p.MaxBody == 0 {
		p.MaxBody = DefaultMaxBody
	}
	m := &mount{Plugin: p, gate: newGate(time.Duration(s.cfg.Lifecycle.StartupRequestPauseTimeout))}
	if cfg, ok := s.cfg.RateLimit.Plugin[p.ID]; ok && s.cfg.RateLimit.Enabled {
		var err error
		if m.limiter, err = s.newLimiter(cfg, p.ID); err != nil {
			return nil, err
		}
	}
	s.mountMu.Lock()
	defer s.mountMu.Unlock()
	old := *s.mounts.Load()
	key := strings.ToLower(p.ID)
	if other, ok := old[key]; ok {
		return nil, fmt.Errorf("plugin %q cannot be mounted at /api/%s: plugin %q is at that path, and paths match in any case", p.ID, p.ID, other.ID)
	}
	mounts := make(map[string]*mount, len(old)+1)
	for k, v := range old {
		mounts[k] = v
	}
	mounts[key] = m
	s.mounts.Store(&mounts)
	return m.gate, nil
}

func validID(id string) bool {
	for _, c := range id {
		if c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return id != ""
}

// SetIndex sets what answers every path outside /api. Its answers must not be framed.
func (s *Server) SetIndex(h http.Handler) { s.index.Store(&h) }

// route finds the plugin, by the bytes of the path as they were sent.
func (s *Server) route(a *answer, r *http.Request) {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	const prefix = "/api"
	if len(path) < len(prefix) || !strings.EqualFold(path[:len(prefix)], prefix) || len(path) > len(prefix) && path[len(prefix)] != '/' {
		if s.serveWellKnown(a, r, path) {
			return
		}
		if h := s.index.Load(); h != nil {
			a.Header().Set("X-Frame-Options", "DENY")
			(*h).ServeHTTP(a, r)
			return
		}
		a.WriteHeader(http.StatusNotFound)
		return
	}
	id := path[len(prefix):]
	if id != "" {
		id, _, _ = strings.Cut(id[1:], "/")
	}
	m := s.lookup(id)
	if m == nil {
		a.WriteHeader(http.StatusNotFound)
		return
	}
	m.serve(a, httpx.StripMount(r, len(prefix)+1+len(id)))
}

func (s *Server) lookup(id string) *mount {
	mounts := *s.mounts.Load()
	if m, ok := mounts[id]; ok { // without ToLower: ids are lower case by custom
		return m
	}
	return mounts[strings.ToLower(id)]
}

func (m *mount) serve(a *answer, r *http.Request) {
	done, ok := m.limiter.check(a, r)
	if !ok {
		return
	}
	defer func() { done(a.status) }()
	if m.App {
		a.Header().Set("X-Frame-Options", "DENY")
	}
	if m.Before != nil && m.Before(a, r) {
		return
	}
	if err := m.gate.Wait(r.Context()); err != nil {
		m.Errors.Write(a, r, err)
		return
	}
	if m.MaxBody > 0 {
		httpx.BoundBody(a.ResponseWriter, r, m.MaxBody)
	}
	m.Routes.ServeHTTP(a, r)
}

// Gate holds the requests of one plugin back until it has started. A new Gate is shut.
// It is safe for concurrent use.
type Gate struct {
	pause time.Duration
	state atomic.Int32
	moved chan struct{}
	once  sync.Once
}

const (
	gateStarting int32 = iota
	gateOpen
	gateFailed
	gateClosed
)

func newGate(pause time.Duration) *Gate { return &Gate{pause: pause, moved: make(chan struct{})} }

// Open lets requests through.
func (g *Gate) Open() { g.move(gateOpen) }

// Fail answers requests with 503, for a plugin that the backend goes on without.
func (g *Gate) Fail() { g.move(gateFailed) }

// Close answers requests with 503, because the plugin is stopping.
func (g *Gate) Close() { g.move(gateClosed) }

func (g *Gate) move(state int32) {
	g.state.Store(state)
	g.once.Do(func() { close(g.moved) })
}

// Wait returns nil once requests may pass. A request waits for a plugin that is
// starting, as long as backend.lifecycle.startupRequestPauseTimeout says.
func (g *Gate) Wait(ctx context.Context) error {
	if g.state.Load() == gateStarting {
		timer := time.NewTimer(g.pause)
		defer timer.Stop()
		select {
		case <-g.moved:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch g.state.Load() {
	case gateOpen:
		return nil
	case gateFailed:
		return apierr.ServiceUnavailable.New("Service could not be started")
	case gateClosed:
		return apierr.ServiceUnavailable.New("Service is shutting down")
	}
	return apierr.ServiceUnavailable.New("Service has not started up yet")
}
