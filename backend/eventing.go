package backend

import (
	"context"
	"iter"
	"log/slog"
	"net/http"

	"github.com/callboard-dev/callboard/backend/internal/events"
)

// ErrEventsMissed is in the error that a subscription loop gets when events were
// dropped because it was away, or too slow, for too long.
var ErrEventsMissed = events.ErrMissed

// An EventPublisher publishes events with metadata. The Events of this package are
// EventPublishers, and so should be those that replace them: what comes in by webhook
// has metadata.
type EventPublisher interface {
	PublishEvent(ctx context.Context, e Event) error
}

var (
	_ Events         = pluginEvents{}
	_ EventPublisher = pluginEvents{}
)

// pluginEvents is the Events of one plugin.
type pluginEvents struct{ service *events.Service }

// Publish implements Events.
func (p pluginEvents) Publish(ctx context.Context, topic string, payload any) error {
	return p.service.Publish(ctx, topic, payload)
}

// PublishEvent implements EventPublisher.
func (p pluginEvents) PublishEvent(ctx context.Context, e Event) error {
	return p.service.PublishEvent(ctx, e.Topic, e.Payload, e.Metadata)
}

// Subscribe implements Events.
func (p pluginEvents) Subscribe(ctx context.Context, id string, topics ...string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for e, err := range p.service.Subscribe(ctx, id, topics...) {
			if !yield(Event(e), err) {
				return
			}
		}
	}
}

// newEvents is the Events of a plugin.
func (c *core) newEvents(id PluginID, auth Auth, clients Clients, log *slog.Logger) Events {
	client := &events.Client{Open: func(ctx context.Context) (*http.Client, string, error) {
		return clients.Client(ctx, auth.Own(), "events")
	}}
	return pluginEvents{c.shared.events.Service(string(id), client, log)}
}

// whereEvents says where the events plugin runs.
func (c *core) whereEvents() events.Where {
	if !c.discovery.local("events") {
		return events.Elsewhere
	}
	c.mu.Lock()
	g := c.gates["events"]
	c.mu.Unlock()
	if g == nil || g.state() == stateFailed {
		return events.Nowhere
	}
	return events.Here
}
