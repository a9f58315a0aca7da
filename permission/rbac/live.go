package rbac

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// followEvery is how often a replica looks for changes of others, half of the two seconds
// within which it must have seen them.
const followEvery = time.Second

// live is the stored state, ready for deciding. Readers never wait: a change makes a new
// snapshot, and then swaps one pointer.
type live struct {
	store   *store.Store
	options engine.Options
	log     *slog.Logger

	current atomic.Pointer[loaded]
	mu      sync.Mutex // of swaps
}

// loaded is a state with the snapshot made of it.
type loaded struct {
	state    *engine.State // never changed
	snapshot *engine.Snapshot
}

func newLive(s *store.Store, o engine.Options, log *slog.Logger) *live {
	l := &live{store: s, options: o, log: log}
	l.current.Store(&loaded{&engine.State{}, engine.NewSnapshot(&engine.State{}, o)})
	return l
}

func (l *live) state() *engine.State       { return l.current.Load().state }
func (l *live) snapshot() *engine.Snapshot { return l.current.Load().snapshot }

// change has fn change what is stored, and returns that when decisions of this replica go by it.
func (l *live) change(ctx context.Context, fn func(*engine.State) error) (*engine.State, error) {
	s, err := l.store.Change(ctx, l.state(), fn)
	if err != nil {
		return nil, err
	}
	l.adopt(s)
	return s, nil
}

// adopt makes decisions go by a state, unless they go by a newer one already.
func (l *live) adopt(s *engine.State) {
	next := &loaded{s, engine.NewSnapshot(s, l.options)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Version >= l.state().Version {
		l.current.Store(next)
	}
}

// follow takes over what other replicas have changed, until ctx ends.
func (l *live) follow(ctx context.Context) {
	failing := false
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := l.catchUp(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "changes of roles by other replicas cannot be read; decisions go by what was read last", "error", err)
		}
		failing = err != nil
	}
}

func (l *live) catchUp(ctx context.Context) error {
	v, err := l.store.Version(ctx)
	if err != nil || v == l.state().Version {
		return err
	}
	s, err := l.store.Load(ctx)
	if err == nil {
		l.adopt(s)
	}
	return err
}
