package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// A plugin's module brings the endpoint that its frontend calls, so that operators configure
// nothing but the key.
func Example() {
	onCall := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("the target sees:", r.Method, r.RequestURI, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"onCall":"alice"}`)
	}))
	defer onCall.Close()

	module := backend.NewModule("proxy", "on-call", fx.Invoke(func(x *proxy.Extensions) {
		e := proxy.NewEndpoint(onCall.URL + "/api/v2")
		e.AllowedMethods = []string{"GET"}
		e.Headers = map[string]config.Secret{"Authorization": config.NewSecret("Token token=abc")}
		e.Credentials = proxy.CredentialsUnauthenticated // this example has no users
		x.AddEndpoint("/on-call", e)
	}))

	cfg, err := config.Parse("app-config.yaml", []byte(`backend: {baseUrl: "http://localhost:7007", listen: "127.0.0.1:0"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(proxy.Plugin())
	b.Add(module)
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	for _, method := range []string{"GET", "DELETE"} {
		req, _ := http.NewRequest(method, "http://"+b.Addr().String()+"/api/proxy/on-call/schedules?limit=1", nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(res.StatusCode, string(body))
	}
	if err := b.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// the target sees: GET /api/v2/schedules?limit=1 Token token=abc
	// 200 {"onCall":"alice"}
	// 404
}
