package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
)

// A Console is where a subcommand runs.
type Console struct {
	Program string   // the name of the program, for usage texts
	Args    []string // what follows the name of the subcommand
	Stdout  io.Writer
	Stderr  io.Writer
	Dir     string // the working directory
}

// ExitUsage is what subcommands exit with for a wrong command line, as Main does.
const ExitUsage = 2

// A Toolbox gives a subcommand what it needs of the program's features.
type Toolbox[T any] struct {
	build func(ctx context.Context, files []string, opts []fx.Option, use func(T, []error) error) ([]error, error)
	opts  []fx.Option
}

// With adds options to the scope of the feature, such as an fx.Decorate of a service that
// its modules are to see in another form.
func (b Toolbox[T]) With(opts ...fx.Option) Toolbox[T] {
	b.opts = append(slices.Clone(b.opts), opts...)
	return b
}

// Open builds the plugin of the subcommand, with its modules and with the process's
// services, and returns its T. Nothing is started, so that nothing connects to a
// database or takes a port. Without files there is no configuration at all: the plugin
// has its defaults.
//
// A command line tool often runs where the portal's secrets are not. So a module whose
// own section has a mistake, such as an environment variable that is not set, is left
// out, and the warnings say so. Mistakes in the plugin's section, and files that
// cannot be read, are the error.
func (b Toolbox[T]) Open(ctx context.Context, files ...string) (out T, warnings []error, err error) {
	warnings, err = b.build(ctx, files, b.opts, func(t T, _ []error) error { out = t; return nil })
	return out, warnings, err
}

// Use is Open for tools that work with the portal's database: T may be a db.DB, or
// something that has one, and it is open until use returns. A mistake in backend.database
// is the error, as there would be another database in its place. Migrations are not run.
func (b Toolbox[T]) Use(ctx context.Context, files []string, use func(T) error) (warnings []error, err error) {
	return b.build(ctx, files, b.opts, func(t T, warnings []error) error {
		for _, w := range warnings {
			if aboutDatabase(w) {
				return w
			}
		}
		return use(t)
	})
}

func aboutDatabase(err error) bool {
	const path = "backend.database"
	key, ok := errors.AsType[*config.KeyError](err)
	return ok && (key.Path == path || strings.HasPrefix(key.Path, path+"."))
}

// Subcommand makes programs that have the feature run a tool of it: "portal NAME ARGS"
// calls run in place of the server, and exits with what run returns. ctx ends with
// SIGINT or SIGTERM. T is what run wants of the scope of the feature, which is a plugin
// or a module of one. summary completes the line of --help that has the name.
func Subcommand[T any](name, summary string, run func(ctx context.Context, c Console, tools Toolbox[T]) int) fx.Option {
	return subcommandOption{Option: fx.Options(), name: name, summary: summary,
		run: func(ctx context.Context, b *Backend, f *feature, c Console) int {
			return run(ctx, c, Toolbox[T]{build: func(ctx context.Context, files []string, opts []fx.Option, use func(T, []error) error) ([]error, error) {
				var t T
				opts = append(slices.Clone(opts), fx.Invoke(func(built T) { t = built }))
				return b.buildFor(ctx, f, files, func(warnings []error) error { return use(t, warnings) }, opts...)
			}})
		}}
}

type subcommandOption struct {
	fx.Option
	name, summary string
	run           func(ctx context.Context, b *Backend, f *feature, c Console) int
}

// subcommands are those of all features, in the order of Add.
func (b *Backend) subcommands() (out []subcommand) {
	for _, f := range b.list() {
		for _, o := range f.opts {
			if s, ok := o.(subcommandOption); ok {
				out = append(out, subcommand{s, f})
			}
		}
	}
	return out
}

type subcommand struct {
	subcommandOption
	of *feature
}

// RunSubcommand runs the subcommand of a name, as Main does, and returns its exit code.
// The error says that no feature has one of that name.
func (b *Backend) RunSubcommand(ctx context.Context, name string, c Console) (code int, err error) {
	for _, s := range b.subcommands() {
		if s.name == name {
			return s.run(ctx, b, s.of, c), nil
		}
	}
	return 0, b.unknownSubcommand(name)
}

