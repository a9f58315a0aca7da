package mcpactions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/mcpactions"
	"github.com/callboard-dev/callboard/permission"
)

const (
	alice = "user:default/alice"
	bob   = "user:default/bob"
	v1    = "/api/mcp-actions/v1"
	both  = "application/json, text/event-stream"
)

type greeting struct {
	Name string `json:"name" doc:"whom to greet" minLength:"1"`
}

type greeted struct {
	Text string `json:"text"`
	By   string `json:"by"`
}

// parlour is a plugin with actions of every kind.
type parlour struct {
	entered chan string   // receives who has begun to wait
	leave   chan struct{} // ends it
	left    chan error    // receives why waiting ended otherwise
}

func newParlour() *parlour {
	return &parlour{make(chan string, 100), make(chan struct{}), make(chan error, 100)}
}

func (p *parlour) plugin() backend.Feature {
	return backend.NewPlugin("parlour", permission.Use(), fx.Invoke(func(a *backend.Actions, x *permission.Extensions) {
		x.AddPermissions(permission.Permission{Name: "parlour.enter", Action: permission.Read})
		options := func(name string) backend.ActionOptions {
			return backend.ActionOptions{Name: name, Title: strings.ToUpper(name), Description: "Does " + name + "."}
		}
		greet := options("greet")
		greet.ReadOnly, greet.Idempotent = true, true
		hidden := options("hidden")
		hidden.VisibilityPermission = "parlour.enter"
		type none = struct{}
		a.Register(
			backend.NewAction(greet, func(_ context.Context, c backend.ActionCall[greeting]) (greeted, error) {
				return greeted{"hello <" + c.Input.Name + ">", c.Credentials.String()}, nil
			}),
			backend.NewAction(hidden, func(context.Context, backend.ActionCall[none]) (none, error) { return none{}, nil }),
			backend.NewAction(options("missing"), func(context.Context, backend.ActionCall[none]) (none, error) {
				return none{}, apierr.NotFound.New("no box %q", "x")
			}),
			backend.NewAction(options("broken"), func(context.Context, backend.ActionCall[none]) (none, error) {
				return none{}, errors.New("password=canary")
			}),
			backend.NewAction(options("large"), func(context.Context, backend.ActionCall[none]) (backend.OpenObject, error) {
				return backend.OpenObject{"x": strings.Repeat("a", 2000)}, nil
			}),
			backend.NewAction(options("wait"), func(ctx context.Context, c backend.ActionCall[none]) (none, error) {
				p.entered <- c.Credentials.String()
				select {
				case <-p.leave:
				case <-ctx.Done():
					p.left <- ctx.Err()
					return none{}, ctx.Err()
				}
				return none{}, nil
			}),
			backend.NewActionWithSecrets(options("unlock"), func(context.Context, backend.ActionCall[none], struct {
				Key string `json:"key"`
			}) (none, error) {
				return none{}, nil
			}),
		)
	}))
}

const sources = "backend: {actions: {pluginSources: [parlour]}}\n"

// send posts a body and returns what came back: of an answer with events, their data.
func send(t *testing.T, c *http.Client, url, body string, headers ...string) (*http.Response, []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", both)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return &http.Response{}, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	if res.Header.Get("Content-Type") != "text/event-stream" {
		return res, []string{string(text)}
	}
	var out []string
	for event := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		data, ok := strings.CutPrefix(event, "event: message\ndata: ")
		if !ok {
			t.Errorf("an event is %q", event)
		}
		out = append(out, data)
	}
	return res, out
}

