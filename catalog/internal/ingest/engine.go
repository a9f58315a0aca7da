package ingest

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/catalog/internal/telemetry"
)

// Event topics (contract catalog.md, 3.11), and our own for what is held back.
const (
	TopicErrors   = "experimental.catalog.errors"
	TopicConflict = "experimental.catalog.conflict"
	TopicHeld     = "callboard.catalog.removalHeld"
)

// A Publisher carries events; its errors are logged.
type Publisher interface {
	Publish(ctx context.Context, topic string, payload any) error
}

// A Stitcher is told when entities wait in the stitch queue.
type Stitcher interface {
	// Wake says that something may be due.
	Wake()
	// Flush says that a round of processing is over: what was put off is due now.
	Flush()
}

// Options are what an Engine needs. Fields without a comment are required.
type Options struct {
	Store    *store.Store
	Pipeline *Pipeline
	Stitcher Stitcher
	Log      *slog.Logger

	Publisher Publisher            // nil: nobody listens
	Telemetry *telemetry.Telemetry // nil: nothing is measured
	Now       func() time.Time     // nil: time.Now
	// OnHeld is called after each listing whose removals are held back; nil: not.
	OnHeld func(ctx context.Context, held store.HeldRemoval)
	// OnFailure is called after each run that failed; nil: not.
	OnFailure func(ctx context.Context, unprocessed entity.Entity, failures []Failure)

	// IntervalMin and IntervalMax bound how long after a run the next one is due;
	// 0: 100 s and 150 s.
	IntervalMin, IntervalMax time.Duration
	// Concurrency is how many entities are processed at once; 0: 10.
	Concurrency int
	// MaxDryRun is how many entities a dry run follows; 0: 10,000.
	MaxDryRun int
	// Batch is how many are claimed, and at most committed, at once; 0: 250.
	Batch int
	// PollInterval is how long work of other replicas may go unnoticed; 0: 1 s.
	PollInterval time.Duration
	// KeepOrphans leaves entities that nothing emits any more.
	KeepOrphans bool
	// Guard holds large shrinks of a provider's set back; zero: no guard.
	Guard Guard
}

// An Engine processes entities. Run does the work; the other methods may be called
// from any goroutine, also where Run is not running.
type Engine struct {
	Options
	store *store.Store
	log   *slog.Logger

	wake     chan struct{} // holds a token while there may be entities due
	inFlight atomic.Int64  // claimed and not yet committed
	sweep    atomic.Int64  // where the next reconciliation begins

	restoreMu    sync.Mutex
	restore      map[string]func(context.Context) error // by provider
	incrementals map[string]*Incremental                // by provider
}

// NewEngine returns an Engine, which does nothing until Run.
func NewEngine(o Options) *Engine {
	if o.IntervalMin <= 0 || o.IntervalMax < o.IntervalMin {
		o.IntervalMin, o.IntervalMax = 100*time.Second, 150*time.Second
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 10
	}
	if o.Batch <= 0 {
		o.Batch = 250
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Engine{Options: o, store: o.Store, log: o.Log, wake: make(chan struct{}, 1)}
}

// Restorable names a provider that can emit its set again at any time; it is asked to
// when somebody deleted an entity of the set.
func (e *Engine) Restorable(provider string, restore func(context.Context) error) {
	e.restoreMu.Lock()
	defer e.restoreMu.Unlock()
	if e.restore == nil {
		e.restore = map[string]func(context.Context) error{}
	}
	e.restore[provider] = restore
}

func (e *Engine) restoreSets(ctx context.Context, providers []string) error {
	for _, name := range providers {
		e.restoreMu.Lock()
		restore := e.restore[name]
		e.restoreMu.Unlock()
		if restore == nil {
			continue
		}
		if err := restore(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) now() time.Time { return e.Now() }

// Wake says that entities may be due.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Engine) publish(ctx context.Context, topic string, payload any) {
	if e.Publisher == nil {
		return
	}
	if err := e.Publisher.Publish(ctx, topic, payload); err != nil && ctx.Err() == nil {
		e.log.WarnContext(ctx, "an event could not be published", "topic", topic, "error", err)
	}
}

// conflictEvent is the payload of TopicConflict.
type conflictEvent struct {
	UnprocessedEntity   entity.Entity `json:"unprocessedEntity"`
	EntityRef           string        `json:"entityRef"`
	NewLocationKey      string        `json:"newLocationKey,omitempty"`
	ExistingLocationKey string        `json:"existingLocationKey,omitempty"`
	LastConflictAt      string        `json:"lastConflictAt"`
}

// reportConflicts logs and publishes emissions that lost for the first time.
func (e *Engine) reportConflicts(ctx context.Context, conflicts []Conflict) {
	for _, c := range conflicts {
		if strings.HasPrefix(c.Ref, "location:default/generated-") {
			continue // the name is a hash of the target: both mean the same
		}
		e.log.WarnContext(ctx, "an entity is claimed from two places; the first one holds it", "entity", c.Ref, "heldBy", c.ExistingKey, "claimedBy", c.Key)
		unprocessed, _ := entity.Decode(c.Unprocessed)
		e.publish(ctx, TopicConflict, conflictEvent{unprocessed, c.Ref, c.Key, c.ExistingKey, e.now().UTC().Format(time.RFC3339Nano)})
	}
}

// errorEvent is the payload of TopicErrors.
type errorEvent struct {
	Entity   string    `json:"entity"`
	Location string    `json:"location,omitempty"`
	Errors   []Failure `json:"errors"`
}
