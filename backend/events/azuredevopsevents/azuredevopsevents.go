// Package azuredevopsevents tells the webhooks of Azure DevOps apart: what comes in on the topic
// "azureDevOps" goes on as "azureDevOps.git.push" and so on, after the body's eventType.
//
// Azure DevOps does not sign its webhooks. So this module opens no route: list the topic in
// events.http.topics, and let nothing but Azure DevOps reach POST /api/events/http/azureDevOps,
// or add a validator of your own with events.Extensions.
package azuredevopsevents

import (
	"encoding/json"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/events"
)

const topic = "azureDevOps"

// Module adds the router to the events plugin.
func Module() backend.Feature {
	return backend.NewModule("events", "azure", fx.Invoke(register))
}

func register(x *events.Extensions) { x.AddRouter(events.SubTopics(topic, kind)) }

func kind(e backend.Event) string {
	var body struct {
		Kind string `json:"eventType"`
	}
	_ = json.Unmarshal(e.Payload, &body) // a body that is no object has no kind
	return body.Kind
}
