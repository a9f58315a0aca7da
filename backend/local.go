package backend

import (
	"reflect"
	"sync"

	"go.uber.org/fx"
)

// Local is where plugins of one process find each other's Go values, so that what one
// asks of another need not become HTTP when both are in the same process. It is injected
// everywhere. A plugin that uses it must also do without: the other one may run
// elsewhere.
type Local struct {
	here func(plugin string) bool

	mu     sync.RWMutex
	values map[localKey]any
}

type localKey struct {
	plugin PluginID
	typ    reflect.Type
}

func newLocal(here func(plugin string) bool) *Local {
	return &Local{here: here, values: map[localKey]any{}}
}

// NewLocal returns one of a process that answers for all plugins itself, for tests
// without a backend.
func NewLocal() *Local { return newLocal(func(string) bool { return true }) }

// Offer leaves the T of a plugin for others. It is called from constructors and invoked
// functions; of several the last one counts.
func Offer[T any](l *Local, plugin PluginID, v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values[localKey{plugin, reflect.TypeFor[T]()}] = v
}

// Find returns the T that a plugin has offered. There is none where the plugin is not
// part of this process, or where discovery.endpoints says that another process answers
// for it. It is called once everything is put together: from hooks, tasks and requests.
func Find[T any](l *Local, plugin PluginID) (T, bool) {
	l.mu.RLock()
	v, ok := l.values[localKey{plugin, reflect.TypeFor[T]()}].(T)
	l.mu.RUnlock()
	if !ok || !l.here(string(plugin)) {
		var none T
		return none, false
	}
	return v, true
}

// Options is several options as one, for packages that give plugins what takes more than
// one of Section, ExtensionPoint, Migrations, Subcommand and fx's own.
func Options(opts ...fx.Option) fx.Option { return groupOption{fx.Options(), opts} }

type groupOption struct {
	fx.Option
	opts []fx.Option
}

// ungroup takes Options apart.
func ungroup(opts []fx.Option) (out []fx.Option) {
	for _, o := range opts {
		if g, ok := o.(groupOption); ok {
			out = append(out, ungroup(g.opts)...)
		} else {
			out = append(out, o)
		}
	}
	return out
}
