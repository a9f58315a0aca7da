package mcpactions_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/mcpactions"
)

// A plugin of an adopter has an action, and a program that knows nothing of the plugin
// finds it and calls it.
func Example() {
	type question struct {
		Service string `json:"service" doc:"the name of the service"`
	}
	type answer struct {
		OnCall string `json:"onCall"`
	}
	oncall := backend.NewPlugin("oncall", fx.Invoke(func(a *backend.Actions) {
		a.Register(backend.NewAction(backend.ActionOptions{
			Name: "who-is-on-call", Title: "Who is on call", Description: "Tells who is on call for a service.", ReadOnly: true,
		}, func(_ context.Context, call backend.ActionCall[question]) (answer, error) {
			return answer{"alice, for " + call.Input.Service}, nil
		}))
	}))
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  actions: {pluginSources: [oncall]}
  auth: {externalAccess: [{type: static, options: {subject: assistant, token: a-token-of-the-example}}]}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(oncall, mcpactions.Plugin())
	ctx := context.Background()
	if err := b.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Stop(ctx) }()

	assistant := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil)
	session, err := assistant.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:   "http://" + b.Addr().String() + "/api/mcp-actions/v1",
		HTTPClient: &http.Client{Transport: withToken("a-token-of-the-example")},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(tool.Name, tool.Annotations.ReadOnlyHint)
	}
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "oncall.who-is-on-call", Arguments: map[string]any{"service": "checkout"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.StructuredContent)
	// Output:
	// oncall.who-is-on-call true
	// map[onCall:alice, for checkout]
}

// withToken shows a token with every request.
type withToken string

// RoundTrip implements http.RoundTripper.
func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(t))
	return http.DefaultTransport.RoundTrip(r)
}