// runSubcommand runs the subcommand that args ask for. It reports false if they are
// not about one: then they are flags of the server.
func (b *Backend) runSubcommand(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) (code int, ok bool) {
	if len(args) < 2 || !slices.ContainsFunc(b.subcommands(), func(s subcommand) bool { return s.name == args[1] }) {
		return 0, false
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
			exitOnSignal(signals)
		case <-ctx.Done():
		}
	}()
	dir, err := os.Getwd()
	if err == nil {
		code, err = b.RunSubcommand(ctx, args[1], Console{Program: filepath.Base(args[0]), Args: args[2:], Stdout: stdout, Stderr: stderr, Dir: dir})
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
		return 1, true
	}
	return code, true
}

// subcommandUsage is the part of --help about them, and unknownSubcommand what is said
// about a word that is none.
func (b *Backend) subcommandUsage(name string) string {
	var out strings.Builder
	for i, s := range b.subcommands() {
		if i == 0 {
			fmt.Fprintf(&out, "\nor: %s COMMAND ..., see %s COMMAND --help\n\n", name, name)
		}
		fmt.Fprintf(&out, "  %-14s %s\n", s.name, s.summary)
	}
	return out.String()
}

func (b *Backend) unknownSubcommand(word string) error {
	var names []string
	for _, s := range b.subcommands() {
		names = append(names, s.name)
	}
	if near := config.Suggest(word, names); near != "" {
		return fmt.Errorf("unexpected argument %q, did you mean %s?", word, near)
	}
	return fmt.Errorf("unexpected argument %q", word)
}

// buildFor builds the graph of f's plugin alone, with opts in the scope of f, and calls
// then while the process's services are open.
func (b *Backend) buildFor(ctx context.Context, f *feature, files []string, then func(warnings []error) error, opts ...fx.Option) (warnings []error, err error) {
	tool := &Backend{features: b.list(), settings: b.settings}
	tool.settings.development, tool.settings.output = true, io.Discard
	if len(files) > 0 {
		tool.settings.config, tool.settings.files = nil, files
	} else if tool.settings.config, err = config.Parse("defaults", []byte("{}")); err != nil {
		return nil, err
	}
	c, found := tool.prepare(ctx)
	defer c.abandon()
	if c.unreadable {
		return nil, found.err()
	}
	for _, p := range found.list { // sections with mistakes have their defaults
		for _, err := range flatten(p.Err) {
			// What a server needs and the file lacks is nothing to a tool.
			if key, ok := errors.AsType[*config.KeyError](err); ok && key.Pos != "" || aboutDatabase(err) {
				warnings = append(warnings, err)
			}
		}
	}
	comp, _ := compose(c.features)
	group, err := comp.only(f.plugin)
	if err != nil {
		return nil, err
	}
	alone := &composition{plugins: []*pluginGroup{group}, services: comp.services, replacements: comp.replacements, left: map[string]error{}}
	var own problems
	for _, one := range alone.features() {
		for _, s := range one.sections() {
			for _, err := range config.Problems(s.check(c.cfg)) {
				own.add(one, err)
			}
		}
	}
	for _, p := range own.list {
		one := alone.find(p.Feature)
		if one == nil || one.kind == pluginFeature || one.name() == f.name() {
			return warnings, own.err()
		}
		warnings = append(warnings, fmt.Errorf("module %s is left out: %w", p.Feature, errors.Join(flatten(p.Err)...)))
		alone = alone.without(p.Feature, p.Err)
	}
	for _, g := range alone.plugins {
		g.add(f.name(), opts)
	}
	if scope, err := c.build(alone, newHooks()); err != nil {
		return warnings, c.bootError(alone.find(scope), err)
	}
	return warnings, then(warnings)
}

// only is the group of one plugin.
func (c *composition) only(id PluginID) (*pluginGroup, error) {
	for _, g := range c.plugins {
		if g.id() == id {
			return g, nil
		}
	}
	return nil, fmt.Errorf("plugin %q is not part of this backend", id)
}

// add gives a feature of the group more options. The feature is a copy, as others may
// hold the original.
func (g *pluginGroup) add(name string, opts []fx.Option) {
	with := func(f *feature) *feature {
		if f.name() != name {
			return f
		}
		more := *f
		more.opts = append(slices.Clone(f.opts), opts...)
		return &more
	}
	g.plugin = with(g.plugin)
	for i, m := range g.modules {
		g.modules[i] = with(m)
	}
}
