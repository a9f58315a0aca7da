package scheduler

import (
	"context"
	"time"
)

// localState is what the table is for global tasks.
type localState struct {
	next, started, ended time.Time
	lastError            string
}

// runLocally runs a task of local scope on this replica until the scheduler stops.
func (s *Scheduler) runLocally(t *task) {
	next := t.first(s.Now())
	for {
		s.mu.Lock()
		t.local.next = next
		s.mu.Unlock()
		if !s.wait(t, next) {
			return
		}
		due := next
		if due.IsZero() || due.After(s.Now()) { // triggered
			due = s.Now()
		}
		s.runOnce(t)
		if s.ctx.Err() != nil {
			return
		}
		next = t.next(due, s.Now())
	}
}

// wait until the task is due or triggered; false if the scheduler stops.
func (s *Scheduler) wait(t *task, next time.Time) bool {
	for {
		moved := s.Moved()
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(max(next.Sub(s.Now()), 0))
		}
		select {
		case <-s.ctx.Done():
			return false
		case <-due:
			return true
		case <-t.kick:
			return true
		case <-moved:
		}
	}
}

func (s *Scheduler) runOnce(t *task) {
	ctx, stop := context.WithCancelCause(s.ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, t.schedule.Timeout.Std(), errTimedOut)
	defer cancel()
	s.mu.Lock()
	t.stop, t.state, t.local.started = stop, stateRunning, s.Now()
	s.mu.Unlock()
	err := s.call(ctx, t)
	if err != nil && s.ctx.Err() != nil {
		err = errStopped
	}
	s.report(ctx, t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.stop, t.state, t.local.ended, t.local.lastError = nil, stateIdle, s.Now(), ""
	if err != nil {
		t.local.lastError = errorJSON(err)
	}
}
