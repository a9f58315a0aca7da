package backend

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// Environment says what the checks that protect a portal assume. It is production
// unless NODE_ENV or CALLBOARD_ENV is "development" or main says so with Development.
type Environment string

const (
	ProductionEnvironment  Environment = "production"
	DevelopmentEnvironment Environment = "development"
)

// Database is the database of one plugin. Opening it is left to the first query.
// Stores take a db.DB, which is injected beside it and speaks both dialects.
type Database interface {
	// Pgx returns the native pool; false on SQLite.
	Pgx() (*pgxpool.Pool, bool)
	// SQL returns a database/sql handle on either.
	SQL() *sql.DB
}

// Scheduler runs recurring tasks of one plugin.
type Scheduler interface {
	// Schedule starts running task as often as s says, on one replica at a time
	// unless s.Scope is "local". A context given to a task ends after s.Timeout.
	// It may be called before the plugin has started; the first run is after start.
	Schedule(id string, s config.Schedule, task func(context.Context) error) error
	// Trigger runs a task now, on whichever replica gets to it first.
	Trigger(ctx context.Context, id string) error
}

// Router serves one plugin's API below /api/<plugin>.
type Router interface {
	// Handle takes a net/http pattern without the prefix: "GET /entities/by-uid/{uid}".
	// Only signed-in users and other plugins get in unless allow says otherwise.
	// Two patterns that match the same requests are a boot error.
	Handle(pattern string, h Handler, allow ...Access)
}

// Handler is http.Handler with an error, which is written in upstream's error shape
// (contract/backend.md section 6).
type Handler = httpx.HandlerFunc

// Access widens who may call a route.
type Access = httpx.Access

const (
	// AllowUnauthenticated lets everybody in; httpx.CallerOf says who it is, if anybody.
	AllowUnauthenticated = httpx.AllowUnauthenticated
	// AllowUserCookie also lets in the limited user token of the cookie backstage-auth.
	AllowUserCookie = httpx.AllowUserCookie
)

// Auth issues and checks tokens on behalf of one plugin.
type Auth interface {
	// Credentials of the caller of r, which the router has already checked.
	Credentials(r *http.Request) (Credentials, error)
	// Own returns this plugin's own service credentials.
	Own() Credentials
	// TokenFor returns a token that lets the bearer act as c towards plugin.
	TokenFor(ctx context.Context, c Credentials, plugin string) (string, error)
}

// Credentials is who is calling: a user, a service, or nobody.
type Credentials = principal.Credentials

// A Principal is a User, a Service, or None.
type Principal = principal.Principal

// Discovery tells where plugins answer, in this process or in another.
type Discovery interface {
	// BaseURL is where this process reaches the plugin: http://localhost:7007/api/catalog.
	BaseURL(plugin string) (string, error)
	// ExternalBaseURL is where browsers reach it, below backend.baseUrl.
	ExternalBaseURL(plugin string) (string, error)
}

// Cache holds values that may vanish.
type Cache interface {
	Get(ctx context.Context, key string) ([]byte, bool, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Delete(ctx context.Context, key string) error
}

// Events carries events between plugins, and between replicas.
type Events interface {
	Publish(ctx context.Context, topic string, payload any) error
	Subscribe(ctx context.Context, id string, topics ...string) iter.Seq2[Event, error]
}

// An Event is one message on a topic.
type Event struct {
	Topic    string
	Payload  []byte
	Metadata map[string]string
}

// Landing is the plain page that a backend without a frontend shows at /. Sections
// are shown in development only, because they are shown to everybody.
type Landing interface {
	// Section adds a titled list of links. list is called for each view of the page
	// and may take at most two seconds.
	Section(title string, list func(ctx context.Context) ([]Link, error))
}

// A Link is one line of a Landing section.
type Link struct{ Text, Href, Note string }

// Index answers every path outside of /api: pages, in a portal that serves its frontend.
type Index interface {
	// Handle makes h answer these paths in place of the Landing page. Requests wait until the
	// plugin has started, as for routes of its Router, and everybody is let in. Where h returns
	// ErrNoPage the Landing page answers. A second plugin that calls it is a boot error.
	Handle(h Handler)
}

// ErrNoPage is what the handler of the Index returns to have the Landing page answer.
var ErrNoPage = errors.New("the frontend has no page for this")

// UserCookie is how browsers show who their user is where no script can add a token: for
// pages, and what pages load. The cookie is that of every plugin, backstage-auth.
type UserCookie interface {
	// User returns the user whose cookie r has, and false if r has none. An error says that
	// the cookie is not, or no longer, valid.
	User(r *http.Request) (principal.User, bool, error)
	// Set gives the browser the cookie of the user whose token it is. The error is an
	// apierr.Authentication if the token is none of a user.
	Set(ctx context.Context, w http.ResponseWriter, token string) error
	// Clear takes the cookie away.
	Clear(w http.ResponseWriter)
}
