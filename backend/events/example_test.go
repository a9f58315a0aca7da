package events_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/events"
)

// A module opens a topic to the webhooks of a build server, which sends a token along,
// and tells finished builds from others.
func Example() {
	handled := make(chan struct{})
	builds := backend.NewModule("events", "builds", fx.Invoke(func(x *events.Extensions) {
		x.AddIngress(events.Ingress{
			Topic:    "builds",
			Validate: events.Token("X-Build-Token", config.NewSecret("correct horse")),
		})
		x.AddRouter(events.Router{ID: "builds-router", Topic: "builds", Route: func(e backend.Event) string {
			return "builds." + e.Metadata["x-build-state"]
		}})
		x.AddSubscriber(events.Subscriber{ID: "printer", Topics: []string{"builds.finished"}, Handle: func(_ context.Context, e backend.Event) error {
			fmt.Printf("%s: %s\n", e.Topic, e.Payload)
			close(handled)
			return nil
		}})
	}))
	cfg, err := config.Parse("app-config.yaml", []byte(`backend: {baseUrl: "http://localhost:7007", listen: "127.0.0.1:0"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(events.Plugin())
	b.Add(builds)
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	send := func(token string) {
		req, _ := http.NewRequest(http.MethodPost, "http://"+b.Addr().String()+"/api/events/http/builds", strings.NewReader(`{"build":7}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Build-Token", token)
		req.Header.Set("X-Build-State", "finished")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		fmt.Println(res.StatusCode, string(body))
	}
	send("guessed")
	send("correct horse")
	<-handled
	if err := b.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// 403 {"message":"invalid signature"}
	// 202 {"status":"accepted"}
	// builds.finished: {"build":7}
}
