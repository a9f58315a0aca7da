// Package bitbucketserverevents brings in the webhooks of Bitbucket Server:
// POST /api/events/http/bitbucketServer takes requests that are signed with
// events.modules.bitbucketServer.webhookSecret, and publishes them on "bitbucketServer", and
// again on "bitbucketServer.repo:push" and so on, after the header X-Event-Key. Without the
// secret there is no such route.
package bitbucketserverevents

import (
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/events"
)

const topic = "bitbucketServer"

// Config is the subtree events.modules.bitbucketServer.
type Config struct {
	WebhookSecret config.Secret `config:"webhookSecret" doc:"signs the webhooks"`
}

// Module adds Bitbucket Server's webhooks to the events plugin.
func Module() backend.Feature {
	return backend.NewModule("events", "bitbucket-server",
		backend.Section("events.modules.bitbucketServer", Config{}),
		backend.Section("events.http", events.HTTP{}),
		fx.Invoke(register),
	)
}

func register(cfg Config, http events.HTTP, x *events.Extensions) error {
	x.AddRouter(events.SubTopics(topic, func(e backend.Event) string { return e.Metadata["x-event-key"] }))
	secrets := []config.Secret{cfg.WebhookSecret}
	signed := events.Signed("X-Hub-Signature", func(events.Request) []config.Secret { return secrets })
	return x.AddChecked(events.Ingress{Topic: topic, Validate: signed}, !cfg.WebhookSecret.IsZero(), "events.modules.bitbucketServer.webhookSecret", http)
}
