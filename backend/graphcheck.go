package backend

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"go.uber.org/dig"
	"go.uber.org/fx"
)

// dry checks a graph without running any constructor.
func dry(l *leaks, opts ...fx.Option) error {
	return fx.ValidateApp(append(opts, fx.Logger(l))...)
}

// A graphCheck dry-runs graphs, and finds out whose fault it is when one fails.
type graphCheck struct {
	c        *core
	comp     *composition
	found    *problems
	points   map[string]*feature // "*catalog.Extensions" -> who offers it
	reported map[leak]bool
}

// checkGraphs dry-runs the services, and each plugin on its own, so that each feature gets
// its own entry.
func (c *core) checkGraphs(comp *composition, found *problems) {
	g := &graphCheck{c: c, comp: comp, found: found, points: map[string]*feature{}, reported: map[leak]bool{}}
	for _, f := range comp.features() {
		for _, e := range f.extensionPoints() {
			g.points[e.typ.String()] = f
		}
	}
	if whole := g.dry(nil, comp.services); whole != nil {
		g.blameServices(whole)
	}
	for _, group := range comp.plugins {
		if whole := g.dry(group, comp.services); whole != nil {
			g.blame(group, whole)
		}
	}
}

// dry checks the graph of a plugin, or of services only if group is nil.
func (g *graphCheck) dry(group *pluginGroup, services []*feature) error {
	r := &leaks{}
	alone := &composition{services: services, replacements: g.comp.replacements}
	if group != nil {
		alone.plugins = []*pluginGroup{group}
	}
	err := dry(r, g.c.graph(alone, newHooks()))
	for _, l := range r.found {
		if f := g.comp.find(l.scope); f != nil && !g.reported[l] {
			g.reported[l] = true
			g.found.add(f, Fix(fmt.Sprintf("%s provides %s to the whole backend, not only to %s", l.constructor, l.types, l.scope),
				"add fx.Private to that fx.Provide, or move it to a backend.NewService"))
		}
	}
	return err
}

// lacking reports what the functions of f lack, and whether there was any. Each function
// is asked for on its own, with nothing else invoked, so that all that is missing is named,
// and not what dig comes across first.
func (g *graphCheck) lacking(f *feature, graphWith func(opts []fx.Option) error) bool {
	fns, rest := functions(f.opts)
	var wants []want
	for _, fn := range fns {
		types := missingOf(graphWith(append(rest[:len(rest):len(rest)], fn.probe())))
		if len(types) == 0 {
			continue
		}
		same := func(w want) bool { return slices.Equal(w.types, types) }
		if i := slices.IndexFunc(wants, same); i >= 0 {
			wants[i].wanted += ", and by " + fn.String()
		} else {
			wants = append(wants, want{types, fn.String()})
		}
	}
	for _, w := range wants {
		g.found.add(f, unmet(w, f, g.points))
	}
	return len(wants) > 0
}

func (g *graphCheck) blameServices(whole error) {
	quiet := quiet(g.comp.services)
	blamed := false
	for i, f := range g.comp.services {
		blamed = g.lacking(f, func(opts []fx.Option) error {
			return g.dry(nil, slices.Concat(quiet[:i], []*feature{f.with(opts)}, quiet[i+1:]))
		}) || blamed
	}
	if blamed {
		return
	}
	for _, f := range g.comp.services {
		if err := g.dry(nil, []*feature{f}); err != nil {
			blamed = true
			g.found.add(f, explain(err, f, g.points))
		}
	}
	if !blamed { // only all of them together fail
		g.found.add(g.comp.services[len(g.comp.services)-1], explain(whole, g.comp.services[0], g.points))
	}
}

func (g *graphCheck) blame(group *pluginGroup, whole error) {
	services := quiet(g.comp.services)
	features := append([]*feature{group.plugin}, group.modules...)
	still := quiet(features)
	blamed := false
	for i, f := range features {
		blamed = g.lacking(f, func(opts []fx.Option) error {
			all := slices.Concat(still[:i], []*feature{f.with(opts)}, still[i+1:])
			return g.dry(&pluginGroup{plugin: all[0], modules: all[1:]}, services)
		}) || blamed
	}
	if blamed || g.dry(group, services) == nil { // else it is the services' fault, and reported
		return
	}
	// A graph that cannot be put together: the plugin's own, or with which module.
	if bare := g.dry(&pluginGroup{plugin: group.plugin}, services); bare != nil {
		if g.dry(nil, services) == nil {
			g.found.add(group.plugin, explain(bare, group.plugin, g.points))
		}
		return
	}
	for _, m := range group.modules {
		with := &pluginGroup{plugin: group.plugin, modules: []*feature{m}}
		for _, o := range group.modules {
			if o != m && len(o.extensionPoints()) > 0 {
				with.modules = append(with.modules, o)
			}
		}
		if err := g.dry(with, services); err != nil {
			g.found.add(m, explain(err, m, g.points))
			blamed = true
		}
	}
	if !blamed { // only all of them together fail: two modules provide the same type
		g.found.add(group.plugin, explain(whole, group.plugin, g.points))
	}
}

