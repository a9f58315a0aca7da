package notifications

import (
	"time"

	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
)

// wireTime is how times are written.
const wireTime = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(wireTime)
	return &s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// A newNotification is the answer about one that was made: what was sent, with nothing filled in.
type newNotification struct {
	Payload client.Payload `json:"payload"`
	Origin  string         `json:"origin"`
	Created string         `json:"created"`
	ID      string         `json:"id"`
	User    *string        `json:"user"`
}

func newAnswer(n client.Notification) newNotification {
	return newNotification{n.Payload, n.Origin, *stamp(n.Created), n.ID, orNull(n.User)}
}

// A shownNotification is one that is stored: what is absent is null, and there is no metadata.
type shownNotification struct {
	ID      string       `json:"id"`
	User    *string      `json:"user"`
	Created *string      `json:"created"`
	Saved   *string      `json:"saved"`
	Read    *string      `json:"read"`
	Updated *string      `json:"updated"`
	Origin  string       `json:"origin"`
	Payload shownPayload `json:"payload"`
}

type shownPayload struct {
	Title       string  `json:"title"`
	Description *string `json:"description"`
	Link        *string `json:"link"`
	Topic       *string `json:"topic"`
	Severity    string  `json:"severity"`
	Scope       *string `json:"scope"`
	Icon        *string `json:"icon"`
}

func shown(n store.Notification) shownNotification {
	return shownNotification{
		ID: n.ID, User: orNull(n.User), Created: stamp(n.Created), Saved: stamp(n.Saved), Read: stamp(n.Read), Updated: stamp(n.Updated), Origin: n.Origin,
		Payload: shownPayload{n.Title, orNull(n.Description), orNull(n.Link), orNull(n.Topic), client.Severities()[n.Severity], orNull(n.Scope), orNull(n.Icon)},
	}
}

func shownAll(list []store.Notification) []shownNotification {
	out := make([]shownNotification, 0, len(list))
	for _, n := range list {
		out = append(out, shown(n))
	}
	return out
}
