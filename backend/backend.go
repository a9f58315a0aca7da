package backend

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// A Backend is a set of features that run in one process. Its methods may be called
// from several goroutines, but Add only before Check, Start or Main.
type Backend struct {
	mu       sync.Mutex
	features []*feature
	late     []*feature // added after start, reported by Stop's caller in the log
	started  bool
	settings settings

	core *core
	addr net.Addr
	run  *running
}

// settings is what options say.
type settings struct {
	config       *config.Config
	files        []string
	remote       *config.Remote
	development  bool
	handler      slog.Handler
	output       io.Writer
	getenv       func(string) string
	startTimeout time.Duration
	rehearse     bool
	outageGrace  time.Duration // how long a database may be away before readiness turns off
	clock        Clock         // nil: the system's
}

// An Option configures a Backend; see WithConfig, WithConfigFiles, WithLogger,
// Development and WithStartTimeout.
type Option interface{ apply(*Backend) }

type optionFunc func(*settings)

func (f optionFunc) apply(b *Backend) { f(&b.settings) }

// WithConfig uses cfg instead of reading the files that --config names.
func WithConfig(cfg *config.Config) Option {
	return optionFunc(func(s *settings) { s.config = cfg })
}

// WithConfigFiles names the files to read when the command line has no --config.
// Without it they are app-config.yaml and its variants in the working directory.
func WithConfigFiles(files ...string) Option {
	return optionFunc(func(s *settings) { s.files = files })
}

// WithRemoteConfig lets --config name http and https addresses, which are asked for a new
// version as often as r says. Without it they are refused.
func WithRemoteConfig(r config.Remote) Option {
	return optionFunc(func(s *settings) { s.remote = &r })
}

// WithLogger sends every log record to h. Levels and redaction of backend.logger apply
// in front of it.
func WithLogger(h slog.Handler) Option {
	return optionFunc(func(s *settings) { s.handler = h })
}

// Development makes the checks that protect a portal in production lenient, as
// NODE_ENV=development does: a database in memory is accepted, error bodies carry
// stacks, and the landing page shows what plugins put on it.
func Development() Option {
	return optionFunc(func(s *settings) { s.development = true })
}

// WithStartTimeout bounds how long a plugin may take to start, its migrations
// included. The default is five minutes.
func WithStartTimeout(d time.Duration) Option {
	return optionFunc(func(s *settings) { s.startTimeout = d })
}

// Rehearse builds every graph once more than needed and throws it away, so that a
// constructor with side effects shows. backendtest uses it in every test.
func Rehearse() Option { return optionFunc(func(s *settings) { s.rehearse = true }) }

// New returns a Backend with the core services and no features.
func New(opts ...Option) *Backend {
	b := &Backend{settings: settings{getenv: os.Getenv, output: os.Stdout, startTimeout: 5 * time.Minute, outageGrace: outageGrace}}
	for _, o := range opts {
		o.apply(b)
	}
	return b
}

// Add adds features. Their order does not matter, except that modules register
// their extensions in the order in which they were added. Adding to a backend that
// has started is reported as an error in the log, and changes nothing.
func (b *Backend) Add(features ...Feature) {
	at := callerPosition(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range features {
		if f.f == nil {
			f.f = &feature{kind: pluginFeature, plugin: ""}
		}
		added := *f.f // a Feature value may be added to several backends
		added.addedAt = at
		if b.started {
			b.late = append(b.late, &added)
			if b.core != nil {
				b.core.log.Error("feature added after the backend has started; it is ignored", "feature", added.name(), "addedAt", at)
			}
			continue
		}
		b.features = append(b.features, &added)
	}
}

// Check does everything that Start does before it runs the first hook: it decodes every
// config section, resolves every dependency, and, if that went well, runs the constructors,
// which do no I/O. Its error is a *BootError that lists every problem found.
func (b *Backend) Check() error {
	_, err := b.inspect()
	return err
}

// Warnings lists what is odd in the configuration but stops nothing: unknown keys
// inside sections that this backend owns, with the key that was probably meant.
func (b *Backend) Warnings() []error {
	warnings, _ := b.inspect()
	return warnings
}

// inspect is Warnings and Check.
func (b *Backend) inspect() (warnings []error, problems error) {
	c, found := b.prepare(context.Background())
	defer c.abandon()
	comp, grouping := compose(b.list())
	found.list = append(found.list, grouping.list...)
	c.preflight(comp, &found)
	if !c.unreadable {
		warnings = c.unknownKeys(comp)
	}
	if found.err() == nil {
		c.construct(comp, &found)
	}
	return warnings, found.err()
}

func (b *Backend) list() []*feature {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*feature(nil), b.features...)
}

var errStarted = errors.New("backend has been started before; a Backend runs once")

// Addr returns the address that the backend listens on, from the moment when it does,
// which is before its plugins have started; nil before.
func (b *Backend) Addr() net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addr
}

// PluginOf returns the id of a plugin feature, false for features of other kinds.
func PluginOf(f Feature) (id string, ok bool) {
	if f.f == nil || f.f.kind != pluginFeature {
		return "", false
	}
	return string(f.f.plugin), true
}
