package backend_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// PriceConfig is the section costs.
type PriceConfig struct {
	Currency string `config:"currency,required" doc:"what prices are in"`
}

// Prices is the plugin's extension point: modules add what they know.
type Prices struct{ cents map[string]int }

// Add sets the price of a resource, in cents.
func (p *Prices) Add(resource string, cents int) {
	if p.cents == nil {
		p.cents = map[string]int{}
	}
	p.cents[resource] = cents
}

type costsParams struct {
	fx.In

	Config PriceConfig
	Prices *Prices
	Router backend.Router
}

func registerCosts(p costsParams) {
	p.Router.Handle("GET /prices/{resource}", func(w http.ResponseWriter, r *http.Request) error {
		cents := p.Prices.cents[r.PathValue("resource")]
		return httpx.JSON(w, http.StatusOK, fmt.Sprintf("%d.%02d %s", cents/100, cents%100, p.Config.Currency))
	}, backend.AllowUnauthenticated)
}

// A whole portal with a plugin of its own, and a module that extends it.
func ExampleNewPlugin() {
	costs := backend.NewPlugin("costs",
		backend.Section("costs", PriceConfig{}),
		backend.ExtensionPoint[Prices](),
		fx.Invoke(registerCosts),
	)
	databases := backend.NewModule("costs", "databases",
		fx.Invoke(func(p *Prices) { p.Add("checkout-pg-db", 123450) }),
	)

	cfg, err := config.Parse("app-config.yaml", []byte(`
backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0'}
costs: {currency: EUR}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	portal := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	portal.Add(costs, databases)
	if err := portal.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer portal.Stop(context.Background())

	res, err := http.Get("http://" + portal.Addr().String() + "/api/costs/prices/checkout-pg-db")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, string(body))
	// Output: 200 "1234.50 EUR"
}

// What a platform engineer reads when a backend does not start.
func ExampleBootError() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0'}
costs: {curency: EUR}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	portal := backend.New(backend.WithConfig(cfg), backend.Development())
	portal.Add(backend.NewPlugin("costs", backend.Section("costs", PriceConfig{})))
	fmt.Println(portal.Check())
	// Output:
	// backend cannot start: 1 problem
	//
	//   1. costs (added at example_test.go:97)
	//      costs.currency: required key is missing; costs.curency (app-config.yaml:3:9) is no key, did you mean currency? (app-config.yaml:3:1)
}
