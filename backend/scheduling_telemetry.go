package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
)

// taskInstruments measure the runs of scheduled tasks (contract/backend.md section 14).
type taskInstruments struct {
	runs               metric.Int64Counter
	duration           metric.Float64Histogram
	started, completed metric.Float64Gauge
}

func newTaskInstruments(m metric.Meter) (t taskInstruments, err error) {
	var errs [4]error
	t.runs, errs[0] = m.Int64Counter("backend_tasks.task.runs.count",
		metric.WithDescription("Runs of scheduled tasks, by what became of them."))
	t.duration, errs[1] = m.Float64Histogram("backend_tasks.task.runs.duration",
		metric.WithUnit("s"), metric.WithDescription("How long runs of scheduled tasks took."))
	t.started, errs[2] = m.Float64Gauge("backend_tasks.task.runs.started",
		metric.WithUnit("s"), metric.WithDescription("When the last run of a task began, in seconds since 1970."))
	t.completed, errs[3] = m.Float64Gauge("backend_tasks.task.runs.completed",
		metric.WithUnit("s"), metric.WithDescription("When a task last ended without an error, in seconds since 1970."))
	return t, errors.Join(errs[:]...)
}

// observeTasks measures and traces the runs of a plugin's tasks. The instruments are made
// with the first run: the scheduler may exist before the telemetry does.
func (c *core) observeTasks(id PluginID) func(ctx context.Context, task, scope string) (context.Context, func(error)) {
	instruments := sync.OnceValues(func() (taskInstruments, error) { return newTaskInstruments(c.telemetry.Meter(string(id))) })
	return func(ctx context.Context, task, scope string) (context.Context, func(error)) {
		in, err := instruments()
		if err != nil {
			c.log.WarnContext(ctx, "scheduled tasks are not measured", "plugin", string(id), "error", err)
			return ctx, func(error) {}
		}
		ctx, span := c.telemetry.SchedulerTracer(string(id)).Start(ctx, "task "+task)
		name := attribute.String("taskId", task)
		with := func(result string) metric.MeasurementOption {
			return metric.WithAttributes(name, attribute.String("scope", scope), attribute.String("result", result))
		}
		start := time.Now()
		in.runs.Add(ctx, 1, with("started"))
		in.started.Record(ctx, epoch(start), metric.WithAttributes(name))
		return ctx, func(err error) {
			end, result := time.Now(), "completed"
			if err != nil {
				result = "failed"
				span.SetStatus(codes.Error, "") // the message may quote anything
			} else {
				in.completed.Record(ctx, epoch(end), metric.WithAttributes(name))
			}
			in.runs.Add(ctx, 1, with(result))
			in.duration.Record(ctx, end.Sub(start).Seconds(), with(result))
			span.End()
		}
	}
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
