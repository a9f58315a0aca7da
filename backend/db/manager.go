package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// A Manager hands every plugin its database. One process has one.
type Manager struct {
	cfg  Config
	opts options

	// creating serialises the creation of databases and schemas in this process.
	creating sync.Mutex
	// migrating holds a token for every migration session, so that a boot of many
	// plugins stays within a few connections.
	migrating chan struct{}
	files     *fileLocks

	reconnects reconnects
	crowd      crowd

	mu      sync.Mutex
	plugins map[string]*Plugin
	closed  bool
}

// maxMigrating is how many plugins of one process migrate at once; each needs one connection.
const maxMigrating = 4

// keepAliveEvery is how often idle pools are used (contract/backend.md section 8).
const keepAliveEvery = time.Minute

type options struct {
	observe Observer
	log     *slog.Logger
	types   map[string]func(Connection) (TokenSource, error)
	tick    time.Duration
	watch   time.Duration
}

// An Option configures a Manager.
type Option func(*options)

// WithObserver has o told of every statement.
func WithObserver(o Observer) Option { return func(opts *options) { opts.observe = o } }

// WithLogger sends what the keep-alive finds to log. Without it nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(opts *options) { opts.log = log } }

// WithConnectionType makes name a value of connection.type. open is called by New
// once for every connection that has it, without I/O; its error is a boot error.
// The names upstream knows are azure, cloudsql and rds.
func WithConnectionType(name string, open func(Connection) (TokenSource, error)) Option {
	return func(opts *options) { opts.types[name] = open }
}

// New checks cfg and returns a Manager. It does no I/O. Its error joins every
// problem found, each a *config.KeyError with the whole path of its key.
func New(cfg Config, opts ...Option) (*Manager, error) {
	m := &Manager{
		cfg: cfg, migrating: make(chan struct{}, maxMigrating), files: newFileLocks(), plugins: map[string]*Plugin{},
		opts: options{log: slog.New(slog.DiscardHandler), types: map[string]func(Connection) (TokenSource, error){}, tick: keepAliveEvery, watch: watchEvery},
	}
	for _, opt := range opts {
		opt(&m.opts)
	}
	m.crowd.shed = m.shedIdle
	var errs []error
	for _, err := range config.Problems(cfg.Validate()) {
		errs = append(errs, under(rootKey, err))
	}
	known := errs[:len(errs):len(errs)]
	// The settings that all plugins share, and those of each that has its own.
	ids := []string{""}
	for id := range cfg.Plugin {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	seen := map[string]bool{}
	for _, id := range ids {
		for _, err := range config.Problems(m.newPlugin(id).err) {
			if text := err.Error(); !seen[text] && !config.Covered(err, known...) {
				seen[text] = true
				errs = append(errs, err)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return m, nil
}

// under puts err, which is relative to key, below key.
func under(key string, err error) error {
	var at *config.KeyError
	if errors.As(err, &at) && !strings.HasPrefix(at.Path, rootKey+".") {
		return &config.KeyError{Path: key + "." + at.Path, Pos: at.Pos, Err: at.Err}
	}
	return config.At(key, err)
}

// Plugin returns the database of the plugin id, always the same one. It does no I/O;
// a problem with the plugin's settings is reported by whatever is done with it first.
func (m *Manager) Plugin(id string) *Plugin {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.plugins[id]; ok {
		return p
	}
	p := m.newPlugin(id)
	if m.closed && p.err == nil {
		p.err = errClosed
	}
	m.plugins[id] = p
	return p
}

// KeepAlive uses every open pool once a minute, so that nothing on the way drops its
// connections, and closes SQLite readers that were not used since. A failure is
// logged once, until it works again. It returns when ctx ends.
func (m *Manager) KeepAlive(ctx context.Context) {
	ticker := time.NewTicker(m.opts.tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var wg sync.WaitGroup
		for _, p := range m.list() {
			wg.Go(func() { p.keepAlive(ctx, last) })
		}
		wg.Wait()
		last = time.Now()
	}
}

func (m *Manager) list() []*Plugin {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*Plugin, 0, len(m.plugins))
	for _, p := range m.plugins {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Plugin) int { return strings.Compare(a.id, b.id) })
	return out
}

// Close closes all databases, waiting up to 10 s for transactions that still run.
// Statements after it fail.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	var errs []error
	for _, p := range m.list() {
		errs = append(errs, p.Close())
	}
	m.files.releaseAll()
	return errors.Join(errs...)
}

// Summary says in one line where the data is, for the log at start.
func (m *Manager) Summary() string {
	p := m.newPlugin("")
	switch {
	case p.err != nil:
		return p.err.Error()
	case p.set.dialect == Postgres:
		return fmt.Sprintf("PostgreSQL at %s, one %s per plugin", p.address(), cmpOr(m.cfg.PluginDivisionMode, divideByDatabase))
	case m.cfg.Connection.Directory != "":
		return "SQLite files in " + m.cfg.Connection.Directory
	default:
		return "SQLite in memory: nothing is kept"
	}
}
