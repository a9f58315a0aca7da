package permission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// A portal is a running backend of an Example.
type portal struct {
	b     *backend.Backend
	users backend.UserTokens
	fails error
}

func start(yaml string, features ...backend.Feature) *portal {
	return startAt("127.0.0.1:0", yaml, features...)
}

func startAt(listen, yaml string, features ...backend.Feature) *portal {
	return startWhole(base(listen)+yaml, features...)
}

func base(listen string) string {
	return fmt.Sprintf("backend: {baseUrl: 'http://%s', listen: '%s'}\n", listen, listen)
}

// startWhole takes a configuration that says where to listen.
func startWhole(yaml string, features ...backend.Feature) *portal {
	p := &portal{}
	return p.start(yaml, append(features, backend.NewPlugin("auth", fx.Invoke(func(u backend.UserTokens, r backend.Router) {
		p.users = u
		r.Handle("GET /.well-known/jwks.json", u.KeySet(), backend.AllowUnauthenticated)
	})))...)
}

func startWithoutAuth(listen, yaml string, features ...backend.Feature) *portal {
	return (&portal{}).start(base(listen)+yaml, features...)
}

func (p *portal) start(yaml string, features ...backend.Feature) *portal {
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		panic(err)
	}
	p.b = backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	p.b.Add(features...)
	p.fails = p.b.Start(context.Background())
	return p
}

func (p *portal) stop() { _ = p.b.Stop(context.Background()) }

// get asks as a user, and returns the status and the body, or the name of the error.
func (p *portal) get(user, path string) string { return p.send(user, http.MethodGet, path, "") }

func (p *portal) send(user, method, path, body string) string {
	if p.fails != nil {
		return p.fails.Error()
	}
	token, _, err := p.users.Issue(context.Background(), user, []string{user})
	if err != nil {
		return err.Error()
	}
	return p.with(token, method, path, body)
}

func (p *portal) with(token, method, path, body string) string {
	if p.fails != nil {
		return p.fails.Error()
	}
	req, err := http.NewRequest(method, "http://"+p.b.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode >= 400 {
		var failure struct{ Error struct{ Name string } }
		_ = json.Unmarshal(text, &failure)
		return fmt.Sprint(res.StatusCode, " ", failure.Error.Name)
	}
	return fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(text)))
}
