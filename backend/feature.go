package backend

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
)

// PluginID names a plugin, and so its config root, route prefix, and schema.
type PluginID string

// A Feature is what Add accepts: a plugin, a module, or a service. It is made by
// NewPlugin, NewModule, NewService and NewPluginService.
type Feature struct{ f *feature }

type featureKind int

const (
	pluginFeature featureKind = iota + 1
	moduleFeature
	serviceFeature
	pluginServiceFeature
)

type feature struct {
	kind    featureKind
	plugin  PluginID
	module  string
	opts    []fx.Option
	replace *replacement
	addedAt string // main.go:17, where Add was called
}

// name is how messages speak of the feature, and the name of its fx scope.
func (f *feature) name() string {
	switch f.kind {
	case pluginFeature:
		return string(f.plugin)
	case moduleFeature:
		return string(f.plugin) + "/" + f.module
	default:
		return "service"
	}
}

// NewPlugin declares a plugin. Its options apply in a scope of their own, in which
// the plugin's core services are available: PluginID, *slog.Logger, fx.Lifecycle,
// db.DB, Database, Router, Auth, Clients, UserInfo, Scheduler, Cache, Events, *Actions,
// ActionsClient, Auditor, trace.Tracer, metric.Meter, *Background, Landing, Index, UserCookie, RateLimits, and the root's
// InstanceMetadata, SystemMetadata, *Local, Health, *config.Config, *config.Watcher, Discovery, Environment, *scm.Integrations and scm.Reader.
//
// id is lower case, letters, digits and dashes. Constructors and invoked functions
// wire values together and do no I/O: the graph may be built more than once in one
// process, when a feature that fails is left out. What touches the network, the
// disk or the clock belongs in a start hook.
func NewPlugin(id string, opts ...fx.Option) Feature {
	return Feature{&feature{kind: pluginFeature, plugin: PluginID(id), opts: ungroup(opts)}}
}

// NewModule declares a module that extends the plugin with the given id. Its scope
// is nested in the plugin's, so it sees the plugin's core services and extension
// points. Modules are invoked before their plugin is.
func NewModule(plugin, id string, opts ...fx.Option) Feature {
	return Feature{&feature{kind: moduleFeature, plugin: PluginID(plugin), module: id, opts: ungroup(opts)}}
}

// NewService replaces core services for the whole process, with fx.Decorate or
// fx.Replace, or adds new ones, with fx.Provide.
func NewService(opts ...fx.Option) Feature {
	return Feature{&feature{kind: serviceFeature, opts: opts}}
}

// NewPluginService replaces the T of every plugin: replace gets the plugin's id and
// the T that it would have had. Several for one T apply in the order of Add.
func NewPluginService[T any](replace func(id PluginID, base T) (T, error)) Feature {
	return Feature{&feature{kind: pluginServiceFeature, replace: &replacement{
		typ: reflect.TypeFor[T](),
		apply: func(id PluginID, base any) (any, error) {
			b, _ := base.(T) // nil interfaces arrive as a nil any
			return replace(id, b)
		},
		decorate: func(chain []*replacement) fx.Option {
			return fx.Decorate(func(id PluginID, base T) (T, error) {
				var v any = base
				for _, r := range chain {
					var err error
					if v, err = r.apply(id, v); err != nil {
						return base, err
					}
				}
				out, _ := v.(T)
				return out, nil
			})
		},
	}}}
}

// A replacement is one NewPluginService. dig refuses two decorators of one type in
// one scope, so that all replacements of a type run in one.
type replacement struct {
	typ      reflect.Type
	apply    func(id PluginID, base any) (any, error)
	decorate func(chain []*replacement) fx.Option
}

// Section provides a T decoded from the config subtree at path, to the feature
// that lists it. Keys absent from the file keep their value from defaults. Preflight
// decodes every Section, so that a wrong key is reported with its line before any
// constructor runs.
func Section[T any](path string, defaults T) fx.Option {
	decode := func(c *config.Config) (T, error) {
		v := defaults
		err := c.Decode(path, &v)
		return v, err
	}
	return sectionOption{
		Option: fx.Provide(decode, fx.Private),
		path:   path,
		check:  func(c *config.Config) error { _, err := decode(c); return err },
		unknown: func(c *config.Config) []*config.KeyError {
			return c.UnknownKeys(path, reflect.TypeFor[T]())
		},
		defaults: defaults,
	}
}