// rpc sends one request and returns its result, or its error.
func rpc(t *testing.T, b *backendtest.Backend, user, path, method, params string) string {
	t.Helper()
	res, data := send(t, b.As(user), b.URL+path, `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":`+params+`}`)
	if res.StatusCode != http.StatusOK || len(data) != 1 {
		return fmt.Sprint(res.StatusCode, " ", data)
	}
	var answer struct {
		ID            int
		Result, Error json.RawMessage
	}
	if err := json.Unmarshal([]byte(data[0]), &answer); err != nil || answer.ID != 7 {
		t.Errorf("%v: %s", err, data[0])
	}
	var text bytes.Buffer
	raw := answer.Result
	if raw == nil {
		raw = append([]byte("error "), answer.Error...)
		return string(raw)
	}
	if err := json.Compact(&text, raw); err != nil {
		t.Error(err)
	}
	return text.String()
}

func call(t *testing.T, b *backendtest.Backend, user, path, tool, arguments string) string {
	t.Helper()
	return rpc(t, b, user, path, "tools/call", `{"name":"`+tool+`","arguments":`+arguments+`}`)
}

// names are the tools that a user sees.
func names(t *testing.T, b *backendtest.Backend, user, path string) string {
	t.Helper()
	var doc struct{ Tools []struct{ Name string } }
	text := rpc(t, b, user, path, "tools/list", "{}")
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return text
	}
	var out []string
	for _, tool := range doc.Tools {
		out = append(out, tool.Name)
	}
	return strings.Join(out, " ")
}

func TestInitialize(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, sources, mcpactions.Plugin(), newParlour().plugin())
	res, data := send(t, b.As(alice), b.URL+v1, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	const want = `{"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"backstage","version":"0.2.2"}},"jsonrpc":"2.0","id":1}`
	var got, wanted any
	if err := errors.Join(json.Unmarshal([]byte(data[0]), &got), json.Unmarshal([]byte(want), &wanted)); err != nil || fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%v: %s", err, data)
	}
	if h := res.Header; h.Get("Cache-Control") != "no-cache, no-transform" || h.Get("Mcp-Session-Id") != "" {
		t.Errorf("headers %v", h)
	}
	// A notification has no answer.
	if res, data := send(t, b.As(alice), b.URL+v1, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); res.StatusCode != http.StatusAccepted || data[0] != "" {
		t.Errorf("%d %v", res.StatusCode, data)
	}
}

func TestTools(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, sources, mcpactions.Plugin(), newParlour().plugin())
	list := rpc(t, b, alice, v1, "tools/list", "{}")
	var doc struct{ Tools []json.RawMessage }
	if err := json.Unmarshal([]byte(list), &doc); err != nil || len(doc.Tools) != 7 {
		t.Fatalf("%v: %s", err, list)
	}
	for want, i := range map[string]int{
		`{"name":"parlour.greet","description":"Does greet.","annotations":{"title":"GREET","readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false},` +
			`"inputSchema":{"type":"object","properties":{"name":{"type":"string","minLength":1,"description":"whom to greet"}},"required":["name"],"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"}}`: 0,
		`{"name":"parlour.missing","description":"Does missing.","annotations":{"title":"MISSING","readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false},` +
			`"inputSchema":{"type":"object","properties":{},"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"}}`: 2,
	} {
		var got, wanted any
		if err := errors.Join(json.Unmarshal(doc.Tools[i], &got), json.Unmarshal([]byte(want), &wanted)); err != nil || fmt.Sprint(got) != fmt.Sprint(wanted) {
			t.Errorf("%v: %s\nwant %s", err, doc.Tools[i], want)
		}
	}
	for _, tt := range []struct{ tool, arguments, want string }{
		{"parlour.greet", `{"name":"world"}`, `{"content":[{"type":"text","text":"{\"text\":\"hello \u003cworld\u003e\",\"by\":\"user:default/alice`},
		{"parlour.greet", `{"name":"world"}`, `"structuredContent":{"text":"hello`},
		{"parlour.greet", `{"name":""}`, `"text":"InputError: Invalid input to action \"parlour:greet\"`},
		{"parlour.greet", `{}`, `"isError":true`},
		{"parlour.missing", `{}`, `{"content":[{"type":"text","text":"NotFoundError: no box \"x\""}],"isError":true}`},
		{"parlour.nope", `{}`, `"text":"NotFoundError: Action \"parlour.nope\" not found"}],"isError":true}`},
		{"parlour:greet", `{}`, `"text":"NotFoundError: Action \"parlour:greet\" not found"}],"isError":true}`},
		{"parlour.unlock", `{}`, `"text":"InputError: Action \"parlour:unlock\" requires secrets but none were provided`},
		{"parlour.unlock", `{"key":"k","secrets":{"key":"k"}}`, `"text":"InputError: Action \"parlour:unlock\" requires secrets but none were provided`},
		{"parlour.broken", `{}`, `error {"code":-32603,"message":"An internal error occurred logId=`},
	} {
		if got := call(t, b, alice, v1, tt.tool, tt.arguments); !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(got, "<", `\u003c`), ">", `\u003e`), tt.want) || strings.Contains(got, "canary") {
			t.Errorf("%s %s: %s\nwant %s", tt.tool, tt.arguments, got, tt.want)
		}
	}
	// Arguments may be left out.
	if got := rpc(t, b, alice, v1, "tools/call", `{"name":"parlour.missing"}`); !strings.Contains(got, "no box") {
		t.Error(got)
	}
}

