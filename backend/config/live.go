package config

import (
	"reflect"
	"sync"
	"sync/atomic"
)

// A Live is a section that follows the configuration. Code that reads it anew for
// every piece of work picks up changes without a restart:
//
//	rules, err := config.NewLive(watcher, "catalog.rules", defaults)
//	...
//	for _, r := range rules.Get() {
//
// A new version that does not decode, or that its Validate refuses, is logged, and
// the one before it stays in force. Live is safe for concurrent use.
type Live[T any] struct {
	w        *Watcher
	path     string
	defaults T
	current  atomic.Pointer[T]
	cancel   func()

	mu      sync.Mutex
	changed []func(T)
}

// NewLive decodes the section at path, as [Config.Decode] does into a copy of
// defaults, and follows it from then on.
func NewLive[T any](w *Watcher, path string, defaults T) (*Live[T], error) {
	l := &Live[T]{w: w, path: path, defaults: defaults}
	value := defaults
	if err := w.Config().Decode(path, &value); err != nil {
		return nil, err
	}
	l.current.Store(&value)
	l.cancel = w.Subscribe(l.take)
	return l, nil
}

// Get returns the section as it is now. Callers must not change what it refers to.
func (l *Live[T]) Get() T { return *l.current.Load() }

// OnChange calls f with every new version of the section that differs from the one
// before it.
func (l *Live[T]) OnChange(f func(T)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = append(l.changed, f)
}

// Close stops following.
func (l *Live[T]) Close() { l.cancel() }

func (l *Live[T]) take(cfg *Config) {
	value := l.defaults
	if err := cfg.Decode(l.path, &value); err != nil {
		l.w.log.Error("section of the configuration has changed and is not valid, the one before it stays in force",
			"section", l.path, "error", err.Error())
		return
	}
	if reflect.DeepEqual(value, l.Get()) {
		return
	}
	l.current.Store(&value)
	l.mu.Lock()
	changed := l.changed
	l.mu.Unlock()
	for _, f := range changed {
		f(value)
	}
}
