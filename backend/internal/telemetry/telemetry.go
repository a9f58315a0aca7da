// Package telemetry is what the core services do with traces and measurements
// (contract/backend.md section 14). It knows the API of OpenTelemetry and not its SDK:
// who exports is decided by a feature that main adds.
//
// Without Providers it costs next to nothing: no goroutine, no allocation, one atomic
// load per request and statement. Even then a traceparent that comes in is passed on to
// other plugins and stands in the log.
package telemetry

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// serverScope is the scope of the spans and measurements of requests and statements.
const serverScope = "backstage-backend"

// Providers is where the spans and measurements of a process go. Fields that are nil
// export nothing.
type Providers struct {
	Traces  trace.TracerProvider
	Metrics metric.MeterProvider
	// Propagator reads and writes the headers that carry a trace from one process to
	// another; nil: traceparent and tracestate, as W3C has them.
	Propagator propagation.TextMapPropagator
	// Scrape answers Prometheus at backend.metrics.listen.
	Scrape http.Handler
	// Shutdown sends what is left, within the time that ctx has. It is called once, after
	// all plugins have stopped.
	Shutdown func(ctx context.Context) error
}

// Telemetry is the telemetry of one backend. It is safe for concurrent use.
type Telemetry struct {
	opts Options
	live atomic.Pointer[live]
}

// Options are what Telemetry is told about the backend.
type Options struct {
	Metrics MetricsConfig
	Tracing TracingConfig
	// System is the db.system.name of statements, such as "postgresql".
	System string
}

// live is what there is while providers are set.
type live struct {
	Providers
	tracer   trace.Tracer // nil if there are no traces
	requests metric.Float64Histogram
	headers  []string // of the propagator, as http.Header has them; nil without one
}

// New returns a Telemetry that exports nothing.
func New(opts Options) *Telemetry { return &Telemetry{opts: opts} }

// Set starts exporting. Tracers and meters that were handed out before stay silent, so it
// is called before the plugins are built.
func (t *Telemetry) Set(p Providers) error {
	l := &live{Providers: p}
	if p.Propagator != nil {
		for _, name := range p.Propagator.Fields() {
			l.headers = append(l.headers, http.CanonicalHeaderKey(name))
		}
	}
	if p.Traces != nil {
		l.tracer = p.Traces.Tracer(serverScope)
	}
	if p.Metrics != nil {
		var err error
		l.requests, err = p.Metrics.Meter(serverScope).Float64Histogram("http.server.request.duration",
			metric.WithUnit("s"), metric.WithDescription("Duration of HTTP requests."),
			metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10))
		if err != nil {
			return err
		}
	}
	t.live.Store(l)
	return nil
}

// Scrape returns what answers Prometheus; nil if nothing does.
func (t *Telemetry) Scrape() http.Handler {
	if l := t.live.Load(); l != nil {
		return l.Scrape
	}
	return nil
}

// Shutdown ends exporting. What goes on afterwards is not recorded.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	l := t.live.Swap(nil)
	if l == nil || l.Providers.Shutdown == nil {
		return nil
	}
	return l.Providers.Shutdown(ctx)
}

func (t *Telemetry) traces() trace.TracerProvider {
	if l := t.live.Load(); l != nil && l.Traces != nil {
		return l.Traces
	}
	return tracenoop.NewTracerProvider()
}

func (t *Telemetry) metrics() metric.MeterProvider {
	if l := t.live.Load(); l != nil && l.Metrics != nil {
		return l.Metrics
	}
	return metricnoop.NewMeterProvider()
}

// carried reports whether a request comes with a trace.
func (l *live) carried(h http.Header) bool {
	if l == nil || l.Propagator == nil {
		return h["Traceparent"] != nil
	}
	return slices.ContainsFunc(l.headers, func(name string) bool { return h[name] != nil })
}

// propagator is the W3C trace context unless the providers brought another one.
func (l *live) propagator() propagation.TextMapPropagator {
	if l == nil || l.Propagator == nil {
		return propagation.TraceContext{}
	}
	return l.Propagator
}
