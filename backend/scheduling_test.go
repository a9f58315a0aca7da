package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

var byHand = config.Schedule{Frequency: config.Cadence{Manual: true}, Timeout: config.Duration(time.Minute)}

// scheduling is a plugin that schedules one task, which runs when it is told to.
func scheduling(id string, run func(context.Context, db.DB) error) backend.Feature {
	return backend.NewPlugin(id, fx.Invoke(func(s backend.Scheduler, d db.DB) error {
		return s.Schedule("prices", byHand, func(ctx context.Context) error { return run(ctx, d) })
	}))
}

// TestTasksOverHTTP holds who may see and run tasks, and that a plugin without tasks has no
// such routes.
func TestTasksOverHTTP(t *testing.T) {
	t.Parallel()
	ran := make(chan error, 1)
	b := backendtest.Start(t, "", backend.NewPlugin("idle"), scheduling("costs", func(ctx context.Context, d db.DB) error {
		err := d.Tx(ctx, func(c db.Conn) error { return backend.Fenced(ctx, c) })
		ran <- err
		return err
	}))
	alice := b.As("user:default/alice")
	for _, tt := range []struct {
		name   string
		client *http.Client
		method string
		path   string
		want   string
	}{
		{"nobody sees tasks", http.DefaultClient, "GET", "costs/.backstage/scheduler/v1/tasks", "401 AuthenticationError"},
		{"nobody runs tasks", http.DefaultClient, "POST", "costs/.backstage/scheduler/v1/tasks/prices/trigger", "401 AuthenticationError"},
		{"a user sees tasks", alice, "GET", "costs/.backstage/scheduler/v1/tasks", `200 "taskId":"prices"`},
		{"a user runs tasks", alice, "POST", "costs/.backstage/scheduler/v1/tasks/prices/trigger", "200 "},
		{"another plugin does", b.AsPlugin("idle"), "GET", "costs/.backstage/scheduler/v1/tasks", `200 "taskId":"prices"`},
		{"an unknown task", alice, "POST", "costs/.backstage/scheduler/v1/tasks/nope/trigger", "404 NotFoundError"},
		{"a plugin without tasks", alice, "GET", "idle/.backstage/scheduler/v1/tasks", "404 "},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, b.URL+"/api/"+tt.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tt.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		status, text, _ := strings.Cut(tt.want, " ")
		if fmt.Sprint(res.StatusCode) != status || !strings.Contains(string(body), text) || text == "" && len(body) > 0 {
			t.Errorf("%s: %d %s, want %s", tt.name, res.StatusCode, body, tt.want)
		}
	}
	if err := <-ran; err != nil {
		t.Errorf("the run was fenced: %v", err)
	}
}

// measured is a metric.MeterProvider that keeps the names of what was measured, with the
// result if there is one.
type measured struct {
	metricnoop.MeterProvider

	mu    sync.Mutex
	names map[string]bool
}

func (m *measured) Meter(string, ...metric.MeterOption) metric.Meter { return meter{m: m} }

func (m *measured) keep(name string, set interface{ Len() int }, result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[strings.TrimSpace(fmt.Sprintf("%s %d %s", name, set.Len(), result))] = true
}

func (m *measured) list() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.names))
}

type meter struct {
	metricnoop.Meter
	m *measured
}

type (
	counter struct {
		metricnoop.Int64Counter
		m    *measured
		name string
	}
	histogram struct {
		metricnoop.Float64Histogram
		m    *measured
		name string
	}
	gauge struct {
		metricnoop.Float64Gauge
		m    *measured
		name string
	}
)

func (m meter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{m: m.m, name: name}, nil
}

func (m meter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return histogram{m: m.m, name: name}, nil
}

func (m meter) Float64Gauge(name string, _ ...metric.Float64GaugeOption) (metric.Float64Gauge, error) {
	return gauge{m: m.m, name: name}, nil
}

