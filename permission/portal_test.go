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
	p := &portal{}
	cfg, err := config.Parse("app-config.yaml", []byte("backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0'}\n"+yaml))
	if err != nil {
		panic(err)
	}
	p.b = backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	p.b.Add(features...)
	p.b.Add(backend.NewPlugin("auth", fx.Invoke(func(u backend.UserTokens) { p.users = u })))
	p.fails = p.b.Start(context.Background())
	return p
}

func (p *portal) stop() { _ = p.b.Stop(context.Background()) }

// get asks as a user, and returns the status and the body, or the name of the error.
func (p *portal) get(user, path string) string {
	if p.fails != nil {
		return p.fails.Error()
	}
	token, _, err := p.users.Issue(context.Background(), user, []string{user})
	if err != nil {
		return err.Error()
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+p.b.Addr().String()+path, nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode >= 400 {
		var failure struct{ Error struct{ Name string } }
		_ = json.Unmarshal(body, &failure)
		return fmt.Sprint(res.StatusCode, " ", failure.Error.Name)
	}
	return fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(body)))
}
