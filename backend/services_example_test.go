package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// runExample runs features with a small configuration until ready is closed.
func runExample(ready <-chan struct{}, features ...backend.Feature) {
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  listen: "127.0.0.1:0"
  actions: {pluginSources: [greeter]}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(features...)
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	<-ready
	if err := b.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
}

// A plugin hands out work by events, and another does it. The loop ends with the
// plugin; an event whose turn of the loop was not finished comes again.
func ExampleEvents() {
	done := make(chan struct{})
	mailer := backend.NewPlugin("mailer", fx.Invoke(func(events backend.Events, bg *backend.Background, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() {
			bg.Go(func(ctx context.Context) {
				for e, err := range events.Subscribe(ctx, "welcome", "user.created") {
					if err != nil {
						continue // events cannot be read at the moment; the loop goes on when they can
					}
					fmt.Printf("welcome, %s\n", e.Payload)
					close(done)
					return
				}
			})
		}))
	}))
	accounts := backend.NewPlugin("accounts", fx.Invoke(func(events backend.Events, bg *backend.Background, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() {
			bg.Go(func(ctx context.Context) {
				for ctx.Err() == nil { // only what is published after a subscription comes
					_ = events.Publish(ctx, "user.created", map[string]string{"name": "alice"})
					select {
					case <-done:
						return
					case <-time.After(10 * time.Millisecond):
					}
				}
			})
		}))
	}))
	runExample(done, mailer, accounts)
	// Output: welcome, {"name":"alice"}
}

// A cache is asked first, and filled afterwards. It never fails: at worst it is empty.
func ExampleCache() {
	done := make(chan struct{})
	weather := backend.NewPlugin("weather", fx.Invoke(func(cache backend.Cache, life fx.Lifecycle) {
		cache = backend.CacheWithTTL(cache, 10*time.Minute)
		forecast := func(ctx context.Context, city string) (string, error) {
			if v, ok, err := cache.Get(ctx, city); err != nil || ok {
				return string(v) + " (kept)", err
			}
			v := "rain in " + city // asked for at a slow place
			return v, cache.Set(ctx, city, []byte(v), 0)
		}
		life.Append(fx.StartHook(func(ctx context.Context) error {
			for range 2 {
				v, err := forecast(ctx, "Bergen")
				if err != nil {
					return err
				}
				fmt.Println(v)
			}
			close(done)
			return nil
		}))
	}))
	runExample(done, weather)
	// Output:
	// rain in Bergen
	// rain in Bergen (kept)
}

// GreetInput is the input of the action greet.
type GreetInput struct {
	Name  string `json:"name" doc:"whom to greet" minLength:"1"`
	Style string `json:"style,omitempty" doc:"how" enum:"polite,short" default:"polite"`
}

// GreetOutput is its output.
type GreetOutput struct {
	Text string `json:"text" doc:"the greeting"`
}

// An action is a function with a description. Its schemas come from the Go types.
func ExampleNewAction() {
	greet := backend.NewAction(backend.ActionOptions{
		Name:        "greet",
		Title:       "Greet somebody",
		Description: "Writes a greeting for a person.",
		ReadOnly:    true,
		Idempotent:  true,
		Examples:    []backend.ActionExample{{Title: "Greet Alice", Input: GreetInput{Name: "Alice"}}},
	}, func(_ context.Context, call backend.ActionCall[GreetInput]) (GreetOutput, error) {
		if call.Input.Style == "short" {
			return GreetOutput{Text: "Hi " + call.Input.Name}, nil
		}
		return GreetOutput{Text: "Good morning, " + call.Input.Name}, nil
	})
	greeter := backend.NewPlugin("greeter", fx.Invoke(func(a *backend.Actions) { a.Register(greet) }))

	// Another plugin, perhaps in another process, finds the action and invokes it.
	done := make(chan struct{})
	assistant := backend.NewPlugin("assistant", fx.Invoke(func(actions backend.ActionsClient, auth backend.Auth, bg *backend.Background, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() {
			bg.Go(func(ctx context.Context) {
				defer close(done)
				list, err := actions.List(ctx, auth.Own())
				for _, a := range list {
					fmt.Println(a.ID, "read only:", a.Attributes.ReadOnly)
				}
				out, err2 := actions.Invoke(ctx, auth.Own(), "greeter:greet", json.RawMessage(`{"name":"Alice"}`), nil)
				if err := errors.Join(err, err2); err != nil {
					fmt.Println(err)
				}
				fmt.Println(string(out))
			})
		}))
	}))
	runExample(done, greeter, assistant)
	// Output:
	// greeter:greet read only: true
	// {"text":"Good morning, Alice"}
}

// countingCache counts what is asked of a cache.
type countingCache struct {
	backend.Cache
	plugin backend.PluginID
}

// Get implements backend.Cache.
func (c countingCache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	fmt.Printf("%s asks for %s\n", c.plugin, key)
	return c.Cache.Get(ctx, key)
}

// Every plugin's cache is replaced by one that also does something else. Events,
// Actions and all other services are replaced alike.
func ExampleNewPluginService_cache() {
	count := backend.NewPluginService(func(id backend.PluginID, base backend.Cache) (backend.Cache, error) {
		return countingCache{base, id}, nil
	})
	done := make(chan struct{})
	plugin := backend.NewPlugin("weather", fx.Invoke(func(cache backend.Cache, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			_, _, err := cache.Get(ctx, "Bergen")
			return err
		}))
	}))
	runExample(done, count, plugin)
	// Output: weather asks for Bergen
}

// mapStore is a cache store of one's own: the simplest one.
type mapStore struct {
	mu     sync.Mutex
	values map[string][]byte
}

// Get implements backend.CacheStore.
func (m *mapStore) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, ok, nil
}

// Set implements backend.CacheStore. This store keeps everything.
func (m *mapStore) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = append([]byte(nil), value...)
	return nil
}

// Delete implements backend.CacheStore.
func (m *mapStore) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

// Close implements backend.CacheStore.
func (m *mapStore) Close() error { return nil }

// With this service in main, app-config.yaml may say backend.cache.store: map.
func ExampleCacheStoreOption() {
	service := backend.NewService(backend.CacheStoreOption(
		func(*config.Config, *slog.Logger) (backend.CacheStore, error) {
			return &mapStore{values: map[string][]byte{}}, nil
		}, "map"))
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend: {baseUrl: "http://localhost:7007", cache: {store: map}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(service)
	fmt.Println(b.Check())
	// Output: <nil>
}
