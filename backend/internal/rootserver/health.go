package rootserver

import (
	"context"
	"encoding/json"
	"errors"
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
	judge    Judge // nil: the server's own state counts
}

// A Judge decides what the health routes answer, instead of the server's own state.
type Judge interface {
	Live(ctx context.Context) error
	Ready(ctx context.Context) error
}

// SetJudge is called before Start.
func (s *Server) SetJudge(j Judge) { s.health.judge = j }

// Live is the server's own judgement: whoever can ask is alive.
func (s *Server) Live(context.Context) error { return nil }

// Ready is the server's own judgement. Its error is nil, or has the message that the
// readiness route answers with.
func (s *Server) Ready(context.Context) error {
	out := s.health.readiness()
	if out.status == http.StatusOK {
		return nil
	}
	var body struct{ Message string }
	_ = json.Unmarshal(out.body, &body) // unready has written it
	return errors.New(body.Message)
}

func newHealth(headers map[string]string) *health {
	h := &health{headers: headers}
	h.ready.Store(unready("Backend has not started yet"))
	return h
}

func unready(message string) *readiness {
	text, _ := json.Marshal(message) // strings always have a JSON form
	return &readiness{http.StatusServiceUnavailable, []byte(`{"message":` + string(text) + `,"status":"error"}`)}
}

// SetReady turns readiness on. Plugins that are part of the backend but could not be
// started, and that the configuration lets it go on without, are named in the answer.
func (s *Server) SetReady(failed ...string) {
	r := &readiness{http.StatusOK, []byte(okBody)}
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

// readiness is the server's own.
func (h *health) readiness() *readiness {
	out := h.ready.Load()
	if d := h.degraded.Load(); d != nil && out.status == http.StatusOK {
		return d
	}
	return out
}

// judged is own, unless the judge says otherwise.
func (h *health) judged(ctx context.Context, own *readiness, ask func(Judge, context.Context) error) *readiness {
	if h.judge == nil {
		return own
	}
	switch err := ask(h.judge, ctx); {
	case err != nil:
		return unready(err.Error())
	case own.status != http.StatusOK:
		return &readiness{http.StatusOK, []byte(okBody)}
	}
	return own
}

const okBody = `{"status":"ok"}`

// serve answers the health routes, and reports whether r was for one of them.
func (h *health) serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	out := &readiness{http.StatusOK, []byte(okBody)}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case livenessPath:
		out = h.judged(r.Context(), out, Judge.Live)
	case readinessPath:
		out = h.judged(r.Context(), h.readiness(), Judge.Ready)
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
