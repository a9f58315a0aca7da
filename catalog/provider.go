package catalog

import (
	"context"
	"fmt"
	"iter"
	"log/slog"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// An EntityProvider owns a set of entities in the catalog and keeps it up to date.
//
// Most providers list one source every so often: they implement Source, and Poll
// makes an EntityProvider of it.
type EntityProvider interface {
	// ProviderName is unique, and stable across restarts: entities belong to it.
	ProviderName() string
	// Connect is called once at startup. It must not block on the source. conn may
	// be kept, and used from any goroutine until the program ends; what runs in
	// the background is scheduled with it, see Host.
	Connect(ctx context.Context, conn Connection) error
}

// A Connection is how a provider changes what it owns. Its methods may be called from
// any goroutine; changes of one provider's set wait for each other.
type Connection interface {
	// Replace makes entities the provider's whole set. If the sequence yields an
	// error, nothing changes, and the same is true for an entity that has no
	// well-formed envelope. Entities are read one by one, and only those that
	// differ from what the catalog has are kept until the end, so the set may be
	// larger than the memory. A listing that would remove an unusual share of the
	// set changes nothing but what is added and updated until it is confirmed:
	// see catalog.massDeletionGuard.
	Replace(ctx context.Context, entities iter.Seq2[Deferred, error]) error
	// Apply adds or updates some entities, and removes others as far as the provider
	// owns them; of removed ones only the reference counts.
	Apply(ctx context.Context, added, removed []Deferred) error
	// Refresh schedules the entities that carry one of keys for processing.
	Refresh(ctx context.Context, keys ...string) error
}

// Deferred is an entity that has not been processed yet. Its annotations
// backstage.io/managed-by-location and -origin-location say where it comes from; an
// entity without them is accepted, and fails when it is processed.
type Deferred struct {
	Entity entity.Entity
	// LocationKey tells sources apart that emit one reference: the first one holds it,
	// and others are conflicts until it lets go. Empty: whoever has a key may take
	// it.
	LocationKey string
}

// DeferredRef names an entity that Apply is to remove.
func DeferredRef(ref entity.Ref) Deferred {
	return Deferred{Entity: entity.Entity{
		"kind": ref.Kind, "metadata": map[string]any{"namespace": ref.Lower().Namespace, "name": ref.Name},
	}}
}

// A Source lists all the entities of one place.
type Source interface {
	ProviderName() string
	// Entities yields the whole set. An error ends it, and nothing changes.
	Entities(ctx context.Context) iter.Seq2[Deferred, error]
}

// EventSource is implemented by sources that can turn an event into a change.
type EventSource interface {
	Topics() []string
	// Change returns what an event adds and removes, both empty if nothing. It is
	// called for one event at a time.
	Change(ctx context.Context, e backend.Event) (added, removed []Deferred, err error)
}

// A Host is what the catalog's Connections can do besides: run a provider's task on
// a schedule, on one replica at a time, and bring it events. Poll uses it.
type Host interface {
	// Schedule is Scheduler.Schedule, with a task id that starts with the
	// provider's name.
	Schedule(id string, s config.Schedule, task func(context.Context) error) error
	// Subscribe calls handle for every event on topics until the program ends.
	Subscribe(topics []string, handle func(context.Context, backend.Event) error) error
	// Log is the logger of the catalog, with the provider's name.
	Log() *slog.Logger
}

// Poll returns a provider that replaces its set with what src lists, on schedule,
// on one replica at a time. When src also implements EventSource, its events are
// applied in between.
func Poll(src Source, s config.Schedule) EntityProvider { return &poll{src, s} }

type poll struct {
	src      Source
	schedule config.Schedule
}

func (p *poll) ProviderName() string { return p.src.ProviderName() }

func (p *poll) Connect(_ context.Context, conn Connection) error {
	host, ok := conn.(Host)
	if !ok {
		return fmt.Errorf("provider %s polls, and needs a connection that is a catalog.Host; this is a %T", p.ProviderName(), conn)
	}
	if events, ok := p.src.(EventSource); ok {
		err := host.Subscribe(events.Topics(), func(ctx context.Context, e backend.Event) error {
			added, removed, err := events.Change(ctx, e)
			if err != nil || len(added)+len(removed) == 0 {
				return err
			}
			return conn.Apply(ctx, added, removed)
		})
		if err != nil {
			return err
		}
	}
	return host.Schedule("refresh", p.schedule, func(ctx context.Context) error {
		return conn.Replace(ctx, p.src.Entities(ctx))
	})
}

// connection is the Connection, and Host, of one provider.
type connection struct {
	provider *ingest.Provider
	tasks    taskRunner
	log      *slog.Logger
}

var (
	_ Connection = (*connection)(nil)
	_ Host       = (*connection)(nil)
)

func (c *connection) Replace(ctx context.Context, entities iter.Seq2[Deferred, error]) error {
	return c.provider.Replace(ctx, func(yield func(ingest.Deferred, error) bool) {
		for d, err := range entities {
			if !yield(ingest.Deferred(d), err) {
				return
			}
		}
	})
}

func (c *connection) Apply(ctx context.Context, added, removed []Deferred) error {
	return c.provider.Apply(ctx, deferred(added), refsOf(removed))
}

func (c *connection) Refresh(ctx context.Context, keys ...string) error {
	return c.provider.Refresh(ctx, keys...)
}

func (c *connection) Schedule(id string, s config.Schedule, task func(context.Context) error) error {
	return c.tasks.schedule(c.provider.Name+":"+id, s, task)
}

func (c *connection) Subscribe(topics []string, handle func(context.Context, backend.Event) error) error {
	return c.tasks.subscribe(c.provider.Name, topics, handle)
}

func (c *connection) Log() *slog.Logger { return c.log }