type sectionOption struct {
	fx.Option
	path string
	// defaults is the T that keys are decoded over, for the reference.
	defaults any
	check    func(*config.Config) error
	unknown  func(*config.Config) []*config.KeyError
}

// ExtensionPoint provides one *T to the plugin that lists it and to its modules.
// By convention T is called Extensions and only has Add and Set methods. A module
// may list one too: its siblings see it, and it is invoked after those that do not.
func ExtensionPoint[T any]() fx.Option {
	return extensionOption{
		Option: fx.Provide(func() *T { return new(T) }, fx.Private),
		typ:    reflect.TypeFor[*T](),
	}
}

type extensionOption struct {
	fx.Option
	typ reflect.Type
}

// Migrations runs the goose migrations in fsys, which has the directories postgres
// and sqlite, before the plugin's first start hook.
func Migrations(fsys fs.FS) fx.Option {
	return migrationsOption{Option: fx.Options(), fsys: fsys}
}

type migrationsOption struct {
	fx.Option
	fsys fs.FS
}

// sections, extensionPoints and migrations are what the feature's options carry.
func (f *feature) sections() (out []sectionOption) {
	for _, o := range f.opts {
		if s, ok := o.(sectionOption); ok {
			out = append(out, s)
		}
	}
	return out
}

func (f *feature) extensionPoints() (out []extensionOption) {
	for _, o := range f.opts {
		if e, ok := o.(extensionOption); ok {
			out = append(out, e)
		}
	}
	return out
}

func (f *feature) migrations() (out []fs.FS) {
	for _, o := range f.opts {
		if m, ok := o.(migrationsOption); ok {
			out = append(out, m.fsys)
		}
	}
	return out
}

// plainOptions leaves out the extension points, which belong to the plugin's scope.
func (f *feature) plainOptions() (out []fx.Option) {
	for _, o := range f.opts {
		if _, ok := o.(extensionOption); !ok {
			out = append(out, o)
		}
	}
	return out
}

var idPattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// modulePattern is wider: upstream's module ids are free text in practice (awsS3).
var modulePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([-.:][A-Za-z0-9]+)*$`)

func (f *feature) checkID() error {
	if f.kind == pluginFeature || f.kind == moduleFeature {
		if !idPattern.MatchString(string(f.plugin)) {
			return Fix(fmt.Sprintf("plugin id %q is not lower-case letters, digits and dashes", f.plugin),
				fmt.Sprintf("rename it, for example to %q", suggestID(string(f.plugin))))
		}
	}
	if f.kind == moduleFeature && !modulePattern.MatchString(f.module) {
		return Fix(fmt.Sprintf("module id %q is not letters, digits and dashes", f.module),
			fmt.Sprintf("rename it, for example to %q", suggestID(f.module)))
	}
	return nil
}

func suggestID(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', b.Len() > 0 && r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if out := strings.Trim(b.String(), "-"); out != "" {
		return out
	}
	return "my-plugin"
}

// callerPosition is the file and line skip frames above its caller.
func callerPosition(skip int) string {
	_, file, line, ok := runtime.Caller(skip + 1)
	if !ok {
		return "an unknown place"
	}
	return shortPath(file) + ":" + strconv.Itoa(line)
}

// shortPath makes a source path of the build short enough to read: relative to the
// working directory where it is below it, else its last two elements.
func shortPath(file string) string {
	if abs, err := filepath.Abs("."); err == nil {
		if rel, err := filepath.Rel(abs, file); err == nil && !strings.HasPrefix(rel, "..") {
			return filepath.ToSlash(rel)
		}
	}
	dir, base := filepath.Split(filepath.ToSlash(file))
	return filepath.Base(dir) + "/" + base
}
