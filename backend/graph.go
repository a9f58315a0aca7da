package backend

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
)

// graph is the fx options of a composition: services at the root, and below it one
// scope per plugin (see docs/adr/0003).
//
//	root                      config, root logger, discovery, URL reader, NewService options
//	└─ plugin                 private provides and decorations of its core services
//	   └─ plugin              replacements of NewPluginService, extension points, its own options
//	      └─ plugin/module    the module's options
func (c *core) graph(comp *composition, hooks *hooks) fx.Option {
	opts := []fx.Option{c.rootServices(comp), fx.Decorate(func(fx.Lifecycle) fx.Lifecycle { return hooks.of(&feature{kind: serviceFeature}) })}
	for _, f := range comp.services {
		opts = append(opts, f.opts...)
	}
	for _, g := range comp.plugins {
		opts = append(opts, c.pluginScope(comp, g, hooks))
	}
	return fx.Options(opts...)
}

func (c *core) pluginScope(comp *composition, g *pluginGroup, hooks *hooks) fx.Option {
	inner := []fx.Option{c.derivedServices(g.id())}
	for _, chain := range comp.replacements {
		inner = append(inner, chain[0].decorate(chain))
	}
	for _, e := range g.plugin.extensionPoints() {
		inner = append(inner, e.Option)
	}
	for _, m := range g.modules {
		for _, e := range m.extensionPoints() {
			inner = append(inner, e.Option)
		}
	}
	inner = append(inner, g.plugin.plainOptions()...)
	for _, m := range g.ordered() {
		inner = append(inner, c.moduleScope(m, hooks))
	}
	id := g.id()
	return fx.Module(string(id),
		fx.Supply(id, fx.Private),
		c.pluginServices(id),
		fx.Decorate(func(l *slog.Logger) *slog.Logger { return l.With("plugin", string(id)) }),
		fx.Decorate(func(fx.Lifecycle) fx.Lifecycle { return hooks.of(g.plugin) }),
		fx.Module(string(id), inner...),
	)
}

func (c *core) moduleScope(m *feature, hooks *hooks) fx.Option {
	opts := append([]fx.Option{
		fx.Decorate(func(l *slog.Logger) *slog.Logger { return l.With("module", m.module) }),
		fx.Decorate(func(fx.Lifecycle) fx.Lifecycle { return hooks.of(m) }),
	}, m.plainOptions()...)
	return fx.Module(m.name(), opts...)
}

// A recorder watches what fx does, for the scope of the first constructor or invoked
// function that failed.
type recorder struct {
	mu     sync.Mutex
	failed string
}

func (r *recorder) LogEvent(e fxevent.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := e.(type) {
	case *fxevent.Run:
		if e.Err != nil && r.failed == "" {
			r.failed = e.ModuleName
		}
	case *fxevent.Invoked:
		if e.Err != nil && r.failed == "" {
			r.failed = e.ModuleName
		}
	}
}

// A leak is a constructor in a plugin's scope whose results everybody sees.
type leak struct{ scope, constructor, types string }

// leaks reads fx's log of a dry run. In a dry run fx builds no event logger, and its
// text is all there is; TestBootErrors holds its form.
type leaks struct{ found []leak }

var leakPattern = regexp.MustCompile(`PROVIDE\t(.+) <= (.+) from module "([^"]+)"`)

func (l *leaks) Printf(format string, args ...any) {
	m := leakPattern.FindStringSubmatch(fmt.Sprintf(format, args...))
	if m == nil {
		return
	}
	known := leak{scope: m[3], constructor: m[2], types: m[1]}
	if i := slices.IndexFunc(l.found, func(k leak) bool { return k.scope == known.scope && k.constructor == known.constructor }); i >= 0 {
		l.found[i].types += ", " + known.types
		return
	}
	l.found = append(l.found, known)
}

// build constructs the graph for real. Its error is the cause, without dig's wrapping,
// and the name of the scope that failed.
func (c *core) build(comp *composition, hooks *hooks) (scope string, err error) {
	r := &recorder{}
	app := fx.New(c.graph(comp, hooks),
		fx.WithLogger(func() fxevent.Logger { return r }),
		fx.RecoverFromPanics(),
	)
	err = app.Err()
	if err == nil {
		return "", nil
	}
	var pe dig.PanicError
	if errors.As(err, &pe) {
		p := &panicError{value: pe.Panic}
		if m := panicPattern.FindStringSubmatch(err.Error()); m != nil {
			p.at = fmt.Sprintf("in %s at %s:%s", strings.ReplaceAll(m[1], `"`, ""), shortPath(m[2]), m[3])
		}
		return r.failed, p
	}
	return r.failed, dig.RootCause(err)
}
