// Package backendtest boots whole backends in tests: real routing, real token checks,
// real SQLite, on a port of their own.
//
//	b := backendtest.Start(t, `catalog: {rules: [{allow: [Component]}]}`, catalog.Plugin())
//	res, err := b.As("user:default/alice").Get(b.URL + "/api/catalog/entities")
//
// Every graph is built twice, so that a constructor with side effects shows. The backend
// goes by a clock that Advance moves.
//
// For unit tests there are fakes of single core services: Auth, Users, Clients, Discovery,
// Installed (metadata), Scheduler, Cache, Events, Actions, Grants (permissions of actions),
// Rates, Audit and Health, with a Clock for those that need one. Those of the URL reader
// are in scm/scmtest, databases in db/dbtest.
package backendtest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// stopTimeout bounds the stop at the end of a test.
const stopTimeout = 20 * time.Second

// Backend is a running backend.
type Backend struct {
	// URL is where it listens, without a slash at the end.
	URL string

	t       testing.TB
	backend *backend.Backend
	tokens  *tokenMaker
	clock   *Clock
}

// Start boots features with the given YAML as their whole configuration, on SQLite in a
// temporary directory, and stops them when the test ends. What the YAML does not say of
// backend.baseUrl, backend.listen and backend.database is filled in. It fails the test on
// a *backend.BootError.
func Start(t testing.TB, yaml string, features ...backend.Feature) *Backend {
	t.Helper()
	b, err := Boot(t, yaml, features...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Boot is Start for tests of what does not start.
func Boot(t testing.TB, yaml string, features ...backend.Feature) (*Backend, error) {
	t.Helper()
	cfg, err := Config(t, yaml)
	if err != nil {
		return nil, err
	}
	tokens, clock := &tokenMaker{}, &Clock{}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(logTo(t)), backend.Rehearse(), backend.Development(), backend.WithClock(clock))
	b.Add(features...)
	b.Add(tokens.features(features)...)
	if err := b.Start(t.Context()); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("stopping the backend: %v", err)
		}
	})
	return &Backend{URL: "http://" + b.Addr().String(), t: t, backend: b, tokens: tokens, clock: clock}, nil
}

// Config parses YAML as Start does.
func Config(t testing.TB, yaml string) (*config.Config, error) {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		return nil, err
	}
	var fill []string
	for path, value := range map[string]string{
		"backend.baseUrl":  `"http://localhost:7007"`,
		"backend.listen":   `"127.0.0.1:0"`,
		"backend.database": fmt.Sprintf(`{"client": "better-sqlite3", "connection": {"directory": %q}}`, filepath.Join(t.TempDir(), "db")),
	} {
		if !cfg.Has(path) {
			fill = append(fill, "APP_CONFIG_"+strings.ReplaceAll(path, ".", "_")+"="+value)
		}
	}
	return config.Parse("app-config.yaml", []byte(yaml), fill...)
}

// As returns a client that carries the token of a user. The user need not be in the
// catalog.
func (b *Backend) As(userRef string) *http.Client {
	b.t.Helper()
	token, _, err := b.tokens.users.Issue(b.t.Context(), userRef, []string{userRef})
	if err != nil {
		b.t.Fatalf("issue a token for %s: %v", userRef, err)
	}
	return bearer(func(*http.Request) (string, error) { return token, nil })
}

// AsPlugin returns a client that carries the service token of a plugin of this backend,
// towards whichever plugin it calls.
func (b *Backend) AsPlugin(id string) *http.Client {
	b.t.Helper()
	auth, ok := b.tokens.plugins[id]
	if !ok {
		b.t.Fatalf("plugin %q is not part of this backend", id)
	}
	return bearer(func(r *http.Request) (string, error) {
		rest, _ := strings.CutPrefix(r.URL.Path, "/api/")
		target, _, _ := strings.Cut(rest, "/")
		return auth.TokenFor(r.Context(), auth.Own(), target)
	})
}

// RunTask runs a scheduled task of a plugin now, and waits until it has been taken on.
func (b *Backend) RunTask(plugin, id string) {
	b.t.Helper()
	s, ok := b.tokens.schedulers[plugin]
	if !ok || s == nil {
		b.t.Fatalf("plugin %q is not part of this backend, or has no scheduler", plugin)
	}
	if err := s.Trigger(b.t.Context(), id); err != nil {
		b.t.Fatalf("trigger %s of %s: %v", id, plugin, err)
	}
}

// tokenMaker takes from the plugins' scopes what tests act as.
type tokenMaker struct {
	users      backend.UserTokens
	plugins    map[string]backend.Auth
	schedulers map[string]backend.Scheduler
}

// features are modules that reach into each plugin. Where the auth plugin is not under
// test, an empty one stands in, since only its scope can issue user tokens.
func (m *tokenMaker) features(under []backend.Feature) []backend.Feature {
	m.plugins, m.schedulers = map[string]backend.Auth{}, map[string]backend.Scheduler{}
	var out []backend.Feature
	hasAuth := false
	for _, f := range under {
		id, isPlugin := backend.PluginOf(f)
		if !isPlugin {
			continue
		}
		hasAuth = hasAuth || id == "auth"
		out = append(out, m.module(id))
	}
	if !hasAuth {
		out = append(out, backend.NewPlugin("auth"), m.module("auth"))
	}
	return append(out, backend.NewModule("auth", "backendtest-users", fx.Invoke(func(u backend.UserTokens) { m.users = u })))
}

func (m *tokenMaker) module(id string) backend.Feature {
	type params struct {
		fx.In

		Auth      backend.Auth
		Scheduler backend.Scheduler `optional:"true"` // a test may take it away
	}
	return backend.NewModule(id, "backendtest", fx.Invoke(func(p params) {
		m.plugins[id], m.schedulers[id] = p.Auth, p.Scheduler
	}))
}

type tokenTransport func(*http.Request) (string, error)

func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t(r)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultTransport.RoundTrip(r)
}

func bearer(token func(*http.Request) (string, error)) *http.Client {
	return &http.Client{Transport: tokenTransport(token), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// logTo sends the log to the test, where it shows when the test fails.
func logTo(t testing.TB) slog.Handler {
	return slog.NewTextHandler(&testWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug})
}
