package permissionbench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac"
)

// A replica is a portal of this process.
type replica struct {
	url          string
	user, editor string // tokens of somebody who has roles, and of somebody who changes them
	client       *http.Client
}

func startReplica(t *testing.T, database, policy string) *replica {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", fmt.Appendf(nil, `
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  database: {client: pg, pluginDivisionMode: schema, connection: {connectionString: %q}}
permission: {enabled: true, rbac: {policies-csv-file: %q, policyFileReload: true, auditEvaluations: none, admin: {superUsers: [{name: 'user:default/root'}]}}}
`, database, policy))
	if err != nil {
		t.Fatal(err)
	}
	var users backend.UserTokens
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(permission.Plugin(), rbac.Module(), catalog.Plugin(), backend.NewPlugin("auth", fx.Invoke(func(u backend.UserTokens, r backend.Router) {
		users = u
		r.Handle("GET /.well-known/jwks.json", u.KeySet(), backend.AllowUnauthenticated)
	})))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	r := &replica{url: "http://" + b.Addr().String(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	for ref, into := range map[string]*string{"user:default/u": &r.user, "user:default/root": &r.editor} {
		if *into, _, err = users.Issue(t.Context(), ref, []string{ref}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// send sends JSON and returns the body of a 2xx.
func (r *replica) send(token, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s %.200s", method, path, res.Status, text)
	}
	return text, err
}

// questions is the body of a batch about permissions without action.
func questions(names ...string) []byte {
	type item struct {
		ID         string `json:"id"`
		Permission any    `json:"permission"`
	}
	var items []item
	for i, name := range names {
		items = append(items, item{fmt.Sprint(i), map[string]any{"type": "basic", "name": name, "attributes": map[string]any{}}})
	}
	body, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		panic(err) // it is texts
	}
	return body
}

// ask returns which questions are answered with yes.
func (r *replica) ask(body []byte) ([]bool, error) {
	text, err := r.send(r.user, http.MethodPost, "/api/permission/authorize", body)
	if err != nil {
		return nil, err
	}
	var got struct{ Items []struct{ Result string } }
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, err
	}
	out := make([]bool, len(got.Items))
	for i, one := range got.Items {
		out[i] = one.Result == "ALLOW"
	}
	return out, nil
}

// allows asks one question.
func (r *replica) allows(name string) bool {
	got, err := r.ask(questions(name))
	return err == nil && got[0]
}