// What is no request to a tool is refused as JSON-RPC, with the status that clients know.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, sources+"mcpActions: {limits: {requestBytes: 2000}}", mcpactions.Plugin(), newParlour().plugin())
	initialize := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for _, tt := range []struct {
		name, body string
		headers    []string
		status     int
		code       int
	}{
		{"accept json", initialize, []string{"Accept", "application/json"}, 406, -32000},
		{"accept events", initialize, []string{"Accept", "text/event-stream"}, 406, -32000},
		{"accept anything", initialize, []string{"Accept", "*/*"}, 406, -32000},
		{"text", initialize, []string{"Content-Type", "text/plain"}, 415, -32000},
		{"no JSON", "{", nil, 400, -32700},
		{"nothing", "", nil, 400, -32700},
		{"no message", `{"a":1}`, nil, 400, -32000},
		{"another version", initialize, []string{"Mcp-Protocol-Version", "1.0"}, 400, -32000},
		{"too large", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"` + strings.Repeat("x", 2000) + `"}}`, nil, 413, -32000},
		{"too many", "[" + strings.Repeat(initialize+",", 20) + initialize + "]", nil, 400, -32600},
	} {
		res, data := send(t, b.As(alice), b.URL+v1, tt.body, tt.headers...)
		var doc struct {
			JSONRPC string
			ID      *int
			Error   struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal([]byte(data[0]), &doc); err != nil || res.StatusCode != tt.status || doc.Error.Code != tt.code || doc.JSONRPC != "2.0" || doc.ID != nil || doc.Error.Message == "" {
			t.Errorf("%s: %d %v, want %d %d", tt.name, res.StatusCode, data, tt.status, tt.code)
		}
	}
	for _, method := range []string{"GET", "DELETE"} {
		req, _ := http.NewRequestWithContext(t.Context(), method, b.URL+v1, http.NoBody)
		req.Header.Set("Accept", both)
		res, err := b.As(alice).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := string(text); res.StatusCode != 405 || got != `{"error":{"code":-32000,"message":"Method not allowed."},"id":null,"jsonrpc":"2.0"}` {
			t.Errorf("%s: %d %s", method, res.StatusCode, got)
		}
	}
	if res, data := send(t, http.DefaultClient, b.URL+v1, initialize); res.StatusCode != 401 || !strings.Contains(data[0], "AuthenticationError") {
		t.Errorf("nobody: %d %v", res.StatusCode, data)
	}
	if res, data := send(t, b.As(alice), b.URL+v1+"/unknown", initialize); res.StatusCode != 404 || data[0] != "" {
		t.Errorf("an unknown server: %d %v", res.StatusCode, data)
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, sources+`
mcpActions:
  servers:
    read-only:
      name: Reader
      description: Looks, and does not touch
      instructions: Be polite.
      filter: {include: [{attributes: {readOnly: true}}]}
    2nd:
      name: Second
      filter: {include: [{id: 'parlour:g*'}, {id: 'parlour:m*'}], exclude: [{id: '*:missing'}]}
