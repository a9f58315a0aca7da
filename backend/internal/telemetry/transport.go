package telemetry

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Transport is next, with the trace of the caller handed on to whom it calls.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper { return &transport{t, next} }

type transport struct {
	t    *Telemetry
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The span ends when the answer begins.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	l := t.t.live.Load()
	// What a propagator of one's own carries need not be a trace: baggage is none.
	if !trace.SpanContextFromContext(ctx).IsValid() && (l == nil || l.Propagator == nil) {
		return t.next.RoundTrip(r)
	}
	var span trace.Span
	if l != nil && l.tracer != nil && trace.SpanContextFromContext(ctx).IsValid() {
		ctx, span = l.tracer.Start(ctx, knownMethod(r.Method), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("http.request.method", knownMethod(r.Method)), attribute.String("server.address", r.URL.Host),
			attribute.String("url.path", r.URL.Path)))
		defer span.End()
	}
	r = r.Clone(ctx)
	l.propagator().Inject(ctx, propagation.HeaderCarrier(r.Header))
	res, err := t.next.RoundTrip(r)
	if span == nil {
		return res, err
	}
	if err != nil {
		span.SetStatus(codes.Error, "")
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
	if res.StatusCode >= 400 {
		span.SetStatus(codes.Error, "")
	}
	return res, nil
}
