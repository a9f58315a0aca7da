package signals

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/signals/client"
)

// topicOwnership is that of the auth plugin's events about users who own things through
// other entities than before; their payload has the member userEntityRef.
const topicOwnership = "auth.ownershipChanged"

// Plugin adds the WebSocket that frontends listen to.
func Plugin() backend.Feature { return plugin(defaultLimits) }

func plugin(l limits) backend.Feature {
	return backend.NewPlugin("signals", fx.Supply(fx.Private, l), fx.Invoke(register))
}

type params struct {
	fx.In

	Limits     limits
	Config     *config.Config
	Auth       backend.Auth
	Users      backend.UserInfo
	Events     backend.Events
	Router     backend.Router
	Background *backend.Background
	Lifecycle  fx.Lifecycle
	Log        *slog.Logger
}

func register(p params) error {
	origins, err := readOrigins(p.Config)
	if err != nil {
		return err
	}
	h := newHub(p.Limits)
	d := &door{hub: h, limits: p.Limits, origins: origins, auth: p.Auth, users: p.Users, log: p.Log}
	// The contract leaves all paths of this plugin open, those without a route too.
	p.Router.Handle("GET /{$}", d.connect, backend.AllowUnauthenticated)
	p.Router.Handle("GET /health", health, backend.AllowUnauthenticated)
	p.Router.Handle("/{$}", nothing, backend.AllowUnauthenticated)
	p.Router.Handle("/{path}/{rest...}", nothing, backend.AllowUnauthenticated)
	p.Lifecycle.Append(fx.StartHook(func() {
		// An id of its own, because each replica delivers every signal to its own connections.
		id := "replica-" + rand.Text()
		p.Background.Go(func(ctx context.Context) {
			for e, err := range p.Events.Subscribe(ctx, id, client.Topic, topicOwnership) {
				if err != nil {
					p.Log.WarnContext(ctx, "signals are missed", "error", err)
					continue
				}
				take(ctx, h, e, p.Log)
			}
		})
	}))
	return nil
}

// take delivers one event.
func take(ctx context.Context, h *hub, e backend.Event, log *slog.Logger) {
	if e.Topic == topicOwnership {
		var changed struct {
			UserEntityRef string `json:"userEntityRef"`
		}
		if json.Unmarshal(e.Payload, &changed) == nil {
			h.reconnect(changed.UserEntityRef)
		}
		return
	}
	var p client.Payload
	err := json.Unmarshal(e.Payload, &p)
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		log.WarnContext(ctx, "event is no signal", "error", err)
		return
	}
	if slow := h.deliver(p); slow > 0 {
		log.InfoContext(ctx, "connections that do not read were closed", "channel", p.Channel, "connections", slow)
	}
}

// health is GET /health.
func health(w http.ResponseWriter, _ *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// nothing is every other path.
func nothing(w http.ResponseWriter, _ *http.Request) error {
	return httpx.Empty(w, http.StatusNotFound)
}
