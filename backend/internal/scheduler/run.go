package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
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
)

func (t *task) settings() (string, error) {
	out := settings{Version: 2, Cadence: t.schedule.Frequency.String(), Timeout: t.schedule.Timeout.ISO()}
	if t.schedule.InitialDelay > 0 {
		out.InitialDelay = t.schedule.InitialDelay.ISO()
	}
	b, err := json.Marshal(out)
	return string(b), err
}

func (s *Scheduler) lockName(t *task, number int64) string {
	return fmt.Sprintf("task %s/%s run %d", s.Plugin, t.id, number)
}

// expire ends a run whose time is over: whoever sees it first raises the number, and the
// paused owner, should it wake up, finds its ticket gone.
func (s *Scheduler) expire(ctx context.Context, t *task, r row) error {
	ended, err := s.end(ctx, t.id, r.ticket, errTimedOut, t.next(r.next, s.Now()))
	if err == nil && ended {
		s.Log.WarnContext(ctx, "task timed out", "task", t.id, "started", r.started)
	}
	return err
}

// orphaned frees a run whose owner is gone: nobody holds its lock. The task is due again
// at once.
func (s *Scheduler) orphaned(ctx context.Context, t *task, r row) (bool, error) {
	s.mu.Lock()
	mine := t.stop != nil
	s.mu.Unlock()
	if mine {
		return false, nil
	}
	locks, err := s.Locks(ctx)
	if err != nil {
		return false, err
	}
	name := s.lockName(t, r.number)
	got, err := locks.TryLock(ctx, name)
	if err != nil || !got {
		return false, err
	}
	defer func() { _ = locks.Unlock(context.WithoutCancel(ctx), name) }()
	ended, err := s.end(ctx, t.id, r.ticket, errOwnerGone, s.Now())
	if err == nil && ended {
		s.Log.WarnContext(ctx, "a task is taken over: the replica that ran it is gone", "task", t.id)
	}
	return ended, err
}

// claim takes a task that is due, if nobody else does.
func (s *Scheduler) claim(ctx context.Context, t *task, r row) error {
	s.mu.Lock()
	mine := t.stop != nil
	s.mu.Unlock()
	if mine {
		return nil // the run of an earlier number that was fenced, and has not ended yet
	}
	locks, err := s.Locks(ctx)
	if err != nil {
		return err
	}
	name := s.lockName(t, r.number)
	got, err := locks.TryLock(ctx, name)
	if err != nil || !got {
		return err
	}
	ticket, now := uuid.NewString(), s.Now()
	n, err := s.DB.Exec(ctx, claim, t.id, ticket, db.At(now), db.At(now.Add(t.schedule.Timeout.Std())), r.number)
	if err != nil || n == 0 {
		_ = locks.Unlock(context.WithoutCancel(ctx), name)
		return err
	}
	run, stop := context.WithCancelCause(context.WithValue(s.ctx, fenceKey{}, Fence{t.id, ticket}))
	s.mu.Lock()
	t.stop, t.state = stop, stateRunning
	s.mu.Unlock()
	s.wg.Go(func() { s.runGlobally(run, t, r, ticket, locks, name) })
	return nil
}

func (s *Scheduler) runGlobally(ctx context.Context, t *task, r row, ticket string, locks *db.Locks, name string) {
	ctx, timeout := context.WithTimeoutCause(ctx, t.schedule.Timeout.Std(), errTimedOut)
	watched := make(chan struct{})
	watching, unwatch := context.WithCancel(ctx)
	go func() { defer close(watched); s.watch(watching, t, ticket, locks) }()
	err := s.call(ctx, t)
	unwatch()
	<-watched
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	timeout()
	if err != nil && s.ctx.Err() != nil { // the process stops: somebody else goes on
		err = errOwnerGone
	}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	next := t.next(r.next, s.Now())
	if errors.Is(err, errOwnerGone) {
		next = s.Now()
	}
	ended, werr := s.end(write, t.id, ticket, err, next)
	switch {
	case werr != nil:
		s.Log.ErrorContext(write, "the outcome of a task could not be written; it runs again when its time is over", "task", t.id, "error", werr)
	case !ended:
		s.Log.WarnContext(write, "a task ended after its run was given up; its outcome does not count", "task", t.id)
	case err != nil && !errors.Is(err, errOwnerGone):
		s.Log.ErrorContext(write, "task failed", "task", t.id, "error", err)
	}
	_ = locks.Unlock(write, name)
	s.mu.Lock()
	t.stop, t.state = nil, stateIdle
	s.mu.Unlock()
	s.poke()
}

// call runs the task itself. A panic is its error.
func (s *Scheduler) call(ctx context.Context, t *task) (err error) {
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			s.Log.ErrorContext(ctx, "task panicked", "task", t.id, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
		if s.Observe != nil {
			result := "completed"
			if err != nil {
				result = "failed"
			}
			s.Observe(t.id, t.schedule.Scope, result, time.Since(start))
		}
	}()
	return t.run(ctx)
}

// watch ends a run that is not the current one any more: its lock session is gone, or
// its ticket.
func (s *Scheduler) watch(ctx context.Context, t *task, ticket string, locks *db.Locks) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := locks.Check(ctx)
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
			if stop != nil {
				stop(err)
			}
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
			return apierr.Conflict.New("task %s is not running", id)
		}
		stop(errCancelled)
		return nil
	}
	rows, err := s.rows(ctx, []string{id})
	if err != nil {
		return err
	}
	r := rows[id]
	if r.ticket == "" {
		return apierr.Conflict.New("task %s is not running", id)
	}
	ended, err := s.end(ctx, id, r.ticket, errCancelled, t.next(r.next, s.Now()))
	if err != nil {
		return err
	}
	if !ended {
		return apierr.Conflict.New("task %s is not running", id)
	}
	if stop != nil {
		stop(errCancelled)
	}
	return nil
}
