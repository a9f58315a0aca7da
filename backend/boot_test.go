package backend_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

var update = flag.Bool("update", false, "rewrite the golden files of boot errors")

// The features of these tests: a catalog-like plugin with an extension point, and a
// module that reads a provider's configuration.
type (
	extensions struct{ names []string }

	catalogConfig struct {
		Rules []struct {
			Allow []string `config:"allow"`
		} `config:"rules"`
	}
	githubConfig struct {
		Organization string          `config:"organization,required"`
		Schedule     config.Schedule `config:"schedule,required"`
	}
	docsConfig struct {
		Bucket string        `config:"bucketName,required"`
		Key    config.Secret `config:"secretAccessKey"`
	}
)

func (x *extensions) Add(name string) { x.names = append(x.names, name) }

func catalogPlugin() backend.Feature {
	return backend.NewPlugin("catalog",
		backend.Section("catalog", catalogConfig{}),
		backend.ExtensionPoint[extensions](),
		fx.Invoke(func(catalogConfig, *extensions, backend.Router) {}),
	)
}

func githubModule() backend.Feature {
	return backend.NewModule("catalog", "github",
		backend.Section("catalog.providers.github.production", githubConfig{}),
		fx.Invoke(func(githubConfig, *extensions) {}),
	)
}

func docsModule() backend.Feature {
	return backend.NewModule("techdocs", "awsS3", backend.Section("techdocs.publisher.awsS3", docsConfig{}), fx.Invoke(func(docsConfig) {}))
}

func docsPlugin() backend.Feature { return backend.NewPlugin("techdocs") }

type (
	costsStore struct{}
	costsRates struct{}
)

func newCosts(*costsStore, *slog.Logger) *http.Client { return nil }

func newRates(*costsStore) *costsRates { return nil }

func newStoreOfRates(*costsRates) *costsStore { return nil }

func newStore() *costsStore { return nil }

// pricesConfig has a rule over two keys besides those of its parts.
type pricesConfig struct {
	Currency string          `config:"currency"`
	From     config.Duration `config:"from"`
	To       config.Duration `config:"to"`
}

func (c *pricesConfig) Validate() error {
	var errs []error
	if len(c.Currency) != 3 {
		errs = append(errs, config.At("currency", errors.New("expected three letters")))
	}
	if c.From > c.To {
		errs = append(errs, config.At("to", errors.New("is before from")))
	}
	return errors.Join(errs...)
}

// panickingConfig cannot be checked.
type panickingConfig struct {
	Currency string `config:"currency"`
}

func (c *panickingConfig) Validate() error { panic("no currencies") }

const base = `
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  database: {client: better-sqlite3, connection: ":memory:"}
`

