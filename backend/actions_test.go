package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"net/http/httptest"
	"net/http/httputil"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

type greetIn struct {
	Name  string `json:"name" doc:"whom to greet" minLength:"1"`
	Times int    `json:"times,omitempty" minimum:"1"`
}

type greetOut struct {
	Greeting string `json:"greeting"`
}

type loginSecrets struct {
	Password string `json:"password" minLength:"8"`
}

func greet(_ context.Context, call backend.ActionCall[greetIn]) (greetOut, error) {
	if call.Input.Name == "nobody" {
		return greetOut{}, apierr.Conflict.New("nobody is there")
	}
	return greetOut{"hello " + call.Input.Name + " from " + call.Credentials.Type()}, nil
}

// greeter is a plugin with actions.
func greeter(a *backend.Actions) {
	a.Register(
		backend.NewAction(backend.ActionOptions{Name: "greet", Title: "Greet", Description: "Says hello.", ReadOnly: true, Idempotent: true}, greet),
		backend.NewActionWithSecrets(backend.ActionOptions{Name: "login", Title: "Log in", Description: "Needs a password."},
			func(_ context.Context, _ backend.ActionCall[struct{}], s loginSecrets) (greetOut, error) {
				return greetOut{strings.Repeat("*", len(s.Password))}, nil
			}),
		backend.NewAction(backend.ActionOptions{Name: "secret", Title: "Secret", Description: "Not for everybody.", VisibilityPermission: "greeter.secret.use"}, greet),
		backend.NewAction(backend.ActionOptions{Name: "lie", Title: "Lie", Description: "Breaks its word.", Output: json.RawMessage(`{"type":"object","required":["truth"]}`)}, greet),
	)
}

func plugin(id string) backend.Feature { return backend.NewPlugin(id, fx.Invoke(greeter)) }

// ask sends a request and returns status and body.
func ask(t *testing.T, c *http.Client, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func TestActionsOnTheWire(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, ``, plugin("greeter"), backend.NewPlugin("other"))
	user := b.As("user:default/alice")
	base := b.URL + "/api/greeter/.backstage/actions"
	for _, tt := range []struct {
		name, call, body string
		status           int
		want             string // a part of the answer
	}{
		{"bare input", "v1/actions/greeter%3Agreet/invoke", `{"name":"you"}`, 200, `{"output":{"greeting":"hello you from user"}}`},
		{"unknown members are left out", "v1/actions/greeter:greet/invoke", `{"name":"you","x":1}`, 200, `hello you`},
		{"wrapped input", "v2/actions/greeter%3Agreet/invoke", `{"input":{"name":"you"}}`, 200, `hello you`},
		{"wrong input", "v1/actions/greeter%3Agreet/invoke", `{"name":1}`, 400, `Invalid input to action \"greeter:greet\"; caused by ZodError: /name: Expected string, received number`},
		{"nothing for something", "v1/actions/greeter%3Agreet/invoke", ``, 400, `"path":["name"]`},
		{"no input", "v2/actions/greeter%3Agreet/invoke", `{"name":"you"}`, 400, `"expected":"object","received":"undefined","path":[]`},
		{"malformed", "v1/actions/greeter%3Agreet/invoke", `{`, 400, `InputError`},
		{"error of the action", "v1/actions/greeter%3Agreet/invoke", `{"name":"nobody"}`, 409, `"message":"nobody is there"`},
		{"output that breaks the schema", "v1/actions/greeter%3Alie/invoke", `{"name":"you"}`, 500, `An internal error occurred`},
		{"unknown action", "v1/actions/greeter%3Anope/invoke", `{}`, 404, `Action \"greeter:nope\" not found`},
		{"action of another plugin", "v1/actions/other%3Agreet/invoke", `{}`, 404, `Action \"other:greet\" not found`},
		{"name without plugin", "v1/actions/greet/invoke", `{}`, 404, `Action \"greet\" not found`},
		{"secrets", "v2/actions/greeter%3Alogin/invoke", `{"input":{},"secrets":{"password":"correct horse"}}`, 200, `"*************"`},
		{"no secrets", "v2/actions/greeter%3Alogin/invoke", `{"input":{}}`, 400, `Action \"greeter:login\" requires secrets but none were provided`},
		{"no secrets in version 1", "v1/actions/greeter%3Alogin/invoke", `{}`, 400, `requires secrets`},
		{"secrets that are not wanted", "v2/actions/greeter%3Agreet/invoke", `{"input":{"name":"a"},"secrets":{}}`, 400, `Action \"greeter:greet\" does not accept secrets`},
		{"wrong secrets are not repeated", "v2/actions/greeter%3Alogin/invoke", `{"input":{},"secrets":{"password":"canary"}}`, 400, `Invalid secrets to action`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := ask(t, user, http.MethodPost, base+"/"+tt.call, tt.body)
			if status != tt.status || !strings.Contains(body, tt.want) || strings.Contains(body, "canary") {
				t.Errorf("%d %s\nwant %d %s", status, body, tt.status, tt.want)
			}
		})
	}
	status, body := ask(t, user, http.MethodGet, base+"/v1/actions", "")
	want := `{"id":"greeter:greet","name":"greet","title":"Greet","description":"Says hello.","pluginId":"greeter",` +
		`"attributes":{"destructive":false,"idempotent":true,"readOnly":true},"schema":{"input":{"type":"object","properties":{` +
		`"name":{"type":"string","minLength":1,"description":"whom to greet"},"times":{"type":"integer","minimum":1}},"required":["name"],` +
		`"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"},`
	if status != 200 || !strings.Contains(body, want) || strings.Count(body, `"secrets":`) != 1 {
		t.Errorf("list: %d %s\nwant %s", status, body, want)
	}
	if status, body := ask(t, user, http.MethodGet, b.URL+"/api/other/.backstage/actions/v1/actions", ""); status != 404 || body != "" {
		t.Errorf("a plugin without actions: %d %q, want 404 and nothing", status, body)
	}
	if status, _ := ask(t, http.DefaultClient, http.MethodGet, base+"/v1/actions", ""); status != 401 {
		t.Errorf("nobody lists: %d, want 401", status)
	}
	if status, _ := ask(t, b.AsPlugin("other"), http.MethodPost, base+"/v1/actions/greeter%3Agreet/invoke", `{"name":"a"}`); status != 200 {
		t.Errorf("a service invokes: %d, want 200", status)
	}
}

