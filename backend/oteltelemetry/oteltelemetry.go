// Package oteltelemetry exports the traces and measurements of a backend with the SDK of
// OpenTelemetry.
//
//	backend.Add(oteltelemetry.Service())
//
// Where they go is said by the environment variables of OpenTelemetry:
//
//	OTEL_TRACES_EXPORTER          otlp, console or none
//	OTEL_METRICS_EXPORTER         otlp, prometheus, console or none
//	OTEL_EXPORTER_OTLP_ENDPOINT   such as http://collector:4318; alone it means otlp for both
//	OTEL_EXPORTER_OTLP_PROTOCOL   http/protobuf or grpc
//	OTEL_SERVICE_NAME             callboard if absent
//	OTEL_RESOURCE_ATTRIBUTES      key=value,...
//	OTEL_TRACES_SAMPLER           such as parentbased_traceidratio, with OTEL_TRACES_SAMPLER_ARG
//	OTEL_SDK_DISABLED             true: nothing is exported by way of these variables
//	OTEL_PROPAGATORS              headers that carry traces: tracecontext if absent; a list of
//	                              tracecontext, baggage, b3, b3multi, jaeger, xray and ottrace, or none
//
// and by the configuration for Prometheus, which gets a port of its own:
//
//	backend:
//	  metrics:
//	    listen: :9464
//
// With none of these it does nothing: no goroutine runs and nothing is recorded. It is a
// package of its own, because SDK and exporters add a third to a small binary
// (docs/adr/0007).
package oteltelemetry

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/callboard-dev/callboard/backend"
)

// Option adds exporters that no environment variable names.
type Option func(*options)

type options struct {
	spans   []func(context.Context) (trace.SpanExporter, error)
	readers []func(context.Context) (metric.Reader, error)
}

// WithSpanExporter also sends spans to what open returns, in batches. open is called when
// a backend starts.
func WithSpanExporter(open func(context.Context) (trace.SpanExporter, error)) Option {
	return func(o *options) { o.spans = append(o.spans, open) }
}

// WithMetricReader also lets what open returns read the measurements. open is called when
// a backend starts.
func WithMetricReader(open func(context.Context) (metric.Reader, error)) Option {
	return func(o *options) { o.readers = append(o.readers, open) }
}

// Service exports the telemetry of the backend that it is added to. Errors of exporters
// go to the log of the backend that was started last: the SDK has one place for them in a
// process.
func Service(opts ...Option) backend.Feature {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return backend.NewService(backend.ExportTelemetry(o.open))
}

func (o options) open(ctx context.Context, e backend.Exporting) (backend.TelemetryProviders, error) {
	var (
		out     backend.TelemetryProviders
		spans   []trace.SpanExporter
		readers []metric.Reader
	)
	for _, open := range o.spans {
		s, err := open(ctx)
		if err != nil {
			return out, err
		}
		spans = append(spans, s)
	}
	for _, open := range o.readers {
		r, err := open(ctx)
		if err != nil {
			return out, err
		}
		readers = append(readers, r)
	}
	if enabled("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
		s, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return out, named("OTEL_TRACES_EXPORTER", err)
		}
		spans = append(spans, s)
	}
	if enabled("OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") {
		r, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return out, named("OTEL_METRICS_EXPORTER", err)
		}
		readers = append(readers, r)
	}
	if e.Scrape {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		r, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
		if err != nil {
			return out, err
		}
		readers = append(readers, r)
		out.Scrape = promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(e.Log.Handler(), slog.LevelWarn)})
	}
	var err error
	if out.Propagator, err = propagator(); err != nil {
		return out, err
	}
	if len(spans) == 0 && len(readers) == 0 {
		return out, nil
	}
	res, err := describe(ctx)
	if err != nil {
		return out, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { e.Log.Warn("telemetry is not exported", "error", err) }))
	var stops []func(context.Context) error
	if len(spans) > 0 {
		tp := []trace.TracerProviderOption{trace.WithResource(res)}
		for _, s := range spans {
			tp = append(tp, trace.WithBatcher(s))
		}
		p := trace.NewTracerProvider(tp...)
		out.Traces, stops = p, append(stops, p.Shutdown)
	}
	if len(readers) > 0 {
		mp := []metric.Option{metric.WithResource(res)}
		for _, r := range readers {
			mp = append(mp, metric.WithReader(r))
		}
		p := metric.NewMeterProvider(mp...)
		out.Metrics, stops = p, append(stops, p.Shutdown)
	}
	out.Shutdown = func(ctx context.Context) error {
		var errs []error
		for _, stop := range stops {
			errs = append(errs, stop(ctx))
		}
		return errors.Join(errs...)
	}
	return out, nil
}

// enabled reports whether the environment asks for an exporter. The SDK's own default is
// a collector on this machine; a portal that was asked for nothing sends nothing.
func enabled(exporter, endpoint string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch os.Getenv(exporter) {
	case "none":
		return false
	case "":
		return os.Getenv(endpoint) != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	}
	return true
}

func named(variable string, err error) error {
	return backend.Fix("environment variable "+variable+": "+err.Error(), "set it to otlp or none")
}

// propagator is what OTEL_PROPAGATORS names; nil if it is absent. It counts without
// exporters, and with OTEL_SDK_DISABLED, so that the traces of others are handed on.
func propagator() (propagation.TextMapPropagator, error) {
	const variable = "OTEL_PROPAGATORS"
	text := os.Getenv(variable)
	if text == "" {
		return nil, nil
	}
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	p, err := autoprop.TextMapPropagator(names...)
	if err != nil {
		return nil, backend.Fix("environment variable "+variable+": "+err.Error(),
			"set it to a list of tracecontext, baggage, b3, b3multi, jaeger, xray and ottrace, or to none")
	}
	return p, nil
}

// describe is the process, as far as the environment does not say otherwise.
func describe(ctx context.Context) (*resource.Resource, error) {
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "callboard")),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil && res == nil {
		return nil, err
	}
	return res, nil // parts that cannot be found out are missing, no more
}
