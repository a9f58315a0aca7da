package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

// longestPoll is how long a replica may take to see what another one has triggered.
const longestPoll = 5 * time.Second

// Options are what a Scheduler stands on.
type Options struct {
	Plugin string
	DB     db.DB
	// Locks returns the session that holds the locks of this process, a new one when
	// the last has ended.
	Locks func(context.Context) (*db.Locks, error)
	Log   *slog.Logger
	Now   func() time.Time // nil: the system's clock
	// Observe is told of every run that has ended; nil: nobody.
	Observe func(task, scope, result string, took time.Duration)
}

// A Scheduler runs the tasks of one plugin. Its methods are safe for concurrent use.
type Scheduler struct {
	Options

	mu      sync.Mutex
	tasks   map[string]*task
	order   []string
	started bool
	wake    chan struct{}
	wg      sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
	lastErr string // of the loop, so that it is logged on change
	created atomic.Bool
}

type task struct {
	id       string
	schedule config.Schedule
	run      func(context.Context) error

	registered bool // its row is up to date
	state      string
	stop       context.CancelCauseFunc // of the current run
	kick       chan struct{}           // local tasks: run now
	local      localState
}

// New returns a Scheduler that does nothing before Start.
func New(o Options) *Scheduler {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Scheduler{Options: o, tasks: map[string]*task{}, wake: make(chan struct{}, 1)}
}

// The states of a worker.
const (
	stateInitialWait = "initial-wait"
	stateIdle        = "idle"
	stateRunning     = "running"
)

// Schedule implements backend.Scheduler.
func (s *Scheduler) Schedule(id string, schedule config.Schedule, run func(context.Context) error) error {
	schedule.SetDefaults()
	if id == "" {
		return errors.New("a task needs an id")
	}
	if err := schedule.Validate(); err != nil {
		return fmt.Errorf("task %s: %w", id, err)
	}
	if !schedule.Frequency.Manual && schedule.Frequency.Cron == "" && schedule.Frequency.Every <= 0 {
		return fmt.Errorf("task %s: frequency must be longer than zero, a cron line, or manual", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tasks[id]; ok {
		return fmt.Errorf("task %s of plugin %s is scheduled already", id, s.Plugin)
	}
	t := &task{id: id, schedule: schedule, run: run, state: stateInitialWait, kick: make(chan struct{}, 1)}
	s.tasks[id] = t
	s.order = append(s.order, id)
	if s.started {
		s.begin(t)
	}
	return nil
}

// begin starts what a task needs, with s.mu held.
func (s *Scheduler) begin(t *task) {
	if t.schedule.Scope == "local" {
		s.wg.Go(func() { s.runLocally(t) })
		return
	}
	s.poke()
}

func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Used reports whether any task was scheduled.
func (s *Scheduler) Used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks) > 0
}

// Start begins to run tasks, until Stop.
func (s *Scheduler) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	s.started = true
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, id := range s.order {
		s.begin(s.tasks[id])
	}
	s.wg.Go(s.loop)
}

// Stop cancels what runs, and waits for it until ctx is done at the latest.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.mu.Lock()
	cancel := s.cancel
	s.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("scheduled tasks did not end in time")
	}
}

// loop registers and claims global tasks. It sleeps until the next one is due, and never
// longer than others may take to see a trigger.
func (s *Scheduler) loop() {
	for {
		wait := s.round(s.ctx)
		timer := time.NewTimer(wait)
		select {
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.wake:
			timer.Stop()
		}
	}
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
		return longestPoll
	}
	wait, err := s.look(ctx, tasks, ids)
	if err != nil && ctx.Err() == nil {
		if text := err.Error(); text != s.lastErr {
			s.Log.ErrorContext(ctx, "scheduled tasks do not run at the moment", "error", err)
			s.lastErr = text
		}
		return longestPoll
	}
	s.lastErr = ""
	return wait
}

