package telemetry

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// An exchange is one request while it is observed. It belongs to the goroutine that
// serves the request.
type exchange struct {
	live   *live
	span   trace.Span // nil without traces
	method string
	began  time.Time
	plugin string
	route  string
}

type exchangeKey struct{}

// Request is called when a request has come in. It returns the request to go on with, and
// what to call with the status of the answer, or nil.
func (t *Telemetry) Request(r *http.Request) (*http.Request, func(status int)) {
	l := t.live.Load()
	remote := l.carried(r.Header)
	if l == nil && !remote {
		return r, nil
	}
	ctx := r.Context()
	if remote {
		ctx = l.propagator().Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if l == nil || strings.HasPrefix(r.URL.Path, "/.backstage/health/") {
		return r.WithContext(ctx), nil // nobody wants to see the probes of a load balancer
	}
	x := &exchange{live: l, method: knownMethod(r.Method), began: time.Now()}
	if l.tracer != nil {
		ctx, x.span = l.tracer.Start(ctx, x.method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", x.method), attribute.String("url.scheme", httpx.ClientOf(r).Scheme),
			attribute.String("url.path", r.URL.Path), attribute.String("server.address", r.Host)))
	}
	return r.WithContext(context.WithValue(ctx, exchangeKey{}, x)), x.end
}

// knownMethod bounds the values of an attribute that clients choose.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "_OTHER"
}

func (x *exchange) end(status int) {
	if status == 0 {
		status = http.StatusOK
	}
	if x.span != nil {
		if x.route != "" {
			x.span.SetName(x.method + " " + x.route)
			x.span.SetAttributes(attribute.String("http.route", x.route))
		}
		if x.plugin != "" {
			x.span.SetAttributes(attribute.String("backstage.plugin.id", x.plugin))
		}
		x.span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= 500 {
			x.span.SetStatus(codes.Error, "")
		}
		x.span.End()
	}
	if x.live.requests != nil {
		attrs := []attribute.KeyValue{attribute.String("http.request.method", x.method), attribute.Int("http.response.status_code", status)}
		if x.route != "" {
			attrs = append(attrs, attribute.String("http.route", x.route))
		}
		x.live.requests.Record(context.Background(), time.Since(x.began).Seconds(), metric.WithAttributes(attrs...))
	}
}

// Routes is next, with the patterns of its routes as the names of what is observed.
// pattern returns the one that a request matches, or nothing; it is httpx.Mux.Pattern.
func (t *Telemetry) Routes(plugin string, pattern func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.live.Load() != nil {
			if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
				x.plugin = plugin
				path := pattern(r)
				if _, after, ok := strings.Cut(path, " "); ok {
					path = after // without the method
				}
				if path != "" {
					x.route = "/api/" + plugin + path
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Guard is g, and notes who calls.
func (t *Telemetry) Guard(g httpx.Guard) httpx.Guard {
	return func(r *http.Request, access httpx.Access) (*http.Request, error) {
		out, err := g(r, access)
		if err == nil && t.live.Load() != nil {
			if span := trace.SpanFromContext(out.Context()); span.IsRecording() {
				span.SetAttributes(caller(httpx.CallerOf(out), t.opts.Tracing.Capture.EndUser)...)
			}
		}
		return out, err
	}
}
