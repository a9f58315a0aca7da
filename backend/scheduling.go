package backend

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
)

var _ Scheduler = (*scheduler.Scheduler)(nil)

// Fenced fails unless the run of a scheduled task that ctx belongs to is still the
// current one. A task whose time was over, or that was paused, calls it first in each
// transaction that must not be written twice:
//
//	err := d.Tx(ctx, func(c db.Conn) error {
//		if err := backend.Fenced(ctx, c); err != nil {
//			return err
//		}
//		...
//	})
//
// c is a connection to the plugin's own database. Until the transaction ends nobody else
// can take the task over; so that a replica that is paused in it does not keep the task
// from others for ever, PostgreSQL ends the transaction when it does nothing for five
// seconds. The error of a run that is over is ErrFenced. Outside of a task's run, and in
// tasks of local scope, it succeeds.
func Fenced(ctx context.Context, c db.Conn) error { return scheduler.Check(ctx, c) }

// ErrFenced says that a run of a task is over: its time has ended, it was cancelled, or
// another replica has taken it over. What Fenced returns wraps it.
var ErrFenced = scheduler.ErrFenced

// lockSession keeps the one session that holds the locks of this process.
type lockSession struct {
	db *db.Manager

	mu    sync.Mutex
	locks *db.Locks
}

// get returns the session, a new one if the last has ended.
func (l *lockSession) get(ctx context.Context) (*db.Locks, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks != nil {
		if err := l.locks.Check(ctx); !errors.Is(err, db.ErrLocksLost) {
			return l.locks, err
		}
		l.locks = nil
	}
	locks, err := l.db.Locks(ctx)
	if err != nil {
		return nil, err
	}
	l.locks = locks
	return locks, nil
}

// locksHold opens the session at boot, so that a pooler on which a lock taken is not a
// lock held is a boot error that names backend.database.lockConnection.
func (c *core) locksHold(ctx context.Context) error {
	_, err := c.locks.get(ctx)
	return err
}

func (l *lockSession) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks == nil {
		return nil
	}
	err := l.locks.Close()
	l.locks = nil
	return err
}

// scheduler is the Scheduler of a plugin, always the same one.
func (c *core) scheduler(id PluginID) *scheduler.Scheduler {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.schedulers[id]
	if !ok {
		s = scheduler.New(scheduler.Options{
			Plugin: string(id), DB: c.db.Plugin(string(id)).DB(), Locks: c.locks.get, Log: c.log.With("plugin", string(id)),
			Plugins: c.scheduling, Observe: c.observeTasks(id),
			Now: c.settings.now(), Moved: c.settings.moved(), Server: c.settings.server(),
		})
		c.schedulers[id] = s
	}
	return s
}

// scheduling counts the plugins that have scheduled something.
func (c *core) scheduling() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.schedulers {
		if s.Used() {
			n++
		}
	}
	return n
}

// scheduled puts the routes of the scheduler in front of a plugin's own, once the plugin
// has scheduled something: a plugin that never does has no such paths.
func (c *core) scheduled(id PluginID, routes *httpx.Mux, log *slog.Logger) (http.Handler, error) {
	s := c.scheduler(id)
	mux := &httpx.Mux{Guard: routes.Guard, Errors: c.errorWriter(log)}
	if err := s.Routes(mux); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, scheduler.Prefix) && s.Used() {
			mux.ServeHTTP(w, r)
			return
		}
		routes.ServeHTTP(w, r)
	}), nil
}
