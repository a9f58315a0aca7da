package backend

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/audit"
	"github.com/callboard-dev/callboard/backend/internal/telemetry"
)

// TelemetryProviders is where the spans and measurements of a process go; see
// ExportTelemetry.
type TelemetryProviders = telemetry.Providers

// Exporting is what ExportTelemetry is told about the backend.
type Exporting struct {
	Config *config.Config
	Log    *slog.Logger
	// Scrape is set if backend.metrics.listen is: TelemetryProviders.Scrape is wanted.
	Scrape bool
}

// ExportTelemetry is an option of NewService that makes a backend export traces and
// measurements. Package oteltelemetry has the one for the exporters that the environment
// names. open is called when the backend starts, before constructors run, so that
// instruments made in constructors are real ones. It may be called again in one start,
// after the Shutdown of what it had returned, when the backend goes on without a plugin
// that could not be built. Of several, the last added counts.
func ExportTelemetry(open func(ctx context.Context, e Exporting) (TelemetryProviders, error)) fx.Option {
	return telemetryOption{Option: fx.Options(), open: open}
}

type telemetryOption struct {
	fx.Option
	open func(context.Context, Exporting) (TelemetryProviders, error)
}

// telemetrySections is the configuration of what tells about the backend.
type telemetrySections struct {
	Metrics telemetry.MetricsConfig
	Tracing telemetry.TracingConfig
	Auditor audit.Config
}

func (s *telemetrySections) decode(decode func(path string, out any)) {
	decode("backend.metrics", &s.Metrics)
	decode("backend.tracing", &s.Tracing)
	decode("backend.auditor", &s.Auditor)
}

// telemetryStop bounds how long the last spans may take to leave.
const telemetryStop = 5 * time.Second

func (c *core) newTelemetry() *telemetry.Telemetry {
	system := "postgresql"
	if !c.cfg.Has("backend.database") || c.sections.Database.Client != "pg" {
		system = "sqlite"
	}
	return telemetry.New(telemetry.Options{Metrics: c.sections.Metrics, Tracing: c.sections.Tracing, System: system})
}

// openTelemetry starts to export, if a feature of the backend does that.
func (c *core) openTelemetry(ctx context.Context, comp *composition) error {
	var option *telemetryOption
	for _, f := range comp.services {
		for _, o := range f.opts {
			if t, ok := o.(telemetryOption); ok {
				option = &t
			}
		}
	}
	listen := !c.sections.Metrics.Listen.IsZero()
	if option == nil {
		if listen {
			return config.AtWithFix("backend.metrics.listen", errors.New("is set, but nothing in this backend exports measurements"), "backend.Add(oteltelemetry.Service())")
		}
		for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
			if v := c.settings.getenv(name); v != "" && v != "none" {
				c.log.Warn("nothing in this backend exports telemetry: backend.Add(oteltelemetry.Service())", "variable", name)
				break
			}
		}
		return nil
	}
	p, err := option.open(ctx, Exporting{Config: c.cfg, Log: c.log, Scrape: listen})
	if err != nil {
		return err
	}
	if listen && p.Scrape == nil {
		err = config.At("backend.metrics.listen", errors.New("is set, but what exports the measurements of this backend does not serve Prometheus"))
	}
	if err == nil && (p.Traces != nil || p.Metrics != nil || p.Scrape != nil || p.Propagator != nil) {
		err = c.telemetry.Set(p)
	}
	if err != nil && p.Shutdown != nil {
		err = errors.Join(err, p.Shutdown(ctx))
	}
	return err
}

// listenForScrapes opens backend.metrics.listen.
func (c *core) listenForScrapes(ctx context.Context) error {
	scrape := c.telemetry.Scrape()
	if c.sections.Metrics.Listen.IsZero() || scrape == nil {
		return nil
	}
	scrapes, err := telemetry.Listen(ctx, c.sections.Metrics.Listen, scrape, c.log)
	if err != nil {
		return config.AtWithFix("backend.metrics.listen", err, "stop what listens there, or choose another address")
	}
	c.scrapes = scrapes
	c.log.Info("metrics are served", "address", c.scrapes.Addr().String(), "path", "/metrics")
	return nil
}

// closeTelemetry sends what is left. That it cannot is no reason to call a stop a failure.
func (c *core) closeTelemetry() {
	if c.scrapes != nil {
		_ = c.scrapes.Close()
	}
	if c.telemetry == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), telemetryStop)
	defer cancel()
	if err := c.telemetry.Shutdown(ctx); err != nil {
		c.log.Warn("the last telemetry was not sent", "error", err)
	}
}

// telemetryServices are the tracer and the meter of a plugin, in its own scope.
func (c *core) telemetryServices(id PluginID) fx.Option {
	return fx.Provide(
		func() trace.Tracer { return c.telemetry.Tracer(string(id)) },
		func() metric.Meter { return c.telemetry.Meter(string(id)) },
		fx.Private,
	)
}
