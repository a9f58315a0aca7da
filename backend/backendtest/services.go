package backendtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// Users is a backend.UserInfo that knows what users own things through, by their
// references. Users that it does not know own things through themselves.
type Users map[string][]string

var _ backend.UserInfo = Users{}

// UserInfo implements backend.UserInfo.
func (u Users) UserInfo(_ context.Context, c backend.Credentials) (backend.Identity, error) {
	user, ok := c.User()
	if !ok {
		return backend.Identity{}, apierr.Input.New("only users own things, not a caller of type '%s'", c.Type())
	}
	owned, ok := u[user.Ref]
	if !ok {
		owned = []string{user.Ref}
	}
	return backend.Identity{UserRef: user.Ref, OwnershipRefs: owned}, nil
}

// Clients is a backend.Clients whose plugins are handlers, by id. They see paths below
// their base URL, and the caller in whose name the client was made as httpx.CallerOf.
type Clients map[string]http.Handler

var _ backend.Clients = Clients{}

// Client implements backend.Clients.
func (c Clients) Client(_ context.Context, creds backend.Credentials, plugin string) (*http.Client, string, error) {
	base := "http://localhost/api/" + url.PathEscape(plugin)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h, ok := c[plugin]
		if !ok {
			w.WriteHeader(http.StatusNotFound) // as where no plugin is mounted
			return w.Result(), nil
		}
		in := httptest.NewRequestWithContext(httpx.ContextWithCaller(r.Context(), creds), r.Method, r.URL.String(), r.Body)
		in.Header = r.Header.Clone()
		h.ServeHTTP(w, httpx.StripMount(in, len("/api/")+len(url.PathEscape(plugin))))
		return w.Result(), nil
	})}, base, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Audit is a backend.Auditor that keeps what it is told. The zero value is ready.
type Audit struct {
	mu     sync.Mutex
	events []*AuditRecord
}

// AuditRecord is one event and how it ended.
type AuditRecord struct {
	backend.AuditEvent
	// Status is initiated, succeeded or failed.
	Status string
	// Outcome is what was said with the outcome.
	Outcome map[string]any
	// Err is why it failed.
	Err error

	audit *Audit
}

var _ backend.Auditor = (*Audit)(nil)

// CreateEvent implements backend.Auditor.
func (a *Audit) CreateEvent(_ context.Context, e backend.AuditEvent) backend.AuditedEvent {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &AuditRecord{AuditEvent: e, Status: "initiated", audit: a}
	a.events = append(a.events, r)
	return r
}

// Success implements backend.AuditedEvent.
func (r *AuditRecord) Success(meta map[string]any) { r.end("succeeded", meta, nil) }

// Fail implements backend.AuditedEvent.
func (r *AuditRecord) Fail(err error, meta map[string]any) { r.end("failed", meta, err) }

func (r *AuditRecord) end(status string, meta map[string]any, err error) {
	r.audit.mu.Lock()
	defer r.audit.mu.Unlock()
	if r.Status == "initiated" {
		r.Status, r.Outcome, r.Err = status, meta, err
	}
}

// Events returns what has happened so far, in order.
func (a *Audit) Events() []AuditRecord {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]AuditRecord, 0, len(a.events))
	for _, r := range a.events {
		out = append(out, AuditRecord{AuditEvent: r.AuditEvent, Status: r.Status, Outcome: r.Outcome, Err: r.Err})
	}
	return out
}
