package db

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/callboard-dev/callboard/backend/config"
)

// Plugin is the database of one plugin. Nothing connects before the first statement.
type Plugin struct {
	m    *Manager
	id   string
	set  settled
	err  error // of the settings
	conn *pgx.ConnConfig
	lock *pgx.ConnConfig // for sessions that hold locks
	end  endpoint
	file string // SQLite: path, or memory

	// statementLimit is how long this side waits for the answer to a statement; 0 is for
	// ever. It is a little more than statement_timeout, which a server that is away
	// cannot keep.
	statementLimit time.Duration

	tokens     TokenSource
	lockTokens TokenSource
	lockEnd    endpoint

	mu      sync.Mutex
	db      DB
	pool    *pgxpool.Pool
	handle  *sql.DB
	lite    *liteDB
	closed  bool
	ensured bool // database and schema are known to exist
	failing bool // the keep-alive has logged a failure
}

func (m *Manager) newPlugin(id string) *Plugin {
	p := &Plugin{m: m, id: id}
	p.set, p.err = m.cfg.settle(id)
	switch {
	case p.err != nil:
	case p.set.dialect == Postgres:
		p.err = p.preparePostgres()
	default:
		p.err = p.prepareSQLite()
	}
	return p
}

// preparePostgres works out how to connect.
func (p *Plugin) preparePostgres() error {
	var err error
	if p.conn, p.tokens, err = p.connConfig(&p.end, false); err != nil {
		return err
	}
	p.lock, p.lockTokens, err = p.connConfig(&p.lockEnd, true)
	return err
}

func (p *Plugin) connConfig(e *endpoint, locks bool) (*pgx.ConnConfig, TokenSource, error) {
	if err := e.add(p.set.base, p.set.baseKey); err != nil {
		return nil, nil, err
	}
	e.hostKey = cmpOr(e.hostKey, p.set.baseKey)
	if p.set.ownDatabase {
		e.database = "" // the base connection's does not count when plugins have their own
	}
	if err := e.add(p.set.override, p.set.overrideKey); err != nil {
		return nil, nil, err
	}
	database := cmpOr(e.database, p.set.database)
	if locks && !p.m.cfg.LockConnection.isZero() {
		if err := e.add(p.m.cfg.LockConnection, rootKey+".lockConnection"); err != nil {
			return nil, nil, err
		}
		// A pooler may have another name for the database that plugins share.
		if !p.set.ownDatabase && p.set.override.Database == "" && p.set.override.ConnectionString.IsZero() {
			database = e.database
		}
	}
	var tokens TokenSource
	if e.typ != "" && e.typ != "default" {
		open, ok := p.m.opts.types[e.typ]
		if !ok {
			return nil, nil, config.AtWithFix(e.typeKey, fmt.Errorf("is %q, but no connection type of that name is part of this backend", e.typ), bringing(e.typ))
		}
		var err error
		if tokens, err = open(e.whole); err != nil {
			return nil, nil, config.At(e.typeKey, err)
		}
	}
	cc, err := e.config(database)
	if err != nil {
		return nil, nil, err
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "backstage_plugin_" + p.id
	}
	cc.ConnectTimeout = p.set.pool.create
	if e.connectMillis > 0 {
		cc.ConnectTimeout = time.Duration(e.connectMillis) * time.Millisecond
	}
	server := net.JoinHostPort(cc.Host, strconv.Itoa(int(cc.Port)))
	cc.Tracer = pgxTracer{observe: p.m.opts.observe, plugin: p.id, reconnects: &p.m.reconnects, server: server}
	cc.DialFunc = p.m.crowd.dial(p.m.reconnects.dial(server, cc.DialFunc))
	if millis, err := strconv.Atoi(cc.RuntimeParams["statement_timeout"]); err == nil && millis > 0 {
		p.statementLimit = time.Duration(millis)*time.Millisecond + statementGrace
	}
	return cc, tokens, nil
}

func (p *Plugin) prepareSQLite() error {
	file := p.set.override.Filename
	if file == "" && p.set.override.Directory != "" {
		file = filepath.Join(p.set.override.Directory, p.id+".sqlite")
	}
	if file == "" && p.set.base.Directory != "" {
		file = filepath.Join(p.set.base.Directory, p.id+".sqlite")
	}
	p.file = cmpOr(file, memory)
	for key, c := range map[string]Connection{p.set.baseKey: p.set.base, p.set.overrideKey: p.set.override} {
		if !c.ConnectionString.IsZero() {
			return config.At(key, fmt.Errorf("SQLite takes ':memory:' or {directory: PATH}, not a URL"))
		}
	}
	return nil
}

// ID returns the plugin's id.
func (p *Plugin) ID() string { return p.id }

// Dialect returns which of the two databases it is.
func (p *Plugin) Dialect() Dialect { return p.set.dialect }

// DB returns the plugin's database. It may be handed to constructors: not even a pool
// exists before the first statement.
func (p *Plugin) DB() DB { return lazyDB{p} }

func (p *Plugin) opened() DB {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open()
}

// open runs with p.mu held.
func (p *Plugin) open() DB {
	if p.db != nil {
		return p.db
	}
	switch {
	case p.err != nil:
		return failed{p.err}
	case p.closed:
		return failed{errClosed}
	case p.set.dialect == Postgres:
		pool, err := p.newPool()
		if err != nil {
			return failed{err}
		}
		p.pool, p.db = pool, &pgDB{pool: pool, plugin: p}
	default:
		p.lite, p.err = p.newLite()
		if p.err != nil {
			return failed{p.err}
		}
		p.db = p.lite
	}
	return p.db
}