// TestBootErrors holds the text that a platform engineer reads when a backend does not
// start: each mistake alone, and six at once.
func TestBootErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		yaml     string
		env      []string
		features func(b *backend.Backend)
	}{
		{name: "missing-variable", yaml: `
catalog:
  providers:
    github:
      production:
        organization: ${ORG}
        schedule: {frequency: {minutes: 5}, timeout: {minutes: 3}}
`, features: func(b *backend.Backend) { b.Add(catalogPlugin(), githubModule()) }},
		{name: "wrong-type", yaml: `
catalog:
  rules:
    - allow: Component
`, features: func(b *backend.Backend) { b.Add(catalogPlugin()) }},
		{name: "wrong-type-through-a-variable", yaml: `
catalog:
  rules: ${RULES}
`, env: []string{"RULES=canary"}, features: func(b *backend.Backend) { b.Add(catalogPlugin()) }},
		{name: "unknown-unit", yaml: `
catalog:
  providers:
    github:
      production:
        organization: acme
        schedule: {frequency: {minuts: 5}, timeout: {minutes: 3}}
`, features: func(b *backend.Backend) { b.Add(catalogPlugin(), githubModule()) }},
		{name: "missing-key", yaml: `
techdocs:
  publisher:
    awsS3: {region: eu-west-1}
`, features: func(b *backend.Backend) { b.Add(docsPlugin(), docsModule()) }},
		{name: "key-under-a-wrong-parent", yaml: `
catalog:
  providers:
    github:
      production:
        organization: acme
        schedule: {frequency: {minutes: 5}}
        timeout: {minutes: 3}
`, features: func(b *backend.Backend) { b.Add(catalogPlugin(), githubModule()) }},
		{name: "missing-dependency", features: func(b *backend.Backend) {
			b.Add(catalogPlugin())
			b.Add(backend.NewPlugin("costs", fx.Provide(newCosts, fx.Private), fx.Invoke(func(*http.Client) {})))
		}},
		{name: "several-missing-dependencies", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Provide(newCosts, newRates, fx.Private), fx.Invoke(func(*http.Client) {}, func(*costsRates) {}), fx.Invoke(func(*extensions) {})))
		}},
		{name: "modules-with-missing-dependencies", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Invoke(func(*costsRates) {})))
			b.Add(backend.NewModule("costs", "one", fx.Invoke(func(*costsStore) {})))
			b.Add(backend.NewModule("costs", "two", fx.Invoke(func(*extensions) {})))
		}},
		{name: "mistakes-of-services", yaml: `
costs: {currency: euro}
`, features: func(b *backend.Backend) {
			b.Add(backend.NewService(fx.Provide(newStore), backend.Section("costs", pricesConfig{})))
			b.Add(backend.NewService(fx.Provide(newStore)))
		}},
		{name: "service-with-a-missing-dependency", features: func(b *backend.Backend) {
			b.Add(catalogPlugin(), backend.NewService(fx.Provide(newRates), fx.Invoke(func(*costsRates) {})))
		}},
		{name: "panic-in-a-hook-of-a-service", features: func(b *backend.Backend) {
			b.Add(backend.NewService(fx.Invoke(panickingHook)))
		}},
		{name: "errors-of-two-constructors", features: func(b *backend.Backend) {
			for _, id := range []string{"costs", "rates"} {
				b.Add(backend.NewPlugin(id, fx.Invoke(func() error { return errors.New("no " + id) })))
			}
		}},
		{name: "secrets-in-errors", yaml: `
techdocs: {publisher: {awsS3: {bucketName: docs, secretAccessKey: canary-7f3a}}}
`, features: func(b *backend.Backend) {
			b.Add(docsPlugin(), backend.NewModule("techdocs", "leaky", backend.Section("techdocs.publisher.awsS3", docsConfig{}), fx.Invoke(func(c docsConfig, lc fx.Lifecycle) {
				lc.Append(fx.StartHook(func() error {
					return fmt.Errorf("cannot sign in with %s, nor at https://u:%s@docs/", c.Key.Reveal(), "canary")
				}))
			})))
		}},
		{name: "panic-in-validate", yaml: "costs: {currency: EUR}\n", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", backend.Section("costs", panickingConfig{})))
		}},
		{name: "cycle", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Provide(newRates, newStoreOfRates, fx.Private), fx.Invoke(func(*costsRates) {})))
		}},
		{name: "provided-twice", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Provide(newStore, newStoreOfRates, fx.Private), fx.Invoke(func(*costsStore) {})))
		}},
		{name: "wrong-keys-and-a-rule-over-keys", yaml: `
costs: {currency: euro, from: 1x, to: 1h}
`, features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", backend.Section("costs", pricesConfig{})))
		}},
		{name: "foreign-extension-point", features: func(b *backend.Backend) {
			b.Add(catalogPlugin())
			b.Add(backend.NewPlugin("pagerduty", fx.Invoke(func(*extensions) {})))
		}},
		{name: "module-without-plugin", features: func(b *backend.Backend) { b.Add(githubModule()) }},
		{name: "misspelled-plugin-of-a-module", features: func(b *backend.Backend) {
			b.Add(catalogPlugin())
			b.Add(backend.NewModule("catalogue", "github"))
		}},
		{name: "duplicate-plugin", features: func(b *backend.Backend) {
			b.Add(catalogPlugin())
			b.Add(catalogPlugin())
		}},
		{name: "duplicate-module", features: func(b *backend.Backend) {
			b.Add(docsPlugin())
			b.Add(backend.NewModule("techdocs", "awsS3"))
			b.Add(backend.NewModule("techdocs", "awsS3"))
		}},
		{name: "plugin-id", features: func(b *backend.Backend) { b.Add(backend.NewPlugin("Cost Insights")) }},
		{name: "leaking-constructor", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Provide(func() *costsStore { return nil })))
		}},
		{name: "constructor-error", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs",
				fx.Provide(func() (*costsStore, error) {
					return nil, backend.Fix("costs.currency is missing", "set costs.currency: EUR")
				}, fx.Private),
				fx.Invoke(func(*costsStore) {})))
		}},
		{name: "panic-in-a-constructor", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Provide(newPanicking, fx.Private), fx.Invoke(func(*costsStore) {})))
		}},
		{name: "panic-in-a-hook", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Invoke(panickingHook)))
		}},
		{name: "panic-in-a-goroutine-of-a-hook", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Invoke(panickingGoroutine)))
		}},
		{name: "hook-error", features: func(b *backend.Backend) {
			b.Add(backend.NewPlugin("costs", fx.Invoke(func(lc fx.Lifecycle) {
				lc.Append(fx.StartHook(func() error { return errors.New("read the price list: connection refused") }))
			})))
		}},
		{name: "six-mistakes", yaml: `
catalog:
  rules:
    - allow: Component
  providers:
    github:
      production:
        organization: ${ORG}
        schedule: {frequency: {minuts: 5}}
`, features: func(b *backend.Backend) {
			b.Add(catalogPlugin())
			b.Add(catalogPlugin())
			b.Add(githubModule())
			b.Add(docsModule())
			b.Add(backend.NewPlugin("costs", fx.Provide(newCosts, fx.Private), fx.Invoke(func(*http.Client) {})))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("app-config.yaml", []byte(base[1:]+strings.TrimPrefix(tt.yaml, "\n")), tt.env...)
			if err != nil {
				t.Fatal(err)
			}
			b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
			tt.features(b)
			err = b.Start(t.Context())
			if err == nil {
				_ = b.Stop(context.Background())
				t.Fatal("backend started")
			}
			if _, ok := errors.AsType[*backend.BootError](err); !ok {
				t.Errorf("error is a %T, want *backend.BootError", err)
			}
			golden(t, tt.name, err.Error())
		})
	}
}

func newPanicking() *costsStore {
	panic("no price list")
}

func panickingHook(lc fx.Lifecycle) {
	lc.Append(fx.StartHook(func() { panic("no price list") }))
}

func panickingGoroutine(lc fx.Lifecycle, bg *backend.Background) {
	lc.Append(fx.StartHook(func() {
		done := make(chan struct{})
		bg.Go(func(ctx context.Context) { <-ctx.Done(); close(done) })
		bg.Go(func(context.Context) { panic("no price list") })
		<-done
	}))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "boot", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("boot error differs from %s\n--- got\n%s--- want\n%s", file, got, want)
	}
}

var _ db.DB // the scope provides it; see TestScope
