package rootserver

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// The health routes (contract/backend.md section 5).
const (
	livenessPath  = "/.backstage/health/v1/liveness"
	readinessPath = "/.backstage/health/v1/readiness"
)

// readiness is what the readiness route says.
type readiness struct {
	status int
	body   []byte
}

type health struct {
	ready    atomic.Pointer[readiness]
	degraded atomic.Pointer[readiness] // while set, it stands for a readiness of 200
	headers  map[string]string
}

func newHealth(headers map[string]string) *health {
	h := &health{headers: headers}
	h.ready.Store(unready("Backend has not started yet"))
	return h
}

func unready(message string) *readiness {
	return &readiness{http.StatusServiceUnavailable, []byte(`{"message":"` + message + `","status":"error"}`)}
}

// SetReady turns readiness on. Plugins that are part of the backend but could not be
// started, and that the configuration lets it go on without, are named in the answer.
func (s *Server) SetReady(failed ...string) {
	r := &readiness{http.StatusOK, []byte(`{"status":"ok"}`)}
	if len(failed) > 0 {
		failed = slices.Sorted(slices.Values(failed))
		names, _ := json.Marshal(failed) // strings always have a JSON form
		r.body = []byte(`{"status":"ok","failedPlugins":` + string(names) + `}`)
	}
	s.health.ready.Store(r)
}

// SetDegraded turns readiness off for as long as message is not empty, because something
// is away that requests need. Requests are still served.
func (s *Server) SetDegraded(message string) {
	if message == "" {
		s.health.degraded.Store(nil)
		return
	}
	s.health.degraded.Store(unready(message))
}

// SetStopping turns readiness off, so that load balancers look elsewhere. Requests
// are still served.
func (s *Server) SetStopping() { s.health.ready.Store(unready("Backend is shutting down")) }

// serve answers the health routes, and reports whether r was for one of them.
func (h *health) serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	out := &readiness{http.StatusOK, []byte(`{"status":"ok"}`)}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case livenessPath:
	case readinessPath:
		out = h.ready.Load()
		if d := h.degraded.Load(); d != nil && out.status == http.StatusOK {
			out = d
		}
	default:
		return false
	}
	for name, value := range h.headers {
		w.Header().Set(name, value)
	}
	if httpx.Fresh(r, httpx.WeakETag(out.body)) && out.status == http.StatusOK {
		w.Header().Set("Etag", httpx.WeakETag(out.body))
		httpx.NotModified(w)
		return true
	}
	httpx.JSONBytes(w, out.status, out.body)
	return true
}
