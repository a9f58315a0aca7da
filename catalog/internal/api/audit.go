package api

import (
	"context"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// An audit says which event a route is (contract catalog.md, 1.10). The zero value is
// none.
type audit struct {
	id       string
	severity backend.AuditSeverity
	meta     map[string]any // never changed
}

// The events.
const (
	entityFetch    = "entity-fetch"
	entityMutate   = "entity-mutate"
	entityFacets   = "entity-facets"
	entityValid    = "entity-validate"
	locationFetch  = "location-fetch"
	locationMutate = "location-mutate"
	locationLook   = "location-analyze"
	// Our own, of what contract 1.10 has no name for.
	removalFetch    = "held-removal-fetch"
	removalMutate   = "held-removal-mutate"
	ingestionFetch  = "ingestion-fetch"
	ingestionMutate = "ingestion-mutate"
)

// reads are events of low severity, about one kind of query.
func reads(id, queryType string) audit {
	return audit{id, backend.AuditLow, map[string]any{"queryType": queryType}}
}

// acts are events about one kind of action.
func acts(id, actionType string, severity backend.AuditSeverity) audit {
	return audit{id, severity, map[string]any{"actionType": actionType}}
}

// notesKey is where the context of a request has what its handler adds to the outcome.
type notesKey struct{}

// note adds to the outcome of the event that r is.
func note(r *http.Request, name string, value any) {
	if meta, ok := r.Context().Value(notesKey{}).(map[string]any); ok {
		meta[name] = value
	}
}

// audited wraps a handler in its event.
func (a *api) audited(e audit, next httpx.HandlerFunc) httpx.HandlerFunc {
	if e.id == "" || a.Auditor == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		severity := e.severity
		if e.id == locationMutate && dryRunOf(r) {
			severity = backend.AuditLow
		}
		meta := map[string]any{}
		event := a.Auditor.CreateEvent(r.Context(), backend.AuditEvent{ID: e.id, Severity: severity, Request: r, Meta: e.meta})
		err := next(w, r.WithContext(context.WithValue(r.Context(), notesKey{}, meta)))
		if err != nil {
			event.Fail(err, meta)
			return err
		}
		event.Success(meta)
		return nil
	}
}
