package catalogtest

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Recorder is a catalog.Connection, and a catalog.Host, that keeps a provider's set
// in memory. It obeys the rules of both: a listing that fails changes nothing. The zero
// value is an empty set. Its methods may be called from any goroutine.
type Recorder struct {
	mu        sync.Mutex
	set       map[string]catalog.Deferred
	refreshed []string
	tasks     map[string]func(context.Context) error
	handlers  map[string][]func(context.Context, backend.Event) error
	model     *entity.Model
}

var (
	_ catalog.Connection = (*Recorder)(nil)
	_ catalog.Host       = (*Recorder)(nil)
)

// Replace implements catalog.Connection.
func (r *Recorder) Replace(ctx context.Context, entities iter.Seq2[catalog.Deferred, error]) error {
	set := map[string]catalog.Deferred{}
	for d, err := range entities {
		if err == nil {
			err = r.check(d)
		}
		if err != nil {
			return err
		}
		d.Entity = d.Entity.Clone()
		set[d.Entity.Ref().String()] = d
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set = set
	return nil
}

// Apply implements catalog.Connection.
func (r *Recorder) Apply(_ context.Context, added, removed []catalog.Deferred) error {
	for _, d := range added {
		if err := r.check(d); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil {
		r.set = map[string]catalog.Deferred{}
	}
	for _, d := range removed {
		delete(r.set, d.Entity.Ref().String())
	}
	for _, d := range added {
		d.Entity = d.Entity.Clone()
		r.set[d.Entity.Ref().String()] = d
	}
	return nil
}

func (r *Recorder) check(d catalog.Deferred) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.model == nil {
		r.model = entity.NewModel(entity.ModelOptions{})
	}
	if err := r.model.CheckIdentity(d.Entity); err != nil {
		return fmt.Errorf("entity %s: %w", d.Entity.Ref(), err)
	}
	return nil
}

// Refresh implements catalog.Connection.
func (r *Recorder) Refresh(_ context.Context, keys ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refreshed = append(r.refreshed, keys...)
	return nil
}

// Schedule implements catalog.Host: the task waits for Run.
func (r *Recorder) Schedule(id string, _ config.Schedule, task func(context.Context) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tasks == nil {
		r.tasks = map[string]func(context.Context) error{}
	}
	if r.tasks[id] != nil {
		return fmt.Errorf("task %q is scheduled twice", id)
	}
	r.tasks[id] = task
	return nil
}

// Subscribe implements catalog.Host: events come from Send.
func (r *Recorder) Subscribe(topics []string, handle func(context.Context, backend.Event) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handlers == nil {
		r.handlers = map[string][]func(context.Context, backend.Event) error{}
	}
	for _, topic := range topics {
		r.handlers[topic] = append(r.handlers[topic], handle)
	}
	return nil
}

// Log implements catalog.Host; what is logged is dropped.
func (r *Recorder) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Run runs every scheduled task once, in the order of their ids.
func (r *Recorder) Run(ctx context.Context) error {
	r.mu.Lock()
	tasks := maps.Clone(r.tasks)
	r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(tasks)) {
		if err := tasks[id](ctx); err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
	}
	return nil
}

// Send hands an event to whoever subscribed to its topic.
func (r *Recorder) Send(ctx context.Context, e backend.Event) error {
	r.mu.Lock()
	handlers := slices.Clone(r.handlers[e.Topic])
	r.mu.Unlock()
	for _, handle := range handlers {
		if err := handle(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// Set is the provider's set, by reference.
func (r *Recorder) Set() map[string]catalog.Deferred {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.set)
}

// Refs lists the references of the set, sorted.
func (r *Recorder) Refs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.set))
}

// Refreshed lists the keys that were refreshed, in order.
func (r *Recorder) Refreshed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refreshed)
}