func (s *Scheduler) look(ctx context.Context, tasks []*task, ids []string) (time.Duration, error) {
	if err := s.registerAll(ctx, tasks); err != nil {
		return 0, err
	}
	rows, err := s.rows(ctx, ids)
	if err != nil {
		return 0, err
	}
	wait := longestPoll
	for _, t := range tasks {
		r, ok := rows[t.id]
		if !ok { // somebody emptied the table
			t.registered = false
			wait = 0
			continue
		}
		if every := t.schedule.Frequency.Every.Std(); every > 0 {
			wait = min(wait, max(every, time.Second/4))
		}
		s.settleWorker(t, r)
		now := s.Now()
		switch {
		case r.ticket != "" && !r.expires.After(now):
			if err := s.expire(ctx, t, r); err != nil {
				return 0, err
			}
			wait = 0
		case r.ticket != "":
			freed, err := s.orphaned(ctx, t, r)
			if err != nil {
				return 0, err
			}
			if freed {
				wait = 0
			}
		case r.next.IsZero():
		case !r.next.After(now):
			if err := s.claim(ctx, t, r); err != nil {
				return 0, err
			}
		default:
			wait = min(wait, r.next.Sub(now))
		}
	}
	return max(wait, time.Millisecond), nil
}

// settleWorker keeps what the REST API says of this replica's worker.
func (s *Scheduler) settleWorker(t *task, r row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.stop == nil && (!r.ended.IsZero() || !r.next.After(s.Now())) {
		t.state = stateIdle
	}
}

func (s *Scheduler) registerAll(ctx context.Context, tasks []*task) error {
	created := false
	for _, t := range tasks {
		if t.registered {
			continue
		}
		if !created {
			if err := s.create(ctx); err != nil {
				return fmt.Errorf("create the table of scheduled tasks: %w", err)
			}
			created = true
		}
		text, err := t.settings()
		if err != nil {
			return err
		}
		if _, err := s.DB.Exec(ctx, register, t.id, text, db.At(t.first(s.Now()))); err != nil {
			return fmt.Errorf("register task %s: %w", t.id, err)
		}
		t.registered = true
	}
	return nil
}

// first is when a task is due that has never run; zero for never.
func (t *task) first(now time.Time) time.Time {
	f := t.schedule.Frequency
	at := now.Add(t.schedule.InitialDelay.Std())
	switch {
	case f.Manual:
		return time.Time{}
	case f.Cron != "":
		return f.Next(at)
	}
	return at
}

// next is when a task is due after a run that was due at due and ends now.
func (t *task) next(due, now time.Time) time.Time {
	f := t.schedule.Frequency
	switch {
	case f.Manual:
		return time.Time{}
	case f.Cron != "":
		return f.Next(now)
	}
	if at := f.Next(due); at.After(now) {
		return at
	}
	return now
}

// Trigger implements backend.Scheduler. Errors are apierr.NotFound, or apierr.Conflict if
// the task runs.
func (s *Scheduler) Trigger(ctx context.Context, id string) error {
	t, err := s.find(id)
	if err != nil {
		return err
	}
	if t.schedule.Scope == "local" {
		s.mu.Lock()
		running := t.stop != nil
		s.mu.Unlock()
		if running {
			return apierr.Conflict.New("task %s is running", id)
		}
		select {
		case t.kick <- struct{}{}:
		default:
		}
		return nil
	}
	if err := s.registered(ctx, t); err != nil {
		return err
	}
	n, err := s.DB.Exec(ctx, trigger, id, db.At(s.Now()))
	if err != nil {
		return fmt.Errorf("trigger task %s: %w", id, err)
	}
	if n == 0 {
		return apierr.Conflict.New("task %s is running", id)
	}
	s.poke()
	return nil
}

// registered makes sure that a task has its row, for requests that come before the
// first round.
func (s *Scheduler) registered(ctx context.Context, t *task) error {
	rows, err := s.rows(ctx, []string{t.id})
	if err == nil && len(rows) == 1 {
		return nil
	}
	if err := s.create(ctx); err != nil {
		return err
	}
	text, err := t.settings()
	if err != nil {
		return err
	}
	_, err = s.DB.Exec(ctx, register, t.id, text, db.At(t.first(s.Now())))
	return err
}

func (s *Scheduler) find(id string) (*task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks[id]
	if !ok {
		return nil, apierr.NotFound.New("task %s does not exist", id)
	}
	return t, nil
}

// IDs lists the tasks in the order in which they were scheduled.
func (s *Scheduler) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}
