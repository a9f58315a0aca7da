package scm

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"slices"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Options configure NewReader. The zero value reads from the public hosts.
type Options struct {
	// Reading lists the plain URLs that may be read.
	Reading ReadingConfig
	// Factories add readers for further kinds, such as awss3.Readers.
	Factories []ReaderFactory
	// WorkingDirectory is where trees are kept while they are read;
	// os.TempDir() if empty.
	WorkingDirectory string
	// Clients are shared with other users of the same hosts; new ones if nil.
	Clients *Clients
	// Limits bound what one tree may hold; DefaultLimits where zero.
	Limits Limits
	// Resolver looks up hosts of plain URLs; net.DefaultResolver if nil.
	Resolver Resolver
	// Log receives one line per thing left out of a tree; slog.Default() if nil.
	Log *slog.Logger
}

// A ReaderFactory makes the readers of one kind of host. The backend calls it
// once, before anything is read. Factories do no I/O.
type ReaderFactory func(Env) ([]Route, error)

// Env is what a ReaderFactory builds with.
type Env struct {
	Integrations *Integrations
	Clients      *Clients
	Trees        *TreeStore
	Log          *slog.Logger
}

// A Route sends the URLs that Match accepts to Reader.
type Route struct {
	// Kind decides the place in the order of routes: the order of the kinds'
	// constants. Kinds that this package does not know are asked first, so that
	// an adopter's own reader can take over a host.
	Kind   Kind
	Match  func(*url.URL) bool
	Reader Reader
}

// A Mux reads each URL with the first route that matches it.
type Mux struct {
	routes  []Route
	fetch   *fetchReader
	clients *Clients
}

var _ Reader = (*Mux)(nil)

// NewReader makes the reader of a backend: one route per integration, then plain
// URLs. It does no I/O.
func NewReader(integrations *Integrations, opts Options) (*Mux, error) {
	allow, err := newAllowList(opts.Reading.Allow)
	if err != nil {
		return nil, err
	}
	env := Env{Integrations: integrations, Clients: opts.Clients, Log: opts.Log}
	if env.Log == nil {
		env.Log = slog.Default()
	}
	if env.Clients == nil {
		env.Clients = NewClients(ClientOptions{Resolver: opts.Resolver})
	}
	env.Trees = newTreeStore(opts.WorkingDirectory, opts.Limits, env.Log)
	m := &Mux{fetch: newFetchReader(allow, opts.Resolver), clients: env.Clients}
	for _, factory := range append(builtin(), opts.Factories...) {
		routes, err := factory(env)
		if err != nil {
			return nil, err
		}
		m.routes = append(m.routes, routes...)
	}
	slices.SortStableFunc(m.routes, func(a, b Route) int {
		return cmp.Compare(slices.Index(kindOrder, a.Kind), slices.Index(kindOrder, b.Kind))
	})
	return m, nil
}

// Close closes idle connections. Reads in progress go on.
func (m *Mux) Close() error {
	m.fetch.closeIdle()
	m.clients.CloseIdle()
	return nil
}

// route finds the reader of rawURL.
func (m *Mux) route(rawURL string) (Reader, error) {
	u, err := parseAbsolute(rawURL)
	if err != nil {
		return nil, err
	}
	for _, r := range m.routes {
		if r.Match(u) {
			return r.Reader, nil
		}
	}
	if m.fetch.matches(u) {
		return m.fetch, nil
	}
	return nil, apierr.NotAllowed.New("Reading from '%s' is not allowed. You may need to configure an integration for the target host, or add it to the configured list of allowed hosts at 'backend.reading.allow'", rawURL)
}

// ReadURL reads one file.
func (m *Mux) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	r, err := m.route(rawURL)
	if err != nil {
		return nil, err
	}
	return r.ReadURL(ctx, rawURL, opts)
}

// ReadTree reads all files below a URL.
func (m *Mux) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	r, err := m.route(rawURL)
	if err != nil {
		return nil, err
	}
	return r.ReadTree(ctx, rawURL, opts)
}

// Search finds the files that a glob matches.
func (m *Mux) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	r, err := m.route(rawURL)
	if err != nil {
		return nil, err
	}
	return r.Search(ctx, rawURL, opts)
}
