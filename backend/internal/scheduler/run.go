package scheduler

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
)

const (
	// checkEvery is how often a run makes sure that it is still the current one.
	checkEvery = 5 * time.Second
	// writeTimeout bounds the write of an outcome, also while the process stops.
	writeTimeout = 10 * time.Second
)

var (
	errTimedOut  = errors.New("task timed out")
	errCancelled = errors.New("task was cancelled")
	errOwnerGone = errors.New("the replica that ran the task is gone")
	errStopped   = errors.New("the replica that ran the task has stopped")
)

// A panicError is the panic of a task.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// lockName names the lock of one run. With the plugin and the task in it, two tasks can
// meet in one lock only if 64 bits of their hashes are equal.
func (s *Scheduler) lockName(t *task, number int64) string {
	return fmt.Sprintf("task %s/%s run %d", s.Plugin, t.id, number)
}

// A lock is one that this process holds.
type lock struct {
	session *db.Locks
	name    string
}

// tryLock takes the lock of a run if nobody has it. The statement runs to its end also
// when the scheduler stops: cut off, it would end the session, on which the locks of other
// plugins are.
func (s *Scheduler) tryLock(ctx context.Context, t *task, number int64) (lock, bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	session, err := s.Locks(ctx)
	if err != nil {
		return lock{}, false, err
	}
	l := lock{session, s.lockName(t, number)}
	ok, err := session.TryLock(ctx, l.name)
	return l, ok, err
}

// release gives up the lock. An error means that the session is gone, and the lock with it.
func (l lock) release() {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_ = l.session.Unlock(ctx, l.name)
}

// running reports whether this process runs the task, be it as a run that was given up
// and has not ended.
func (s *Scheduler) running(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.stop != nil
}

// expire ends a run whose time is over: whoever sees it first raises the number, and the
// paused owner, should it wake up, finds its ticket gone.
func (s *Scheduler) expire(ctx context.Context, t *task, r row) error {
	ended, err := s.end(ctx, giveUp, t.id, r.ticket, errTimedOut, t.next(r.next, s.now()))
	if err == nil && ended {
		s.Log.WarnContext(ctx, "task timed out", "task", t.id, "started", r.started)
		s.poke()
	}
	return err
}

// orphaned frees a run whose owner is gone: nobody holds its lock. The task is due again
// at once.
func (s *Scheduler) orphaned(ctx context.Context, t *task, r row) (bool, error) {
	if s.running(t) {
		return false, nil
	}
	l, got, err := s.tryLock(ctx, t, r.number)
	if err != nil || !got {
		return false, err
	}
	defer l.release()
	ended, err := s.end(ctx, giveUp, t.id, r.ticket, errOwnerGone, s.now())
	if err == nil && ended {
		s.Log.WarnContext(ctx, "a task is taken over: the replica that ran it is gone", "task", t.id)
	}
	return ended, err
}

// claim takes a task that is due, if nobody else does.
func (s *Scheduler) claim(ctx context.Context, t *task, r row) error {
	if s.running(t) {
		return nil
	}
	l, got, err := s.tryLock(ctx, t, r.number)
	if err != nil {
		return err
	}
	if !got {
		return s.skipLock(ctx, t, r)
	}
	ticket, now := uuid.NewString(), s.now()
	n, err := s.DB.Exec(ctx, claim, t.id, ticket, db.At(now), db.At(now.Add(t.schedule.Timeout.Std())), r.number)
	if err != nil || n == 0 {
		l.release()
		return err
	}
	run, stop := context.WithCancelCause(context.WithValue(s.ctx, fenceKey{}, Fence{t.id, ticket}))
	s.mu.Lock()
	t.stop, t.state = stop, stateRunning
	s.mu.Unlock()
	s.wg.Go(func() { s.runGlobally(run, t, r, ticket, l) })
	return nil
}

// skipLock is for the lock of a due run that somebody has taken. If the run does not begin
// in time, its owner is paused: the number is raised, and the owner, should it wake up,
// finds that its own is not the current one.
func (s *Scheduler) skipLock(ctx context.Context, t *task, r row) error {
	now := s.Now()
	if t.blocked.IsZero() || t.blockedNumber != r.number {
		t.blocked, t.blockedNumber = now, r.number
		return nil
	}
	if now.Sub(t.blocked) < claimTime {
		return nil
	}
	n, err := s.DB.Exec(ctx, skip, t.id, r.number)
	if n > 0 {
		s.Log.WarnContext(ctx, "a replica has taken a task and does not begin it: others may have it", "task", t.id)
		s.poke()
	}
	return err
}

