package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

var (
	createPrices  = db.Same(`CREATE TABLE prices (list TEXT)`)
	replacePrices = db.Same(`INSERT INTO prices (list) VALUES ($1)`)
)

// A task writes only while its run is the current one: after a pause, another replica may
// have taken it over.
func ExampleFenced() {
	done := make(chan error)
	costs := backend.NewPlugin("costs", fx.Invoke(func(s backend.Scheduler, d db.DB) error {
		schedule := config.Schedule{Frequency: config.Cadence{Every: config.Duration(time.Hour)}, Timeout: config.Duration(time.Minute)}
		return s.Schedule("prices", schedule, func(ctx context.Context) error {
			prices := "…" // fetched before the transaction, which must not wait
			if _, err := d.Exec(ctx, createPrices); err != nil {
				return err
			}
			err := d.Tx(ctx, func(c db.Conn) error {
				if err := backend.Fenced(ctx, c); err != nil {
					return err // wraps backend.ErrFenced: the run is over
				}
				_, err := c.Exec(ctx, replacePrices, prices)
				return err
			})
			done <- err
			return err
		})
	}))

	cfg, err := config.Parse("app-config.yaml", []byte(`{backend: {baseUrl: "http://localhost:7007", listen: "127.0.0.1:0"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	portal := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	portal.Add(costs)
	if err := portal.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	err = <-done
	fmt.Println("written:", err == nil, "fenced:", errors.Is(err, backend.ErrFenced))
	if err := portal.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: written: true fenced: false
}
