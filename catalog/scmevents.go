package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// TopicSCM is where modules of source code hosts publish what happened there, as a list of
// SCMEvent with Events.Publish. The catalog acts upon it as catalog.scmEvents allows
// (contract catalog.md, 3.11).
const TopicSCM = "callboard.catalog.scm"

// The types of SCMEvent.
const (
	SCMLocationCreated   = "location.created"
	SCMLocationUpdated   = ingest.LocationUpdated
	SCMLocationDeleted   = ingest.LocationDeleted
	SCMLocationMoved     = ingest.LocationMoved
	SCMRepositoryCreated = "repository.created"
	SCMRepositoryUpdated = ingest.RepositoryUpdated
	SCMRepositoryDeleted = ingest.RepositoryDeleted
	SCMRepositoryMoved   = ingest.RepositoryMoved
)

// An SCMEvent says what happened to a file, a location, or to a repository of a source
// code host.
type SCMEvent struct {
	Type string `json:"type"`
	// URL is what the event is about; moves have FromURL and ToURL instead.
	URL     string `json:"url,omitempty"`
	FromURL string `json:"fromUrl,omitempty"`
	ToURL   string `json:"toUrl,omitempty"`
	// CommitURL tells people where it happened; may be empty.
	CommitURL string `json:"commitUrl,omitempty"`
}

func (e SCMEvent) internal() (ingest.SCMEvent, error) {
	out := ingest.SCMEvent{Type: e.Type, URL: e.URL}
	switch e.Type {
	case SCMLocationMoved, SCMRepositoryMoved:
		out.URL, out.To = e.FromURL, e.ToURL
		if out.URL == "" || out.To == "" {
			return out, fmt.Errorf("event %s needs fromUrl and toUrl", e.Type)
		}
	case SCMLocationCreated, SCMLocationUpdated, SCMLocationDeleted, SCMRepositoryCreated, SCMRepositoryUpdated, SCMRepositoryDeleted:
		if out.URL == "" {
			return out, fmt.Errorf("event %s needs a url", e.Type)
		}
	default:
		return out, fmt.Errorf("events of type %q are not known", e.Type)
	}
	return out, nil
}

// followSCM subscribes to events of source code hosts, if anything may be done upon them.
// One replica gets each of them.
func (c *catalog) followSCM(ctx context.Context) error {
	allowed := ingest.SCMActions(c.p.Config.SCMEvents)
	if allowed == (ingest.SCMActions{}) {
		return nil
	}
	if c.p.Events == nil {
		c.p.Log.WarnContext(ctx, "catalog.scmEvents has no effect, because this backend has no events")
		return nil
	}
	return c.tasks.subscribe("catalog-scm-events", []string{TopicSCM}, func(ctx context.Context, e backend.Event) error {
		var list []SCMEvent
		if err := json.Unmarshal(e.Payload, &list); err != nil {
			return fmt.Errorf("payload of %s: %w", e.Topic, err)
		}
		for _, event := range list {
			in, err := event.internal()
			if err != nil {
				return err
			}
			n, err := c.engine.ActOn(ctx, in, allowed)
			if err != nil {
				return fmt.Errorf("%s %s: %w", event.Type, in.URL, err)
			}
			if n > 0 {
				c.p.Log.InfoContext(ctx, "an event of a source code host was acted upon", "type", event.Type, "url", in.URL, "to", in.To, "count", n, "commit", event.CommitURL)
			}
		}
		return nil
	})
}
