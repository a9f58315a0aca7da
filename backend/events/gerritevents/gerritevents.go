// Package gerritevents tells the webhooks of Gerrit apart: what comes in on the topic
// "gerrit" goes on as "gerrit.change-merged" and so on, after the body's type.
//
// Gerrit does not sign its webhooks. So this module opens no route: list the topic in
// events.http.topics, and let nothing but Gerrit reach POST /api/events/http/gerrit,
// or add a validator of your own with events.Extensions.
package gerritevents

import (
	"encoding/json"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/events"
)

const topic = "gerrit"

// Module adds the router to the events plugin.
func Module() backend.Feature {
	return backend.NewModule("events", "gerrit", fx.Invoke(register))
}

func register(x *events.Extensions) { x.AddRouter(events.SubTopics(topic, kind)) }

func kind(e backend.Event) string {
	var body struct {
		Kind string `json:"type"`
	}
	_ = json.Unmarshal(e.Payload, &body) // a body that is no object has no kind
	return body.Kind
}
