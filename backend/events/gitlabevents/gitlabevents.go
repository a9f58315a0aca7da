// Package gitlabevents brings in the webhooks of GitLab: POST /api/events/http/gitlab
// takes requests that carry events.modules.gitlab.webhookSecret in X-Gitlab-Token, and
// publishes them on "gitlab", and again on "gitlab.push" and so on, after the body's
// event_name. Without the secret there is no such route.
package gitlabevents

import (
	"cmp"
	"encoding/json"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/events"
)

const topic = "gitlab"

// Config is the subtree events.modules.gitlab.
type Config struct {
	WebhookSecret config.Secret `config:"webhookSecret" doc:"the secret token of the webhooks"`
}

// Module adds GitLab's webhooks to the events plugin.
func Module() backend.Feature {
	return backend.NewModule("events", "gitlab",
		backend.Section("events.modules.gitlab", Config{}),
		backend.Section("events.http", events.HTTP{}),
		fx.Invoke(register),
	)
}

func register(cfg Config, http events.HTTP, x *events.Extensions) error {
	x.AddRouter(events.SubTopics(topic, kind))
	token := events.Token("X-Gitlab-Token", cfg.WebhookSecret)
	return x.AddChecked(events.Ingress{Topic: topic, Validate: token}, !cfg.WebhookSecret.IsZero(), "events.modules.gitlab.webhookSecret", http)
}

// kind reads the kind of event from the body; system hooks and most others have it as
// event_name, the rest as object_kind.
func kind(e backend.Event) string {
	var body struct {
		EventName  string `json:"event_name"`
		ObjectKind string `json:"object_kind"`
	}
	_ = json.Unmarshal(e.Payload, &body) // a body that is no object has neither
	return cmp.Or(body.EventName, body.ObjectKind)
}