func TestNobodyInvokesWithoutTheDefaultPolicy(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, `backend: {auth: {dangerouslyDisableDefaultAuthPolicy: true}}`, plugin("greeter"))
	for _, call := range [][2]string{{http.MethodGet, ""}, {http.MethodPost, "/greeter%3Agreet/invoke"}} {
		status, body := ask(t, http.DefaultClient, call[0], b.URL+"/api/greeter/.backstage/actions/v1/actions"+call[1], "")
		if status != 403 || !strings.Contains(body, "NotAllowedError") {
			t.Errorf("%s: %d %s, want 403", call, status, body)
		}
	}
}

// onlyBob lets one user see what needs a permission.
type onlyBob struct{}

func (onlyBob) Allowed(_ context.Context, c backend.Credentials, permission string) (bool, error) {
	u, _ := c.User()
	if u.Ref == "user:default/broken" {
		return false, errors.New("the policy is away")
	}
	return permission == "greeter.secret.use" && u.Ref == "user:default/bob", nil
}

// Who may not see an action may not invoke it, and cannot tell that there is one.
func TestSEC50_VisibilityIsEnforcedOnInvoke(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, ``, plugin("greeter"), backend.NewPluginService(func(backend.PluginID, backend.ActionPermissions) (backend.ActionPermissions, error) {
		return onlyBob{}, nil
	}))
	base := b.URL + "/api/greeter/.backstage/actions"
	for _, tt := range []struct {
		who    string
		client *http.Client
		status int
		listed bool
	}{
		{"bob", b.As("user:default/bob"), 200, true},
		{"alice", b.As("user:default/alice"), 404, false},
		{"a service", b.AsPlugin("greeter"), 404, false},
		{"somebody whose permission is not known", b.As("user:default/broken"), 500, false},
	} {
		_, list := ask(t, tt.client, http.MethodGet, base+"/v1/actions", "")
		if strings.Contains(list, "greeter:secret") != tt.listed {
			t.Errorf("%s lists %s", tt.who, list)
		}
		for _, call := range []string{"v1", "v2"} {
			for _, id := range []string{"greeter%3Asecret", "greeter:secret"} {
				body := `{"name":"x"}`
				if call == "v2" {
					body = `{"input":{"name":"x"}}`
				}
				status, answer := ask(t, tt.client, http.MethodPost, base+"/"+call+"/actions/"+id+"/invoke", body)
				if status != tt.status {
					t.Errorf("%s invokes %s %s: %d %s, want %d", tt.who, call, id, status, answer, tt.status)
				}
			}
		}
		// The answer does not depend on what is sent, as it would for an action that is there.
		if tt.status == 404 {
			_, unknown := ask(t, tt.client, http.MethodPost, base+"/v1/actions/greeter:nosuch/invoke", `{`)
			_, hidden := ask(t, tt.client, http.MethodPost, base+"/v1/actions/greeter:secret/invoke", `{`)
			if stackless(unknown, "nosuch") != stackless(hidden, "secret") {
				t.Errorf("a hidden action is told from one that is not there:\n%s\n%s", hidden, unknown)
			}
		}
	}
}

// stackless is an error body without its stack and a name.
func stackless(body, name string) string {
	var v struct {
		Error struct{ Name, Message string }
	}
	_ = json.Unmarshal([]byte(body), &v)
	return v.Error.Name + " " + strings.ReplaceAll(v.Error.Message, name, "*")
}

