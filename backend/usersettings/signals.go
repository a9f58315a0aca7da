package usersettings

import (
	"context"
	"log/slog"
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// signals tells the browsers of a user what has changed, by the events that the signals
// plugin hands on (contract/backend.md section 19).
type signals struct {
	events backend.Events
	log    *slog.Logger
}

// signalTimeout bounds how long a request waits for the event bus: a setting is stored
// whether or not other tabs hear of it.
const signalTimeout = 2 * time.Second

type signal struct {
	Recipients recipients `json:"recipients"`
	Channel    string     `json:"channel"`
	Message    message    `json:"message"`
}

type recipients struct {
	Type      string `json:"type"`
	EntityRef string `json:"entityRef"`
}

type message struct {
	Type string `json:"type"`
	Key  string `json:"key"`
}

// What has happened to a key.
const (
	keyChanged = "key-changed"
	keyDeleted = "key-deleted"
)

// send logs what keeps it from sending. The request has succeeded by then, and its end
// does not end the sending.
func (s signals) send(ctx context.Context, user, what, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signalTimeout)
	defer cancel()
	err := s.events.Publish(ctx, "signals", signal{recipients{"user", user}, pluginID, message{what, key}})
	if err != nil {
		s.log.WarnContext(ctx, "other tabs of a user are not told of a change", "user", user, "change", what, "error", err)
	}
}
