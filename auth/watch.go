package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// watch tells of sign-ins: a span, a measurement, an audit event, and a line in the log for
// each that has failed (contract/auth.md section 12). Users are named in the audit log
// alone, e-mail addresses and tokens nowhere.
type watch struct {
	tracer  trace.Tracer
	audit   backend.Auditor
	log     *slog.Logger
	signIns metric.Int64Counter
	took    metric.Float64Histogram
}

func newWatch(tracer trace.Tracer, meter metric.Meter, audit backend.Auditor, log *slog.Logger) (*watch, error) {
	w := &watch{tracer: tracer, audit: audit, log: log}
	var errs [2]error
	w.signIns, errs[0] = meter.Int64Counter("auth.signIn", metric.WithDescription("Sign-ins and refreshes, by what they came to."))
	w.took, errs[1] = meter.Float64Histogram("auth.signIn.duration", metric.WithUnit("s"), metric.WithDescription("How long sign-ins and refreshes took, without the user's part."))
	return w, errors.Join(errs[:]...)
}

// attempt is one sign-in or refresh.
type attempt struct {
	w       *watch
	ctx     context.Context // of its span
	r       *http.Request
	span    trace.Span
	began   time.Time
	event   backend.AuditedEvent // nil for refreshes, which are audited if they fail
	known   []attribute.KeyValue
	meta    map[string]any
	subject string // who it was to the identity provider
	// resolver is the one that has decided, user whom it has found.
	resolver, user string
}

// begin begins an attempt; flow is popup, redirect, refresh or proxy.
func (w *watch) begin(r *http.Request, provider, env, flow string) *attempt {
	at := &attempt{w: w, r: r, began: time.Now(), meta: map[string]any{"provider": provider, "flow": flow}}
	at.known = []attribute.KeyValue{attribute.String("provider", provider), attribute.String("flow", flow)}
	if env != "" {
		at.meta["env"] = env
		at.known = append(at.known, attribute.String("env", env))
	}
	at.ctx, at.span = w.tracer.Start(r.Context(), "auth.signIn", trace.WithAttributes(at.known...))
	if flow != "refresh" {
		at.event = at.audited()
	}
	return at
}

func (at *attempt) audited() backend.AuditedEvent {
	return at.w.audit.CreateEvent(at.ctx, backend.AuditEvent{ID: "sign-in", Severity: backend.AuditMedium, Request: at.r, Meta: at.meta})
}

// end tells what it came to.
func (at *attempt) end(err error) {
	attrs := append(at.known, attribute.String("result", "success"))
	if err != nil {
		attrs[len(at.known)] = attribute.String("result", "error")
		attrs = append(attrs, attribute.String("error.name", errorName(err)))
		at.span.SetStatus(codes.Error, errorName(err))
	}
	if at.resolver != "" {
		attrs = append(attrs, attribute.String("resolver", at.resolver))
	}
	at.span.SetAttributes(attrs...)
	at.span.End()
	measured := metric.WithAttributes(attrs...)
	at.w.signIns.Add(at.ctx, 1, measured)
	at.w.took.Record(at.ctx, time.Since(at.began).Seconds(), measured)
	at.tell(err)
}

func (at *attempt) tell(err error) {
	meta := map[string]any{}
	for name, value := range map[string]string{"resolver": at.resolver, "userEntityRef": at.user, "subject": at.subject} {
		if value != "" {
			meta[name] = value
		}
	}
	if err == nil {
		if at.event != nil {
			at.event.Success(meta)
		}
		return
	}
	if at.event == nil {
		at.event = at.audited()
	}
	meta["error.name"] = errorName(err)
	at.event.Fail(err, meta)
	level, text := slog.LevelWarn, "sign-in failed"
	switch {
	case errors.Is(err, errNobody):
		level, text = slog.LevelInfo, "sign-in of somebody who is not in the catalog"
	case errors.Is(err, apierr.ServiceUnavailable) || !hasKind(err):
		level = slog.LevelError
	}
	at.w.log.Log(at.ctx, level, text, "provider", at.meta["provider"], "env", at.meta["env"], "flow", at.meta["flow"], "resolver", at.resolver, "subject", at.subject, "error", err)
}

// signOut begins the event of a sign-out.
func (w *watch) signOut(r *http.Request, provider, env string) backend.AuditedEvent {
	return w.audit.CreateEvent(r.Context(), backend.AuditEvent{ID: "sign-out", Severity: backend.AuditMedium, Request: r,
		Meta: map[string]any{"provider": provider, "env": env}})
}

func hasKind(err error) bool {
	_, ok := apierr.KindOf(err)
	return ok
}

// errorName is the name of an error on the wire.
func errorName(err error) string {
	k, _ := apierr.KindOf(err)
	return k.Name()
}
