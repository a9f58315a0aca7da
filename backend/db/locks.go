package db

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/config"
)

// Locks are named locks between the processes of one instance, held by a session of
// their own: when the process or its connection ends, however it ends, they are free
// at once. On SQLite the process is alone, and the names are its own.
//
// Whoever works under a lock calls Check from time to time and stops when it fails:
// then somebody else may have the lock. All methods are safe for concurrent use.
type Locks struct {
	plugin *Plugin // nil on SQLite

	mu   sync.Mutex
	conn *pgx.Conn
	held map[string]bool
	lost error
}

// ErrLocksLost is in the errors of Locks whose session has ended.
var ErrLocksLost = errors.New("the session that held the locks has ended")

// Locks opens a session for locks, through backend.database.lockConnection if that is
// set. It fails if the connection leads to a pooler that hands the session to others
// between statements, where a lock taken is not a lock held. The caller closes it.
func (m *Manager) Locks(ctx context.Context) (*Locks, error) {
	p := m.newPlugin("")
	if p.err != nil {
		return nil, p.err
	}
	l := &Locks{held: map[string]bool{}}
	if p.set.dialect == SQLite {
		return l, nil
	}
	if p.set.ownDatabase { // plugins have databases of their own, the instance has none
		p.lock.Database = cmpOr(p.lockEnd.database, maintenance)
	}
	p.lock.RuntimeParams["application_name"] = "callboard_locks"
	l.plugin = p
	conn, err := p.connectForLocks(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.checkSession(ctx, conn); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	l.conn = conn
	return l, nil
}

func (p *Plugin) connectForLocks(ctx context.Context) (*pgx.Conn, error) {
	cc := p.lock.Copy()
	if err := p.signIn(ctx, cc, &p.lockEnd, p.lockTokens); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	return conn, p.explain(ctx, err, true)
}

// checkSession makes sure that conn is one session of the server. A pooler in
// transaction mode would give the session to the second connection, which starts a
// transaction, and another one to conn.
func (p *Plugin) checkSession(ctx context.Context, conn *pgx.Conn) error {
	other, err := p.connectForLocks(ctx)
	if err != nil {
		return err
	}
	defer other.Close(context.WithoutCancel(ctx))
	var before, theirs, after uint32
	const whoami = "SELECT pg_backend_pid()"
	if err := conn.QueryRow(ctx, whoami, pgx.QueryExecModeExec).Scan(&before); err != nil {
		return err
	}
	tx, err := other.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if err := tx.QueryRow(ctx, whoami, pgx.QueryExecModeExec).Scan(&theirs); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, whoami, pgx.QueryExecModeExec).Scan(&after); err != nil {
		return err
	}
	if before != after || before == theirs {
		return config.At(rootKey+".lockConnection", fmt.Errorf("locks do not hold on %s: it is a pooler in transaction mode; name the PostgreSQL server itself here", p.lock.Host))
	}
	return nil
}

// TryLock takes the lock of that name if nobody has it, neither another process nor
// this one.
func (l *Locks) TryLock(ctx context.Context, name string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return false, l.lost
	}
	if l.held[name] {
		return false, nil
	}
	ok := true
	if l.conn != nil {
		const lock = "SELECT pg_try_advisory_lock(hashtextextended('callboard lock ' || $1::text, 0))"
		if err := l.conn.QueryRow(ctx, lock, name).Scan(&ok); err != nil {
			return false, l.fail(err)
		}
	}
	if ok {
		l.held[name] = true
	}
	return ok, nil
}

// Unlock gives up a lock that TryLock took.
func (l *Locks) Unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held[name] {
		return fmt.Errorf("lock %q is not held", name)
	}
	delete(l.held, name)
	if l.conn == nil {
		return l.lost
	}
	const unlock = "SELECT pg_advisory_unlock(hashtextextended('callboard lock ' || $1::text, 0))"
	if _, err := l.conn.Exec(ctx, unlock, name); err != nil {
		return l.fail(err)
	}
	return nil
}

// Check asks the server whether the session still lives. Its error wraps
// ErrLocksLost when all locks are gone; then open new Locks.
func (l *Locks) Check(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil || l.conn == nil {
		return l.lost
	}
	if err := l.conn.Ping(ctx); err != nil {
		return l.fail(err)
	}
	return nil
}

// fail gives up the session after any error: pgx closes it after most, and a session
// about which one is not sure is no base for a lock.
func (l *Locks) fail(err error) error {
	l.conn.Close(context.Background())
	l.conn = nil
	clear(l.held)
	l.lost = fmt.Errorf("%w: %w", ErrLocksLost, err)
	return l.lost
}

// Close gives up all locks.
func (l *Locks) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.held)
	l.lost = joinFirst(l.lost, ErrLocksLost)
	if l.conn == nil {
		return nil
	}
	conn := l.conn
	l.conn = nil
	return conn.Close(context.Background())
}