// with is f with other options.
func (f *feature) with(opts []fx.Option) *feature {
	changed := *f
	changed.opts = opts
	return &changed
}

// quiet is features with nothing invoked.
func quiet(features []*feature) []*feature {
	out := make([]*feature, 0, len(features))
	for _, f := range features {
		_, rest := functions(f.opts)
		out = append(out, f.with(rest))
	}
	return out
}

// A function is a constructor, or what is invoked.
type function struct{ reflect.Value }

// functions takes options apart: the functions in them, and all options but the invokes.
// What fx.Annotate made is no function, and stays as it is.
func functions(opts []fx.Option) (fns []function, rest []fx.Option) {
	for _, o := range opts {
		v := reflect.ValueOf(o)
		if v.Kind() == reflect.Slice { // fx.Options
			for i := range v.Len() {
				if inner, ok := v.Index(i).Interface().(fx.Option); ok {
					f, r := functions([]fx.Option{inner})
					fns, rest = append(fns, f...), append(rest, r...)
				}
			}
			continue
		}
		name := reflect.TypeOf(o).String()
		if name == "fx.invokeOption" || name == "fx.provideOption" {
			targets := v.FieldByName("Targets")
			for i := range targets.Len() {
				if fn := targets.Index(i).Elem(); fn.Kind() == reflect.Func {
					fns = append(fns, function{fn})
				}
			}
		}
		if name != "fx.invokeOption" {
			rest = append(rest, o)
		}
	}
	return fns, rest
}

// probe asks for what f needs, and does nothing with it.
func (f function) probe() fx.Option {
	t := f.Type()
	in := make([]reflect.Type, 0, t.NumIn())
	for i := range t.NumIn() {
		if !t.IsVariadic() || i < t.NumIn()-1 { // what is variadic is optional
			in = append(in, t.In(i))
		}
	}
	nothing := func([]reflect.Value) []reflect.Value { return nil }
	return fx.Invoke(reflect.MakeFunc(reflect.FuncOf(in, nil, false), nothing).Interface())
}

// String says which function it is, and where.
func (f function) String() string {
	fn := runtime.FuncForPC(f.Pointer())
	if fn == nil {
		return f.Type().String()
	}
	file, line := fn.FileLine(f.Pointer())
	return fmt.Sprintf("%s at %s:%d", fn.Name(), shortPath(file), line)
}

// missingOf reads what a probe itself lacks, nothing if it is a constructor that does.
func missingOf(err error) []string {
	if err == nil {
		return nil
	}
	w := wanting(err)
	if !strings.HasPrefix(w.wanted, "reflect.") {
		return nil
	}
	return w.types
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
		w.wanted = place(m[1:])
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
	if w := wanting(err); len(w.types) > 0 {
		return unmet(w, f, points)
	}
	if dig.IsCycleDetected(err) {
		return cycle(err)
	}
	if twice := providedTwice(err); twice != nil {
		return twice
	}
	return errors.New(tidy(dig.RootCause(err).Error()))
}

var (
	stepPattern  = regexp.MustCompile(`provided by ("[^"]*"\.\S+) \(([^()\s]+):(\d+)\)`)
	twicePattern = regexp.MustCompile(`cannot provide function ("[^"]*"\.\S+) \(([^()\s]+):(\d+)\): cannot provide (\S+) from`)
)

// place writes a function and where it is, of the three groups that patterns match.
func place(m []string) string {
	return fmt.Sprintf("%s at %s:%s", strings.ReplaceAll(m[0], `"`, ""), shortPath(m[1]), m[2])
}

// cycle reads dig's text, which has no typed form; TestBootErrors holds its form.
func cycle(err error) error {
	what := "its constructors need each other, in a circle:"
	for i, m := range stepPattern.FindAllStringSubmatch(err.Error(), -1) {
		if i > 0 {
			what += "\n  needs what comes from"
		} else {
			what += "\n "
		}
		what += " " + place(m[1:])
	}
	return Fix(what, "take one of the dependencies out: hand it over later, in a start hook or by a method")
}

// providedTwice reads what dig says when a type has two constructors, nil if that is not
// what is wrong.
func providedTwice(err error) error {
	text := err.Error()
	m := twicePattern.FindStringSubmatch(text)
	_, first, ok := strings.Cut(text, "already provided by ")
	if m == nil || !ok {
		return nil
	}
	what := fmt.Sprintf("%s is provided twice: by %s", m[4], place(m[1:]))
	if at := stepPattern.FindStringSubmatch("provided by " + first); at != nil {
		what += "\nand by " + place(at[1:])
	}
	return Fix(what, "remove one of the two; to replace a core service use backend.NewService or backend.NewPluginService")
}

// unmet says that nothing provides what is wanted.
func unmet(w want, f *feature, points map[string]*feature) error {
	what := fmt.Sprintf("needs %s, which nothing in its scope provides", enumerate(w.types))
	if w.wanted != "" && !strings.HasPrefix(w.wanted, "reflect.") { // what fx.Annotate made
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
