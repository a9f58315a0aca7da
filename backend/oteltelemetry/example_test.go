package oteltelemetry_test

import (
	"context"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/oteltelemetry"
)

// Exporters are those that the environment names.
func ExampleService() {
	b := backend.New()
	b.Add(oteltelemetry.Service())
}

// Spans also go to an exporter that no environment variable names.
func ExampleWithSpanExporter() {
	b := backend.New()
	b.Add(oteltelemetry.Service(
		oteltelemetry.WithSpanExporter(func(context.Context) (trace.SpanExporter, error) { return stdouttrace.New() }),
	))
}
