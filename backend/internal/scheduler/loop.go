package scheduler

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

const (
	// longestPoll is how long a replica may take to see what another one has done.
	longestPoll = 5 * time.Second
	// alonePoll is the same where there is no other one. It bounds how late a task is after
	// a computer has slept.
	alonePoll = time.Minute
	// shortestPoll is how often the tasks with the shortest cadence are looked for.
	shortestPoll = time.Second / 4
	// pollsPerMinute is what all plugins of a process may do that have nothing to do.
	pollsPerMinute = 60
	// lookTimeout bounds one look, so that a connection that hangs does not stop the loop.
	lookTimeout = 30 * time.Second
	// longestBackoff is how long a database that does not answer is left alone.
	longestBackoff = 30 * time.Second
	// grace is what a run has after its time to write its outcome itself.
	grace = time.Second / 2
	// claimTime is how long a replica may be between taking a lock and beginning the run.
	claimTime = 5 * time.Second
	// tolerance is by how much times may differ that were worked out twice.
	tolerance = time.Second
)

// loop registers and claims global tasks. It sleeps until the next one is due, and never
// longer than others may take to see what this replica has done.
func (s *Scheduler) loop() {
	for {
		moved := s.Moved() // before the look, so that no jump is missed
		timer := time.NewTimer(s.round(s.ctx))
		select {
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.wake:
			timer.Stop()
		case <-moved:
			timer.Stop()
		}
	}
}

// now is the time that all replicas agree on: the server's, or on SQLite the process's.
func (s *Scheduler) now() time.Time { return s.Now().Add(time.Duration(s.skew.Load())) }

// setClock takes over the server's clock, as it was in the middle of a query that took
// that long and has just ended.
func (s *Scheduler) setClock(server time.Time, took time.Duration) {
	if s.Server != nil {
		server = s.Server(server)
	}
	skew := server.Add(took / 2).Sub(s.Now())
	s.skew.Store(int64(skew))
	if skew.Abs() > time.Minute && s.warned.CompareAndSwap(false, true) {
		s.Log.Warn("the clock of this process differs from that of the database, which scheduled tasks go by", "by", skew.Round(time.Second))
	}
}

// poll is how long this replica may go without looking at the table.
func (s *Scheduler) poll() time.Duration {
	if db.DialectOf(s.DB) == db.SQLite {
		return alonePoll
	}
	if s.Plugins == nil {
		return longestPoll
	}
	return max(longestPoll, time.Duration(s.Plugins())*(time.Minute/pollsPerMinute))
}

// global lists the tasks of global scope.
func (s *Scheduler) global() (all []*task, ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		if t := s.tasks[id]; t.schedule.Scope != "local" {
			all, ids = append(all, t), append(ids, id)
		}
	}
	return all, ids
}

// round is one look at the table. It returns how long nothing is to be done.
func (s *Scheduler) round(ctx context.Context) time.Duration {
	tasks, ids := s.global()
	if len(tasks) == 0 {
		return time.Hour // Schedule wakes the loop
	}
	look, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	wait, err := s.look(look, tasks, ids)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if text := err.Error(); text != s.lastErr {
			s.Log.ErrorContext(ctx, "scheduled tasks do not run at the moment", "error", err)
			s.lastErr = text
		}
		s.created.Store(false) // somebody may have dropped the table
		s.failures++
		wait = min(time.Second<<min(s.failures, 10), longestBackoff)
		// Replicas and plugins that lost the database at once do not come back at once.
		return wait/2 + rand.N(wait)
	case s.lastErr != "":
		s.Log.InfoContext(ctx, "scheduled tasks run again")
		s.lastErr, s.failures = "", 0
	}
	return wait
}

func (s *Scheduler) look(ctx context.Context, tasks []*task, ids []string) (time.Duration, error) {
	if err := s.create(ctx); err != nil {
		return 0, err
	}
	rows, err := s.rows(ctx, ids)
	if err != nil {
		return 0, err
	}
	if changed, err := s.registerAll(ctx, tasks, rows); err != nil {
		return 0, err
	} else if changed {
		if rows, err = s.rows(ctx, ids); err != nil {
			return 0, err
		}
	}
	wait := s.poll()
	for _, t := range tasks {
		r, ok := rows[t.id]
		if !ok { // somebody empties the table
			wait = min(wait, shortestPoll)
			continue
		}
		next, err := s.lookAt(ctx, t, r)
		if err != nil {
			return 0, err
		}
		wait = min(wait, next)
	}
	return max(wait, time.Millisecond), nil
}

// registerAll brings the rows up to date of tasks that are new to this process, that
// somebody has deleted, or that are due later than they may be: a replica with an older
// configuration has set them.
func (s *Scheduler) registerAll(ctx context.Context, tasks []*task, rows map[string]row) (changed bool, err error) {
	for _, t := range tasks {
		r, ok := rows[t.id]
		late := ok && r.ticket == "" && !t.schedule.Frequency.Manual && r.next.After(t.latest(s.now()).Add(tolerance))
		if t.registered && ok && !late {
			continue
		}
		if err := s.registerOne(ctx, t); err != nil {
			return changed, err
		}
		t.registered, changed = true, true
	}
	return changed, nil
}

// lookAt does what there is to do for one task, and returns how long nothing is.
func (s *Scheduler) lookAt(ctx context.Context, t *task, r row) (time.Duration, error) {
	wait := s.poll()
	if every := t.schedule.Frequency.Every.Std(); every > 0 {
		wait = min(wait, max(every, shortestPoll))
	}
	s.settleWorker(t, r)
	now := s.now()
	switch over := r.expires.Add(grace); {
	case r.ticket != "" && !over.After(now):
		err := s.expire(ctx, t, r)
		return min(wait, shortestPoll), err
	case r.ticket != "":
		freed, err := s.orphaned(ctx, t, r)
		if freed {
			return 0, err
		}
		return min(wait, over.Sub(now)), err
	case r.next.IsZero():
		return wait, nil
	case !r.next.After(now):
		return wait, s.claim(ctx, t, r)
	}
	return min(wait, r.next.Sub(now)), nil
}

// settleWorker keeps what the REST API says of this replica's worker.
func (s *Scheduler) settleWorker(t *task, r row) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.stop == nil && (!r.ended.IsZero() || !r.next.After(now)) {
		t.state = stateIdle
	}
}