func (s *Scheduler) runGlobally(ctx context.Context, t *task, r row, ticket string, l lock) {
	ctx, timeout := context.WithTimeoutCause(ctx, t.schedule.Timeout.Std(), errTimedOut)
	defer timeout()
	watching, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(watching, t, ticket, l) })
	err := s.call(ctx, t)
	unwatch()
	watch.Wait()
	next := t.next(r.next, s.now())
	if err != nil && s.ctx.Err() != nil { // the process stops: somebody else goes on
		err, next = errStopped, s.now()
	}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	ended, werr := s.end(write, finish, t.id, ticket, err, next)
	switch {
	case werr != nil:
		s.Log.ErrorContext(write, "the outcome of a task could not be written; it runs again when its time is over", "task", t.id, "error", werr)
	case !ended && errors.Is(context.Cause(ctx), errCancelled):
		s.Log.InfoContext(write, "task was cancelled", "task", t.id)
	case !ended:
		s.Log.WarnContext(write, "a task ended after its run was given up; its outcome does not count", "task", t.id)
	default:
		s.report(write, t, err)
	}
	l.release()
	s.mu.Lock()
	t.stop, t.state = nil, stateIdle
	s.mu.Unlock()
	s.poke()
}

// call runs the task itself. A panic is its error, and so is the reason why it was stopped.
func (s *Scheduler) call(ctx context.Context, t *task) (err error) {
	if s.Observe != nil {
		told, done := s.Observe(ctx, t.id, t.schedule.Scope)
		ctx = told
		defer func() { done(err) }()
	}
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, string(debug.Stack())}
		} else if cause := context.Cause(ctx); cause != nil && err != nil {
			err = cause
		}
	}()
	return t.run(ctx)
}

// report logs the outcome of a run if it differs from that of the last one.
func (s *Scheduler) report(ctx context.Context, t *task, err error) {
	if errors.Is(err, errStopped) {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	changed := text != t.lastErr
	t.lastErr = text
	s.mu.Unlock()
	switch p := (*panicError)(nil); {
	case !changed:
	case err == nil:
		s.Log.InfoContext(ctx, "task works again", "task", t.id)
	case errors.As(err, &p):
		s.Log.ErrorContext(ctx, "task panicked", "task", t.id, "panic", fmt.Sprint(p.value), "stack", p.stack)
	default:
		s.Log.ErrorContext(ctx, "task failed", "task", t.id, "error", err)
	}
}

// watch ends a run that is not the current one any more: its lock session is gone, or
// its ticket. That the database does not answer says neither.
func (s *Scheduler) watch(ctx context.Context, t *task, ticket string, l lock) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// As in tryLock: not cut off by the end of the run.
		alive, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		err := l.session.Check(alive)
		cancel()
		if err == nil {
			var n int
			if scan := s.DB.QueryRow(ctx, holds, t.id, ticket).Scan(&n); scan == nil && n == 0 {
				err = ErrFenced
			}
		}
		if err != nil && ctx.Err() == nil {
			s.mu.Lock()
			stop := t.stop
			s.mu.Unlock()
			stop(err)
			return
		}
	}
}

// Cancel ends the current run of a task, on whichever replica it is. Errors are
// apierr.NotFound, or apierr.Conflict if the task does not run.
func (s *Scheduler) Cancel(ctx context.Context, id string) error {
	t, err := s.find(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	stop := t.stop
	s.mu.Unlock()
	if t.schedule.Scope == "local" {
		if stop == nil {
			return apierr.Conflict.New("Task %s is not running", id)
		}
		stop(errCancelled)
		return nil
	}
	if err := s.create(ctx); err != nil {
		return err
	}
	rows, err := s.rows(ctx, []string{id})
	if err != nil {
		return err
	}
	r := rows[id]
	if r.ticket == "" {
		return apierr.Conflict.New("Task %s is not running", id)
	}
	ended, err := s.end(ctx, finish, id, r.ticket, errCancelled, t.next(r.next, s.now()))
	if err != nil {
		return err
	}
	if !ended {
		return apierr.Conflict.New("Task %s is not running", id)
	}
	if stop != nil {
		stop(errCancelled)
	}
	return nil
}