func (c counter) Add(_ context.Context, _ int64, opts ...metric.AddOption) {
	set := metric.NewAddConfig(opts).Attributes()
	result, _ := set.Value("result")
	c.m.keep(c.name, &set, result.AsString())
}

func (h histogram) Record(_ context.Context, _ float64, opts ...metric.RecordOption) {
	set := metric.NewRecordConfig(opts).Attributes()
	result, _ := set.Value("result")
	h.m.keep(h.name, &set, result.AsString())
}

func (g gauge) Record(_ context.Context, _ float64, opts ...metric.RecordOption) {
	set := metric.NewRecordConfig(opts).Attributes()
	g.m.keep(g.name, &set, "")
}

// TestTasksAreMeasured holds the names, numbers of attributes and results of
// contract/backend.md section 14.
func TestTasksAreMeasured(t *testing.T) {
	t.Parallel()
	m := &measured{names: map[string]bool{}}
	outcomes := make(chan error, 2)
	outcomes <- errors.New("no price list")
	outcomes <- nil
	b := backendtest.Start(t, "", scheduling("costs", func(context.Context, db.DB) error { return <-outcomes }),
		backend.NewService(backend.ExportTelemetry(func(context.Context, backend.Exporting) (backend.TelemetryProviders, error) {
			return backend.TelemetryProviders{Metrics: m}, nil
		})))
	want := []string{
		"backend_tasks.task.runs.completed 1",
		"backend_tasks.task.runs.count 3 completed", "backend_tasks.task.runs.count 3 failed", "backend_tasks.task.runs.count 3 started",
		"backend_tasks.task.runs.duration 3 completed", "backend_tasks.task.runs.duration 3 failed",
		"backend_tasks.task.runs.started 1",
	}
	tasks := func() []string {
		return slices.DeleteFunc(m.list(), func(n string) bool { return !strings.HasPrefix(n, "backend_tasks") })
	}
	for _, result := range []string{"failed", "completed"} {
		b.RunTask("costs", "prices")
		for end := time.Now().Add(20 * time.Second); !slices.Contains(tasks(), "backend_tasks.task.runs.duration 3 "+result); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("measured within 20 s: %q", tasks())
			}
		}
		// Its outcome is written after it was measured, and a task that runs cannot be run.
		for strings.Contains(tasksOf(t, b), `"status":"running"`) {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if got := tasks(); !slices.Equal(got, want) {
		t.Errorf("measured\n%q, want\n%q", got, want)
	}
}

func tasksOf(t *testing.T, b *backendtest.Backend) string {
	t.Helper()
	_, body := get(t, b.AsPlugin("costs"), b.URL+"/api/costs/.backstage/scheduler/v1/tasks")
	return body
}

// TestAPoolerForLocksIsABootError holds that a backend does not start when a lock that is
// taken would not be held, and names the key.
func TestAPoolerForLocksIsABootError(t *testing.T) {
	t.Parallel()
	yaml := fmt.Sprintf("backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0', database: {client: pg, pluginDivisionMode: schema, connection: %q, lockConnection: 'postgres://u@127.0.0.1:%d/x'}}", pgtest.New(t), pgtest.Pooler(t))
	if err := start(t, yaml, backend.NewPlugin("idle")); err != nil {
		t.Errorf("without tasks: %v", err)
	}
	const want = "backend.database.lockConnection: locks do not hold on 127.0.0.1: it is a pooler in transaction mode; name the PostgreSQL server itself here"
	err := start(t, yaml, scheduling("costs", func(context.Context, db.DB) error { return nil }))
	var boot *backend.BootError
	if !errors.As(err, &boot) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// start starts a backend and stops it again.
func start(t *testing.T, yaml string, f backend.Feature) error {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(f)
	if err := b.Start(t.Context()); err != nil {
		return err
	}
	return b.Stop(context.WithoutCancel(t.Context()))
}
