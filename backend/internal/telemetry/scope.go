package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// MetricsConfig is backend.metrics.
type MetricsConfig struct {
	Listen Address                  `config:"listen" doc:"where Prometheus may scrape /metrics: port, \":port\" or \"host:port\"; nowhere if absent"`
	Plugin map[string]PluginMetrics `config:"plugin" doc:"how the meters of plugins are called, by plugin id"`
}

// PluginMetrics is backend.metrics.plugin.<id>.
type PluginMetrics struct {
	Meter Scope `config:"meter" doc:"the scope of the plugin's measurements"`
}

// TracingConfig is backend.tracing.
type TracingConfig struct {
	Plugin  map[string]PluginTracing `config:"plugin" doc:"how the tracers of plugins are called, by plugin id"`
	Capture Capture                  `config:"capture" doc:"what spans say about people"`
}

// PluginTracing is backend.tracing.plugin.<id>.
type PluginTracing struct {
	Tracer Scope `config:"tracer" doc:"the scope of the plugin's spans"`
}

// Capture is backend.tracing.capture.
type Capture struct {
	EndUser bool `config:"endUser" doc:"spans name the user who called"`
}

// Scope is the instrumentation scope that a tracer or a meter has.
type Scope struct {
	Name      string `config:"name" doc:"backstage-plugin-<id> if absent"`
	Version   string `config:"version" doc:"the version of the scope"`
	SchemaURL string `config:"schemaUrl" doc:"the schema of the names used"`
}

func (s Scope) named(plugin string) string {
	if s.Name != "" {
		return s.Name
	}
	return "backstage-plugin-" + plugin
}

// Address is a place to listen at; the zero value is none.
type Address struct{ text string }

// UnmarshalConfig implements config.Unmarshaler.
func (a *Address) UnmarshalConfig(c *config.Config) error {
	text, err := address(c.Value(""))
	if err == nil {
		a.text = text
	}
	return err
}

var errAddress = errors.New(`expected a port, ":port" or "host:port"`)

// Meter returns the meter of a plugin.
func (t *Telemetry) Meter(plugin string) metric.Meter {
	s := t.opts.Metrics.Plugin[plugin].Meter
	return t.metrics().Meter(s.named(plugin), metric.WithInstrumentationVersion(s.Version), metric.WithSchemaURL(s.SchemaURL))
}

// Tracer returns the tracer of a plugin. Its spans say which plugin made them and on
// whose behalf.
func (t *Telemetry) Tracer(plugin string) trace.Tracer {
	s := t.opts.Tracing.Plugin[plugin].Tracer
	return t.tracer(plugin, s.named(plugin), trace.WithInstrumentationVersion(s.Version), trace.WithSchemaURL(s.SchemaURL))
}

// schedulerScope is what dashboards know the runs of scheduled tasks by
// (contract/backend.md section 14).
const schedulerScope = "backstage-service-scheduler"

// SchedulerTracer is the tracer of the runs of a plugin's scheduled tasks. Its scope is
// the same for all plugins; the spans say whose they are.
func (t *Telemetry) SchedulerTracer(plugin string) trace.Tracer {
	return t.tracer(plugin, schedulerScope)
}

func (t *Telemetry) tracer(plugin, scope string, opts ...trace.TracerOption) trace.Tracer {
	return pluginTracer{
		Tracer: t.traces().Tracer(scope, opts...),
		plugin: attribute.String("backstage.plugin.id", plugin), endUser: t.opts.Tracing.Capture.EndUser,
	}
}

type pluginTracer struct {
	trace.Tracer
	plugin  attribute.KeyValue
	endUser bool
}

// Start implements trace.Tracer.
func (p pluginTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := p.Tracer.Start(ctx, name, opts...)
	if span.IsRecording() {
		span.SetAttributes(append(caller(httpx.CallerFrom(ctx), p.endUser), p.plugin)...)
	}
	return ctx, span
}

// caller describes who calls, and names people only if that is configured.
func caller(c principal.Credentials, endUser bool) []attribute.KeyValue {
	out := []attribute.KeyValue{attribute.String("backstage.principal.type", c.Type())}
	if u, ok := c.User(); ok && endUser {
		out = append(out, attribute.String("enduser.id", u.Ref))
	}
	return out
}