func TestActionSourcesAndFilters(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, `backend: {actions: {pluginSources: [greeter], filter: {include: [{id: "greeter:*"}], exclude: [{id: "*:login"}]}}}`,
		plugin("greeter"), plugin("unlisted"))
	user := b.As("user:default/alice")
	_, list := ask(t, user, http.MethodGet, b.URL+"/api/greeter/.backstage/actions/v1/actions", "")
	if !strings.Contains(list, "greeter:greet") || strings.Contains(list, "greeter:login") {
		t.Errorf("greeter lists %s", list)
	}
	if status, _ := ask(t, user, http.MethodPost, b.URL+"/api/greeter/.backstage/actions/v2/actions/greeter:login/invoke", `{"input":{},"secrets":{"password":"12345678"}}`); status != 404 {
		t.Errorf("an excluded action is invoked: %d", status)
	}
	if _, list := ask(t, user, http.MethodGet, b.URL+"/api/unlisted/.backstage/actions/v1/actions", ""); list != `{"actions":[]}` {
		t.Errorf("a plugin that is no source lists %s", list)
	}
	if status, _ := ask(t, user, http.MethodPost, b.URL+"/api/unlisted/.backstage/actions/v1/actions/unlisted:greet/invoke", `{"name":"a"}`); status != 404 {
		t.Errorf("a plugin that is no source invokes: %d", status)
	}
}

// A client finds the actions of all sources, in this process and in another.
func TestActionsClient(t *testing.T) {
	t.Parallel()
	var other, here atomic.Pointer[url.URL]
	proxy := func(to *atomic.Pointer[url.URL]) string {
		p := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to.Load()) }})
		t.Cleanup(p.Close)
		return p.URL
	}
	toOther, toHere := proxy(&other), proxy(&here)
	sources := `backend: {actions: {pluginSources: [near, far, gone], filter: {exclude: [{id: "*:lie"}]}}}` + "\n"
	var client backend.ActionsClient
	var auth backend.Auth
	caller := backend.NewPlugin("caller", fx.Invoke(func(c backend.ActionsClient, a backend.Auth) { client, auth = c, a }))
	a := backendtest.Start(t, sources+`discovery: {endpoints: [{target: "`+toOther+`/api/{{pluginId}}", plugins: [far]}]}`, plugin("near"), caller)
	b := backendtest.Start(t, sources+`discovery: {endpoints: [{target: "`+toHere+`/api/{{pluginId}}", plugins: [near, caller]}]}`, plugin("far"))
	for base, p := range map[string]*atomic.Pointer[url.URL]{a.URL: &here, b.URL: &other} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		p.Store(u)
	}
	list, err := client.List(t.Context(), auth.Own())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range list {
		ids = append(ids, i.ID)
	}
	if got := strings.Join(ids, " "); got != "near:greet near:login near:secret far:greet far:login far:secret" {
		t.Errorf("listed %s", got)
	}
	for _, id := range []string{"near:greet", "far:greet"} {
		out, err := client.Invoke(t.Context(), auth.Own(), id, json.RawMessage(`{"name":"<you>"}`), nil)
		if err != nil || string(out) != `{"greeting":"hello <you> from service"}` {
			t.Errorf("%s: %s, %v", id, out, err)
		}
	}
	if _, err := client.Invoke(t.Context(), auth.Own(), "far:login", nil, json.RawMessage(`{"password":"12345678"}`)); err != nil {
		t.Error(err)
	}
	for id, kind := range map[string]error{"far:nope": apierr.NotFound, "stranger:greet": apierr.NotFound, "greet": apierr.NotFound, "far:greet": apierr.Input, "far:lie": nil} {
		_, err := client.Invoke(t.Context(), auth.Own(), id, nil, nil)
		if err == nil || kind != nil && !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", id, err, kind)
		}
	}
}

func TestWrongActionsAreBootErrors(t *testing.T) {
	t.Parallel()
	o := backend.ActionOptions{Name: "greet", Title: "Greet", Description: "Says hello."}
	for want, list := range map[string][]backend.Action{
		`action "greet" is registered twice`: {backend.NewAction(o, greet), backend.NewAction(o, greet)},
		`the name is not lower-case letters`: {backend.NewAction(backend.ActionOptions{Name: "Greet"}, greet)},
		`action "greet" needs a title`:       {backend.NewAction(backend.ActionOptions{Name: "greet"}, greet)},
		`.C: chan int has no JSON`: {backend.NewAction(o, func(context.Context, backend.ActionCall[struct{ C chan int }]) (greetOut, error) {
			return greetOut{}, nil
		})},
		`action "greet": output schema`: {backend.NewAction(backend.ActionOptions{Name: "greet", Title: "a", Description: "b", Output: json.RawMessage(`{"type":7}`)}, greet)},
	} {
		_, err := backendtest.Boot(t, ``, backend.NewPlugin("p", fx.Invoke(func(a *backend.Actions) { a.Register(list...) })))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "actions_test.go") {
			t.Errorf("boot: %v, want %s", err, want)
		}
	}
}