`, mcpactions.Plugin(), newParlour().plugin())
	for path, want := range map[string]string{
		v1:                "parlour.greet parlour.hidden parlour.missing parlour.broken parlour.large parlour.wait parlour.unlock",
		v1 + "/read-only": "parlour.greet",
		v1 + "/2nd":       "parlour.greet",
	} {
		if got := names(t, b, alice, path); got != want {
			t.Errorf("%s has %s, want %s", path, got, want)
		}
	}
	if got := call(t, b, alice, v1+"/2nd", "parlour.missing", "{}"); !strings.Contains(got, `NotFoundError: Action \"parlour.missing\" not found`) {
		t.Errorf("a tool that the server does not offer: %s", got)
	}
	got := rpc(t, b, alice, v1+"/read-only", "initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}`)
	for _, want := range []string{`"name":"Reader"`, `"description":"Looks, and does not touch"`, `"instructions":"Be polite."`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

// two are plugins that each have an action of the same name.
func two(t *testing.T, yaml string) *backendtest.Backend {
	plugin := func(id string) backend.Feature {
		return backend.NewPlugin(id, fx.Invoke(func(a *backend.Actions) {
			a.Register(backend.NewAction(backend.ActionOptions{Name: "say", Title: "Say", Description: "Says who it is."}, func(context.Context, backend.ActionCall[struct{}]) (map[string]any, error) {
				return map[string]any{"i": id}, nil
			}))
		}))
	}
	return backendtest.Start(t, "backend: {actions: {pluginSources: [b, a]}}\n"+yaml, mcpactions.Plugin(), plugin("a"), plugin("b"))
}

func TestNamesWithoutPlugins(t *testing.T) {
	t.Parallel()
	b := two(t, "mcpActions: {namespacedToolNames: false}")
	if got := names(t, b, alice, v1); got != "say a.say" {
		t.Errorf("tools %s", got)
	}
	for tool, want := range map[string]string{"say": `{"i":"b"}`, "a.say": `{"i":"a"}`, "b.say": "not found"} {
		if got := call(t, b, alice, v1, tool, "{}"); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", tool, got, want)
		}
	}
}

// Which tools there are, and which of them may be called, is what the policy says of the
// caller of each request.
func TestSEC50_DeniedStaysDeniedAsTool(t *testing.T) {
	t.Parallel()
	policy := permission.PolicyFunc(func(_ context.Context, q permission.Query) (permission.Decision, error) {
		if q.User != nil && q.User.Ref == alice && q.Permission.Name == "parlour.enter" {
			return permission.Allow, nil
		}
		return permission.Deny, nil
	})
	b := backendtest.Start(t, sources+"permission: {enabled: true}\nmcpActions: {servers: {all: {name: All}}}", mcpactions.Plugin(), newParlour().plugin(), permission.Plugin(),
		backend.NewService(fx.Decorate(func(backend.UserInfo) backend.UserInfo { return backendtest.Users{} })),
		backend.NewModule("permission", "test-policy", fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(policy) })))
	for _, path := range []string{v1, v1 + "/all"} {
		for user, may := range map[string]bool{alice: true, bob: false} {
			if got := strings.Contains(names(t, b, user, path), "parlour.hidden"); got != may {
				t.Errorf("%s: %s sees it: %v", path, user, got)
			}
			got := call(t, b, user, path, "parlour.hidden", "{}")
			if may != strings.Contains(got, `"structuredContent":{}`) || !may && !strings.Contains(got, `NotFoundError: Action \"parlour.hidden\" not found`) {
				t.Errorf("%s: %s calls it: %s", path, user, got)
			}
		}
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, sources+"mcpActions: {limits: {resultBytes: 1000}}", mcpactions.Plugin(), newParlour().plugin())
	if got := call(t, b, alice, v1, "parlour.large", "{}"); !strings.Contains(got, "InputError: the result has 2008 bytes, 1000 are allowed") || !strings.Contains(got, `"isError":true`) {
		t.Error(got)
	}
}

