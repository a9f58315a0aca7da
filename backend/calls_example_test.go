package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// greeting asks the plugin greeter in the name of c, wherever that plugin runs.
func greeting(ctx context.Context, clients backend.Clients, c backend.Credentials) (string, error) {
	client, base, err := clients.Client(ctx, c, "greeter")
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/greeting", nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", apierr.FromResponse(res)
	}
	var text string
	err = json.NewDecoder(res.Body).Decode(&text)
	return text, err
}

// One plugin calls another as itself. In a handler it would pass httpx.CallerOf(r) on
// instead, and act for whoever has called it.
func ExampleClients() {
	done := make(chan struct{})
	greeter := backend.NewPlugin("greeter", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /greeting", func(w http.ResponseWriter, r *http.Request) error {
			return httpx.JSON(w, http.StatusOK, "hello, "+httpx.CallerOf(r).String())
		})
	}))
	visitor := backend.NewPlugin("visitor", fx.Invoke(func(clients backend.Clients, a backend.Auth, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			text, err := greeting(ctx, clients, a.Own())
			fmt.Println(text)
			return err
		}))
	}))
	runExample(done, greeter, visitor)
	// Output: hello, plugin:visitor
}

// staticUsers knows what users own without asking the auth plugin.
type staticUsers map[string][]string

func (s staticUsers) UserInfo(_ context.Context, c backend.Credentials) (backend.Identity, error) {
	user, _ := c.User()
	return backend.Identity{UserRef: user.Ref, OwnershipRefs: s[user.Ref]}, nil
}

// The whole process gets another UserInfo.
func ExampleUserInfo() {
	done := make(chan struct{})
	users := backend.NewService(fx.Decorate(func(backend.UserInfo) backend.UserInfo {
		return staticUsers{"user:default/alice": {"user:default/alice", "group:default/team"}}
	}))
	desk := backend.NewPlugin("desk", fx.Invoke(func(u backend.UserInfo, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			alice := backend.Credentials{Principal: principal.User{Ref: "user:default/alice"}}
			id, err := u.UserInfo(ctx, alice)
			fmt.Println(id.OwnershipRefs)
			return err
		}))
	}))
	runExample(done, users, desk)
	// Output: [user:default/alice group:default/team]
}

// worker is what a plugin makes of its tracer and its meter.
type worker struct {
	tracer trace.Tracer
	done   metric.Int64Counter
}

func newWorker(tracer trace.Tracer, meter metric.Meter) (*worker, error) {
	done, err := meter.Int64Counter("parcels.count", metric.WithDescription("Parcels that were packed."))
	return &worker{tracer, done}, err
}

func (w *worker) pack(ctx context.Context, size string) {
	ctx, span := w.tracer.Start(ctx, "parcels.pack")
	defer span.End()
	w.done.Add(ctx, 1, metric.WithAttributes(attribute.String("size", size)))
}

// Tracer and meter are injected, and are the plugin's own. Instruments are made in a
// constructor; where nothing is exported they do nothing.
func ExampleExportTelemetry() {
	done := make(chan struct{})
	parcels := backend.NewPlugin("parcels", fx.Provide(newWorker, fx.Private), fx.Invoke(func(w *worker, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) {
			defer close(done)
			w.pack(ctx, "small")
			fmt.Println("packed")
		}))
	}))
	silent := backend.NewService(backend.ExportTelemetry(func(context.Context, backend.Exporting) (backend.TelemetryProviders, error) {
		return backend.TelemetryProviders{}, nil // here a program returns its own providers
	}))
	runExample(done, parcels, silent)
	// Output: packed
}
