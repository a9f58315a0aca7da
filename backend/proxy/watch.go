package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/callboard-dev/callboard/backend"
)

// watch tells of requests to targets: a span and a measurement for each, and an audit event for
// those that may change something, that were refused because of their path, or that become a
// WebSocket. Queries, headers and bodies are told nowhere.
type watch struct {
	tracer trace.Tracer
	audit  backend.Auditor
	took   metric.Float64Histogram
}

func newWatch(tracer trace.Tracer, meter metric.Meter, audit backend.Auditor) (*watch, error) {
	took, err := meter.Float64Histogram("proxy.request.duration", metric.WithUnit("s"), metric.WithDescription("How long requests to targets took, until their answer had passed."))
	return &watch{tracer, audit, took}, err
}

// watched is one request while it is on its way.
type watched struct {
	w      *watch
	ctx    context.Context
	span   trace.Span
	event  backend.AuditedEvent // nil for requests that only read
	began  time.Time
	path   string // of the endpoint
	method string
}

// begin begins to watch a request that goes to a target. If the caller's trace is to reach the
// target, header says so.
func (w *watch) begin(r *http.Request, rt *route, out *http.Request) *watched {
	x := &watched{w: w, began: time.Now(), path: rt.path, method: method(r.Method)}
	x.ctx, x.span = w.tracer.Start(r.Context(), "proxy.request", trace.WithSpanKind(trace.SpanKindClient))
	if x.span.IsRecording() {
		x.span.SetAttributes(x.known()...)
		x.span.SetAttributes(attribute.String("server.address", rt.host))
	}
	if rt.requests["Traceparent"] {
		propagation.TraceContext{}.Inject(x.ctx, propagation.HeaderCarrier(out.Header))
	}
	if !repeatable(r.Method) || websocket(r) {
		x.event = w.event(r, rt)
	}
	return x
}

func (w *watch) event(r *http.Request, rt *route) backend.AuditedEvent {
	return w.audit.CreateEvent(r.Context(), backend.AuditEvent{ID: "proxy-request", Severity: backend.AuditMedium, Request: r,
		Meta: map[string]any{"endpoint": rt.path, "method": r.Method, "path": r.URL.EscapedPath()}})
}

// refused tells of a path that leads out of the target's.
func (w *watch) refused(r *http.Request, rt *route) {
	w.event(r, rt).Fail(errors.New("the path does not stay below the target's"), nil)
}

// end tells what became of it: the status of the answer, and why there is none or only a part.
func (x *watched) end(status int, err error) {
	recording, measured := x.span.IsRecording(), x.w.took.Enabled(x.ctx)
	if recording || measured {
		outcome := "answered"
		if err != nil {
			outcome = "failed"
		}
		attrs := []attribute.KeyValue{attribute.String("outcome", outcome), attribute.Int("http.response.status_code", status)}
		if recording {
			x.span.SetAttributes(attrs...)
			if err != nil || status >= 500 {
				x.span.SetStatus(codes.Error, "")
			}
		}
		if measured {
			x.w.took.Record(x.ctx, time.Since(x.began).Seconds(), metric.WithAttributes(append(attrs, x.known()...)...))
		}
	}
	x.span.End()
	if x.event == nil {
		return
	}
	meta := map[string]any{"status": status}
	if err == nil && status >= 400 {
		err = fmt.Errorf("the target has answered with status %d", status)
	}
	if err != nil {
		x.event.Fail(err, meta)
	} else {
		x.event.Success(meta)
	}
}

// known is what is known before there is an answer.
func (x *watched) known() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("proxy.endpoint", x.path), attribute.String("http.request.method", x.method)}
}

// method bounds the values of an attribute that clients choose.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "_OTHER"
}