// Calls beyond the limits are refused, and what others do does not count as one's own.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	p := newParlour()
	b := backendtest.Start(t, sources+"mcpActions: {limits: {concurrentCalls: 3, concurrentCallsPerCaller: 2}}", mcpactions.Plugin(), p.plugin())
	var wg sync.WaitGroup
	wait := func(user string) {
		wg.Go(func() { _ = call(t, b, user, v1, "parlour.wait", "{}") })
		<-p.entered
	}
	wait(alice)
	wait(alice)
	if got := call(t, b, alice, v1, "parlour.greet", `{"name":"x"}`); !strings.Contains(got, "ServiceUnavailableError: you have 2 calls in progress") {
		t.Errorf("alice's third: %s", got)
	}
	if got := call(t, b, bob, v1, "parlour.greet", `{"name":"x"}`); !strings.Contains(got, "hello") {
		t.Errorf("bob's first: %s", got)
	}
	wait(bob)
	if got := call(t, b, bob, v1, "parlour.greet", `{"name":"x"}`); !strings.Contains(got, "too many calls are in progress") {
		t.Errorf("a fourth: %s", got)
	}
	close(p.leave)
	wg.Wait()
	if got := call(t, b, alice, v1, "parlour.greet", `{"name":"x"}`); !strings.Contains(got, "hello") {
		t.Errorf("afterwards: %s", got)
	}
}

func TestCallsEnd(t *testing.T) {
	t.Parallel()
	t.Run("InTime", func(t *testing.T) {
		t.Parallel()
		p := newParlour()
		b := backendtest.Start(t, sources+"mcpActions: {limits: {callTimeout: {milliseconds: 30}}}", mcpactions.Plugin(), p.plugin())
		if got := call(t, b, alice, v1, "parlour.wait", "{}"); !strings.Contains(got, "ServiceUnavailableError: the tool has not answered in time") {
			t.Error(got)
		}
		select {
		case <-p.entered: // unless the time was over before the action began
			<-p.left
		default:
		}
	})
	t.Run("WithTheirClient", func(t *testing.T) {
		t.Parallel()
		p := newParlour()
		b := backendtest.Start(t, sources, mcpactions.Plugin(), p.plugin())
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+v1, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"parlour.wait"}}`))
		req.Header.Set("Accept", both)
		req.Header.Set("Content-Type", "application/json")
		go func() {
			<-p.entered
			cancel()
		}()
		if res, err := b.As(alice).Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if err := <-p.left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A request leaves nothing behind, however it ends.
func TestRequestsLeaveNoGoroutines(t *testing.T) {
	p := newParlour()
	b := backendtest.Start(t, sources, mcpactions.Plugin(), p.plugin())
	client := b.As(alice)
	for range 20 {
		_, _ = send(t, client, b.URL+v1, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		_, _ = send(t, client, b.URL+v1, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		_, _ = send(t, client, b.URL+v1, `{"jsonrpc":"2.0","id":1,"method":"nope"}`)
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+v1, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"parlour.wait"}}`))
		req.Header.Set("Accept", both)
		req.Header.Set("Content-Type", "application/json")
		go func() {
			<-p.entered
			cancel()
		}()
		if res, err := client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		<-p.left
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		n := bytes.Count(stacks, []byte("go-sdk/internal/jsonrpc2.")) + bytes.Count(stacks, []byte("go-sdk/mcp."))
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d frames of the protocol are left:\n%s", n, stacks)
		}
	}
}

