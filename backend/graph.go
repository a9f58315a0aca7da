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
	opts := []fx.Option{c.rootServices(comp)}
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

// dry checks a graph without running any constructor.
func dry(l *leaks, opts ...fx.Option) error {
	return fx.ValidateApp(append(opts, fx.Logger(l))...)
}

// checkGraphs dry-runs each plugin on its own, and where that fails the plugin
// without its modules and then with one module at a time, so that each feature gets
// its own entry.
func (c *core) checkGraphs(comp *composition, found *problems) {
	points := map[string]*feature{} // "*catalog.Extensions" -> who offers it
	for _, f := range comp.features() {
		for _, e := range f.extensionPoints() {
			points[e.typ.String()] = f
		}
	}
	reported := map[leak]bool{}
	check := func(g *pluginGroup) error {
		r := &leaks{}
		alone := &composition{plugins: []*pluginGroup{g}, services: comp.services, replacements: comp.replacements}
		err := dry(r, c.graph(alone, newHooks()))
		for _, l := range r.found {
			if f := comp.find(l.scope); f != nil && !reported[l] {
				reported[l] = true
				found.add(f, Fix(fmt.Sprintf("%s provides %s to the whole backend, not only to %s", l.constructor, l.types, l.scope),
					"add fx.Private to that fx.Provide, or move it to a backend.NewService"))
			}
		}
		return err
	}
	for _, g := range comp.plugins {
		whole := check(g)
		if whole == nil {
			continue
		}
		var offering []*feature
		for _, m := range g.modules {
			if len(m.extensionPoints()) > 0 {
				offering = append(offering, m)
			}
		}
		bare := check(&pluginGroup{plugin: g.plugin})
		if bare != nil {
			found.add(g.plugin, explain(bare, g.plugin, points))
		}
		blamed := bare != nil
		for _, m := range g.modules {
			with := &pluginGroup{plugin: g.plugin, modules: []*feature{m}}
			for _, o := range offering {
				if o != m {
					with.modules = append(with.modules, o)
				}
			}
			if err := check(with); err != nil && (bare == nil || wanting(err).wanted != wanting(bare).wanted) {
				found.add(m, explain(err, m, points))
				blamed = true
			}
		}
		if !blamed { // only all of them together fail: two modules provide the same type
			found.add(g.plugin, explain(whole, g.plugin, points))
		}
	}
}

// A want is what dig says about a missing dependency.
type want struct {
	types  []string
	wanted string // function (file:line)
}

var (
	missingPattern = regexp.MustCompile(`missing types?: ([^\n]*)`)
	wantedPattern  = regexp.MustCompile(`function ("[^"]*"\.\S+) \(([^()\s]+):(\d+)\): missing type`)
	panicPattern   = regexp.MustCompile(`in func: ("[^"]*"\.\S+) \(([^()\s]+):(\d+)\)`)
	didYouMean     = regexp.MustCompile(` \(did you mean[^)]*\)`)
)

// wanting reads dig's message, which has no typed form; TestMissingDependency holds
// its shape.
func wanting(err error) want {
	var w want
	text := fmt.Sprintf("%v", err)
	if m := wantedPattern.FindStringSubmatch(text); m != nil {
		w.wanted = fmt.Sprintf("%s at %s:%s", strings.ReplaceAll(m[1], `"`, ""), shortPath(m[2]), m[3])
	}
	if m := missingPattern.FindStringSubmatch(text); m != nil {
		for t := range strings.SplitSeq(didYouMean.ReplaceAllString(m[1], ""), ";") {
			w.types = append(w.types, strings.TrimSpace(t))
		}
	}
	return w
}

// explain turns a failed dry run into words for the author of f.
func explain(err error, f *feature, points map[string]*feature) error {
	w := wanting(err)
	if len(w.types) == 0 {
		return fmt.Errorf("%s", tidy(dig.RootCause(err).Error()))
	}
	what := fmt.Sprintf("needs %s, which nothing in its scope provides", enumerate(w.types))
	if w.wanted != "" {
		what += "\nwanted by " + w.wanted
	}
	for _, t := range w.types {
		owner, ok := points[t]
		if !ok || owner.plugin == f.plugin {
			continue
		}
		return Fix(what, fmt.Sprintf("%s is an extension point of plugin %q and only visible to its modules: declare backend.NewModule(%q, %q, ...)",
			t, owner.plugin, owner.plugin, moduleName(f)))
	}
	return Fix(what, "provide it with fx.Provide(newX, fx.Private) in this feature, or for the whole process with backend.NewService")
}

func moduleName(f *feature) string {
	if f.kind == moduleFeature {
		return f.module
	}
	return string(f.plugin)
}

func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// tidy takes dig's frames out of a message.
func tidy(s string) string {
	if i := strings.LastIndex(s, "): "); i >= 0 && strings.Contains(s, "could not build arguments") {
		s = s[i+3:]
	}
	return s
}

// build constructs the graph for real. Its error is the cause, without dig's wrapping,
// and the name of the scope that failed.
func (c *core) build(comp *composition, hooks *hooks) (*fx.App, string, error) {
	r := &recorder{}
	app := fx.New(c.graph(comp, hooks),
		fx.WithLogger(func() fxevent.Logger { return r }),
		fx.RecoverFromPanics(),
		fx.StartTimeout(c.startTimeout), fx.StopTimeout(c.stopTimeout),
	)
	err := app.Err()
	if err == nil {
		return app, "", nil
	}
	var pe dig.PanicError
	if errors.As(err, &pe) {
		p := &panicError{value: pe.Panic}
		if m := panicPattern.FindStringSubmatch(err.Error()); m != nil {
			p.at = fmt.Sprintf("in %s at %s:%s", strings.ReplaceAll(m[1], `"`, ""), shortPath(m[2]), m[3])
		}
		return nil, r.failed, p
	}
	return nil, r.failed, dig.RootCause(err)
}
