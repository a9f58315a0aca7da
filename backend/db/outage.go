package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An UnavailableError says that the server could not be asked or did not answer, rather
// than that it refused a statement. The same statement may succeed in a moment. Routes
// answer it with 503.
type UnavailableError struct{ err error }

// Error returns the driver's text.
func (e *UnavailableError) Error() string { return e.err.Error() }

// Unwrap returns the driver's error.
func (e *UnavailableError) Unwrap() error { return e.err }

// Unavailable is what httpx asks errors for.
func (e *UnavailableError) Unavailable() bool { return true }

// Unavailable is what httpx asks errors for.
func (e *ConnectError) Unavailable() bool { return true }

// IsUnavailable reports whether err says that the database is away, rather than that it
// refused something. Errors of Conn and DB that do are marked already; those of the
// native handle (Conn.Pgx) are recognised here.
func IsUnavailable(err error) bool {
	var marked interface{ Unavailable() bool }
	return errors.As(err, &marked) && marked.Unavailable() || lost(err)
}

// awayCodes are the SQLSTATEs of servers that stop, start, or are full, and of
// statements that took too long.
var awayCodes = []string{"57P01", "57P02", "57P03", "57P05", "53300", "57014"}

// lost reports whether err is of a connection rather than of a statement.
func lost(err error) bool {
	if err == nil {
		return false
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return strings.HasPrefix(server.Code, "08") || slices.Contains(awayCodes, server.Code)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false // somebody else's patience
	}
	var network net.Error
	return errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || strings.HasSuffix(err.Error(), "conn closed")
}

// mark makes an *UnavailableError of errors that are of the connection. What the caller
// has given up itself is none.
func mark(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !lost(err) {
		return err
	}
	var already *UnavailableError
	if errors.As(err, &already) {
		return err
	}
	return &UnavailableError{err}
}

const (
	// reconnectPause is how long at least nobody tries to connect after an attempt has
	// failed; up to as much again is added, so that replicas do not come back in step.
	reconnectPause = 500 * time.Millisecond
	// statementGrace is what a statement gets on this side beyond statement_timeout.
	statementGrace = 500 * time.Millisecond
	// pingTimeout is how long a connection that was idle may take to prove itself.
	pingTimeout = 5 * time.Second
	// Servers in use are asked whether they answer, more often while they do not.
	watchEvery   = 5 * time.Second
	watchFailing = time.Second
	watchTimeout = 3 * time.Second
)

// reconnects knows which servers are away, and holds back attempts to connect to them:
// at most two in a second, whatever the number of plugins, pools and requests.
type reconnects struct {
	mu      sync.Mutex
	servers map[string]*outage
}

// outage is a server that is away.
type outage struct {
	since time.Time
	next  time.Time // of an attempt
	last  error
}

// allow returns why the server is away, unless it is time to try again.
func (r *reconnects) allow(server string, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.servers[server]
	if o == nil {
		return nil
	}
	if now.Before(o.next) {
		return &UnavailableError{o.last}
	}
	o.next = now.Add(reconnectPause + rand.N(reconnectPause))
	return nil
}

// dial lets through the attempts to connect, which allow has judged. The driver also dials
// to cancel the statements of connections that are broken; nobody is there to hear that
// while the server is away.
func (r *reconnects) dial(server string, next pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if ctx.Value(connectKey{}) == nil {
			r.mu.Lock()
			o := r.servers[server]
			r.mu.Unlock()
			if o != nil {
				return nil, errAway
			}
		}
		return next(ctx, network, address)
	}
}

var errAway = errors.New("the server is away")

// failed notes that a server is away, since when the attempt that shows it was made.
func (r *reconnects) failed(server string, err error, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.servers[server]
	if o == nil {
		o = &outage{since: since, next: time.Now().Add(reconnectPause + rand.N(reconnectPause))}
		if r.servers == nil {
			r.servers = map[string]*outage{}
		}
		r.servers[server] = o
	}
	o.last = err
}

// answered notes that a server is there.
func (r *reconnects) answered(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.servers, server)
}

// connected is called with the result of every attempt to connect.
func (r *reconnects) connected(ctx context.Context, server string, err error) {
	var refused *pgconn.PgError
	switch {
	case err == nil:
		r.answered(server)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // nobody waits for it any more
	case errors.As(err, &refused) && !lost(refused): // it answers, if only with no
		r.answered(server)
	default:
		r.failed(server, err, time.Now())
	}
}

// Outage returns which server that plugins use is away, as host:port, and since when;
// the one that has been away longest. The time is zero if all of them answer.
func (m *Manager) Outage() (since time.Time, server string) {
	m.reconnects.mu.Lock()
	defer m.reconnects.mu.Unlock()
	for name, o := range m.reconnects.servers {
		if since.IsZero() || o.since.Before(since) {
			since, server = o.since, name
		}
	}
	return since, server
}

// Watch asks each PostgreSQL server in use every five seconds whether it answers, every
// second while one does not, and calls seen after each round. It returns when ctx ends.
func (m *Manager) Watch(ctx context.Context, seen func()) {
	for {
		pause := m.opts.watch
		if since, _ := m.Outage(); !since.IsZero() {
			pause = min(pause, watchFailing)
		}
		if sleep(ctx, pause) != nil {
			return
		}
		asked := map[string]bool{}
		for _, p := range m.list() {
			if server := p.server(); server != "" && !asked[server] && p.isOpen() {
				asked[server] = true
				p.ask(ctx, server)
			}
		}
		if ctx.Err() == nil {
			seen()
		}
	}
}

// server names the PostgreSQL server; empty on SQLite.
func (p *Plugin) server() string {
	if p.conn == nil {
		return ""
	}
	return p.address()
}

func (p *Plugin) isOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pool != nil && !p.closed
}

// ask finds out whether the server answers. A pool that is busy is no outage: then a
// connection of its own decides.
func (p *Plugin) ask(ctx context.Context, server string) {
	began := time.Now() // a server that is silent has been so since then
	brief, cancel := context.WithTimeout(ctx, watchTimeout)
	_, err := p.DB().Exec(brief, Same("SELECT 1"))
	cancel()
	if err == nil {
		p.m.reconnects.answered(server)
		return
	}
	if since, _ := p.m.Outage(); !since.IsZero() || ctx.Err() != nil {
		return // connecting has failed, and has been noted
	}
	brief, cancel = context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	cc := p.conn.Copy()
	if err := p.signIn(brief, cc, &p.end, p.tokens); err != nil {
		return
	}
	conn, err := pgx.ConnectConfig(brief, cc)
	if err == nil {
		conn.Close(brief)
	} else if ctx.Err() == nil {
		p.m.reconnects.failed(server, err, began)
	}
}

// patience returns a context that ends when a statement should long have been ended by
// the server, which may be away without having closed the connection.
func (p *Plugin) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.statementLimit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, p.statementLimit, errStatementLimit)
}

var errStatementLimit = errors.New("the database has not answered in time")

// late makes an *UnavailableError of what ended because patience did.
func (p *Plugin) late(ctx, patient context.Context, err error) error {
	if err != nil && ctx.Err() == nil && context.Cause(patient) == errStatementLimit {
		return &UnavailableError{fmt.Errorf("plugin %s: no answer from the database within %s", p.id, p.statementLimit)}
	}
	return mark(ctx, err)
}