// Connections, discoveries and calls are audited, with the name of the tool and without
// what went in.
func TestAudit(t *testing.T) {
	t.Parallel()
	audit := &backendtest.Audit{}
	b := backendtest.Start(t, sources, mcpactions.Plugin(), newParlour().plugin(),
		backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
			if id == "mcp-actions" {
				return audit, nil
			}
			return base, nil
		}))
	_ = rpc(t, b, alice, v1, "initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}`)
	_ = names(t, b, alice, v1)
	_ = call(t, b, alice, v1, "parlour.greet", `{"name":"canary"}`)
	_ = call(t, b, alice, v1, "parlour.missing", "{}")
	var got []string
	for _, e := range audit.Events() {
		got = append(got, fmt.Sprint(e.ID, " ", e.Severity, " ", e.Status, " ", e.Meta, " ", e.Request != nil))
	}
	want := "connection medium succeeded map[] true\ntool-discovery medium succeeded map[] true\ntool-execution medium succeeded map[toolName:parlour.greet] true\ntool-execution medium failed map[toolName:parlour.missing] true"
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"servers: {-a: {name: A}}":                         `the key "-a" is part of a path`,
		"servers: {B: {name: B}}":                          `the key "B" is part of a path`,
		"servers: {b: {}}":                                 "mcpActions.servers.b.name: required key is missing",
		"servers: {b: {name: B, filter: {include: [{}]}}}": "a rule has an id or attributes",
		"limits: {requestBytes: 0}":                        "mcpActions.limits.requestBytes: must be more than 0",
		"limits: {callTimeout: {seconds: 0}}":              "mcpActions.limits.callTimeout: must be more than 0",
	} {
		if _, err := backendtest.Boot(t, "mcpActions: {"+yaml+"}", mcpactions.Plugin()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", yaml, err, want)
		}
	}
}

// Where programs get their tokens is said where the plugin auth gives them some.
func TestMetadata(t *testing.T) {
	t.Parallel()
	auth := backend.NewPlugin("auth", fx.Invoke(func(u backend.UserTokens, r backend.Router) {
		r.Handle("GET /.well-known/jwks.json", u.KeySet(), backend.AllowUnauthenticated)
		r.Handle("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, `{"issuer":"x"}`)
			return err
		}, backend.AllowUnauthenticated)
	}))
	get := func(b *backendtest.Backend, path string) string {
		t.Helper()
		res, err := http.Get(b.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(text)))
	}
	const resource, server = "/.well-known/oauth-protected-resource/api/mcp-actions/v1", "/.well-known/oauth-authorization-server"
	for _, tt := range []struct{ yaml, scopes string }{
		{"", ""},
		{"auth: {experimentalRefreshToken: {enabled: true}}", ""},
		{"auth: {experimentalDynamicClientRegistration: {enabled: true}}", `["openid"]`},
		{"auth: {clientIdMetadataDocuments: {enabled: true}, experimentalRefreshToken: {enabled: true}}", `["openid","offline_access"]`},
		{"auth: {experimentalClientIdMetadataDocuments: {enabled: true}}", `["openid"]`},
	} {
		b := backendtest.Start(t, tt.yaml+"\nmcpActions: {servers: {one: {name: One}}}", mcpactions.Plugin(), auth)
		for path, suffix := range map[string]string{resource: "/v1", resource + "/one": "/v1/one"} {
			want := "404 "
			if tt.scopes != "" {
				want = `200 {"resource":"http://localhost:7007/api/mcp-actions` + suffix + `","authorization_servers":["http://localhost:7007/api/auth"],"scopes_supported":` + tt.scopes + `}`
			}
			if got := get(b, path); got != want {
				t.Errorf("%s: %s is %s, want %s", tt.yaml, path, got, want)
			}
		}
		for _, path := range []string{server, server + "/api/auth"} {
			if got := get(b, path); (got == `200 {"issuer":"x"}`) != (tt.scopes != "") {
				t.Errorf("%s: %s is %s", tt.yaml, path, got)
			}
		}
		if got := get(b, resource+"/two"); got != "404 " {
			t.Errorf("an unknown server: %s", got)
		}
	}
}
