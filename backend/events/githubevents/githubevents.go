// Package githubevents brings in the webhooks of GitHub.
//
//	backend.Add(events.Plugin())
//	backend.Add(githubevents.Module())
//
// POST /api/events/http/github takes requests that are signed with one of
//
//	events.modules.github.webhookSecret
//	integrations.github[].apps[].webhookSecret
//
// and publishes them on the topic "github", and again on "github.push" and so on, after
// the header X-GitHub-Event. Without any secret there is no such route
// (contract/backend.md section 17.1).
package githubevents

import (
	"encoding/json"
	"strconv"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/events"
)

const topic = "github"

// Config is the subtree events.modules.github.
type Config struct {
	WebhookSecret config.Secret `config:"webhookSecret" doc:"signs the webhooks of repositories and organizations"`
}

// integrations is what is read here of integrations, which package scm checks.
type integrations struct {
	GitHub []struct {
		Apps []app `config:"apps"`
	} `config:"github"`
}

// app is one GitHub App.
type app struct {
	AppID         int64         `config:"appId"`
	WebhookSecret config.Secret `config:"webhookSecret"`
}

// Module adds GitHub's webhooks to the events plugin.
func Module() backend.Feature {
	return backend.NewModule("events", "github",
		backend.Section("events.modules.github", Config{}),
		backend.Section("events.http", events.HTTP{}),
		fx.Invoke(register),
	)
}

func register(cfg Config, all *config.Config, http events.HTTP, x *events.Extensions) error {
	var apps integrations
	if err := all.Decode("integrations", &apps); err != nil {
		return err
	}
	s := secrets{shared: cfg.WebhookSecret}
	for _, g := range apps.GitHub {
		s.apps = append(s.apps, g.Apps...)
	}
	x.AddRouter(events.SubTopics(topic, func(e backend.Event) string { return e.Metadata["x-github-event"] }))
	signed := events.Signed("X-Hub-Signature-256", s.of)
	return x.AddChecked(events.Ingress{Topic: topic, Validate: signed}, !s.empty(), "events.modules.github.webhookSecret", http)
}

// secrets are those that requests may be signed with.
type secrets struct {
	shared config.Secret
	apps   []app
}

func (s secrets) empty() bool {
	for _, a := range s.apps {
		if !a.WebhookSecret.IsZero() {
			return false
		}
	}
	return s.shared.IsZero()
}

// of returns the secrets that r may be signed with. A request for an installation of a
// GitHub App says which app that is in a header; one without may be from any of them.
func (s secrets) of(r events.Request) []config.Secret {
	out := []config.Secret{s.shared}
	var body struct {
		Installation *struct{ ID json.Number }
	}
	if json.Unmarshal(r.Body, &body) != nil || body.Installation == nil {
		return out
	}
	target := r.Header.Get("X-GitHub-Hook-Installation-Target-ID")
	if r.Header.Get("X-GitHub-Hook-Installation-Target-Type") != "integration" {
		target = ""
	}
	for _, a := range s.apps {
		if target == "" || target == strconv.FormatInt(a.AppID, 10) {
			out = append(out, a.WebhookSecret)
		}
	}
	return out
}