func (p *Plugin) newPool() (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	pc.ConnConfig = p.conn.Copy()
	pc.MinConns, pc.MaxConns = p.set.pool.min, p.set.pool.max
	pc.MaxConnIdleTime, pc.HealthCheckPeriod = p.set.pool.idle, p.set.pool.reap
	pc.BeforeConnect = func(ctx context.Context, cc *pgx.ConnConfig) error {
		if err := p.ensure(ctx); err != nil {
			return err
		}
		return p.signIn(ctx, cc, &p.end, p.tokens)
	}
	pc.AfterConnect, pc.AfterRelease = p.setUp, p.m.crowd.keep
	pc.PingTimeout = pingTimeout
	return pgxpool.NewWithConfig(context.Background(), pc)
}

// signIn gives cc the password as it is now. Everything that connects comes by here, and
// is held back if the server was away a moment ago.
func (p *Plugin) signIn(ctx context.Context, cc *pgx.ConnConfig, e *endpoint, tokens TokenSource) error {
	if err := p.m.reconnects.allow(net.JoinHostPort(cc.Host, strconv.Itoa(int(cc.Port))), time.Now()); err != nil {
		return err
	}
	if password := e.secret(); password != "" {
		cc.Password = password
	}
	if tokens == nil {
		return nil
	}
	if err := tokens.BeforeConnect(ctx, cc); err != nil {
		return &UnavailableError{fmt.Errorf("sign in to PostgreSQL: %w", err)}
	}
	return nil
}

// bringing says what to do for a connection type that is not there.
func bringing(typ string) string {
	switch typ {
	case "rds":
		return "backend.Add(awsdb.Module())"
	case "azure":
		return "backend.Add(azuredb.Module())"
	case "cloudsql":
		return "backend.Add(cloudsqldb.Module())"
	}
	return "add a service with backend.DatabaseConnectionOption, or use a password and leave type out"
}

// setUp makes a new connection the plugin's: its schema, its role, its types.
func (p *Plugin) setUp(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterDefaultPgType(Time{}, "timestamptz")
	conn.TypeMap().RegisterDefaultPgType(JSON{}, "jsonb")
	var text string
	if p.set.schema != "" {
		text += "SET search_path TO " + quoteIdentifier(p.set.schema) + ";"
	}
	if p.set.role != "" {
		text += "SET ROLE " + quoteIdentifier(p.set.role) + ";"
	}
	if text == "" {
		return nil
	}
	if _, err := conn.PgConn().Exec(ctx, text).ReadAll(); err != nil {
		return fmt.Errorf("plugin %s: %s%w", p.id, text, err)
	}
	return nil
}

func quoteIdentifier(name string) string { return pgx.Identifier{name}.Sanitize() }

// Pgx returns the native pool; false on SQLite.
func (p *Plugin) Pgx() (*pgxpool.Pool, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open()
	return p.pool, p.pool != nil
}

// SQL returns a database/sql handle, for libraries that want one. On PostgreSQL it
// takes its connections from the pool. It is closed with the plugin.
func (p *Plugin) SQL() *sql.DB {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch d := p.open().(type) {
	case *liteDB:
		return d.writes
	case failed:
		return sql.OpenDB(d)
	}
	if p.handle == nil {
		p.handle = stdlib.OpenDBFromPool(p.pool)
	}
	return p.handle
}

// Ping connects if nothing has yet. Its error says what could not be reached and
// why, names the config key, and holds no secret.
func (p *Plugin) Ping(ctx context.Context) error {
	_, err := p.DB().Exec(ctx, Same("SELECT 1"))
	return err
}

// Where says where the data is, without credentials.
func (p *Plugin) Where() string {
	switch {
	case p.err != nil:
		return p.err.Error()
	case p.set.dialect == SQLite && p.file == memory:
		return "SQLite in memory"
	case p.set.dialect == SQLite:
		return "SQLite file " + p.file
	case p.set.schema != "":
		return fmt.Sprintf("PostgreSQL at %s, database %q, schema %q", p.address(), p.conn.Database, p.set.schema)
	default:
		return fmt.Sprintf("PostgreSQL at %s, database %q", p.address(), p.conn.Database)
	}
}

// address is host:port, as configured.
func (p *Plugin) address() string {
	return net.JoinHostPort(p.conn.Host, strconv.Itoa(int(p.conn.Port)))
}

func (p *Plugin) keepAlive(ctx context.Context, last time.Time) {
	p.mu.Lock()
	open, lite := p.db, p.lite
	p.mu.Unlock()
	if open == nil {
		return
	}
	if lite != nil {
		lite.closeIdle(last)
		return
	}
	_, err := open.Exec(ctx, Same("SELECT 1"))
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	was := p.failing
	p.failing = err != nil
	p.mu.Unlock()
	switch {
	case err != nil && !was:
		p.m.opts.log.WarnContext(ctx, "database keep-alive failed", "plugin", p.id, "error", err)
	case err == nil && was:
		p.m.opts.log.InfoContext(ctx, "database answers again", "plugin", p.id)
	}
}

// Close closes the plugin's connections. It waits for statements that run, on
// SQLite for no longer than 10 s.
func (p *Plugin) Close() error {
	p.mu.Lock()
	handle, pool, lite, was := p.handle, p.pool, p.lite, p.closed
	p.closed, p.db = true, failed{errClosed}
	p.mu.Unlock()
	if was {
		return nil
	}
	var err error
	if handle != nil {
		err = handle.Close()
	}
	if pool != nil {
		pool.Close()
	}
	if lite != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = joinFirst(err, lite.close(ctx))
	}
	return err
}
