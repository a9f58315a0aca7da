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

// Options are what a Scheduler stands on.
type Options struct {
	Plugin string
	DB     db.DB
	// Locks returns the session that holds the locks of this process, a new one when
	// the last has ended.
	Locks func(context.Context) (*db.Locks, error)
	Log   *slog.Logger

	// Now is the clock of this process; nil: the system's. Its location is the time zone
	// of cron lines. On PostgreSQL it only measures how much time passes: what time it is
	// says the server, so that replicas whose clocks differ agree.
	Now func() time.Time
	// Server changes what the server's clock says, for tests; nil: as it is.
	Server func(time.Time) time.Time

	// Moved returns a channel that is closed when Now jumps the next time; nil: it never does.
	Moved func() <-chan struct{}

	// Plugins is how many plugins of this process have scheduled tasks; nil: this one.
	// The more there are, the less often each looks at its table.
	Plugins func() int

	// Observe is told of every run when it begins. The run gets the context it returns, and
	// the function it returns is called with the outcome. nil: nobody is told.
	Observe func(ctx context.Context, task, scope string) (context.Context, func(error))
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

	created atomic.Bool  // the table is there
	skew    atomic.Int64 // of the server's clock against Now, in nanoseconds
	warned  atomic.Bool  // of the skew

	// Of the loop alone:
	lastErr  string // so that it is logged on change
	failures int    // looks at the table that failed one after the other
}

type task struct {
	id       string
	schedule config.Schedule
	run      func(context.Context) error
	kick     chan struct{} // local tasks: run now

	// Of the loop alone:
	registered    bool      // its row is up to date
	blocked       time.Time // since when the lock of its next run is taken, and the run does not begin
	blockedNumber int64

	// Guarded by the scheduler's mu:
	state   string
	stop    context.CancelCauseFunc // of the current run; nil: none
	lastErr string                  // of the last run, so that it is logged on change
	local   localState
}

// New returns a Scheduler that does nothing before Start.
func New(o Options) *Scheduler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Moved == nil {
		o.Moved = func() <-chan struct{} { return nil }
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
	if err := check(schedule, s.Now()); err != nil {
		return fmt.Errorf("task %s: %w", id, err)
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
			return apierr.Conflict.New("Task %s is currently running", id)
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
	n, err := s.DB.Exec(ctx, trigger, id, db.At(s.now()))
	if err != nil {
		return fmt.Errorf("trigger task %s: %w", id, err)
	}
	if n == 0 {
		return apierr.Conflict.New("Task %s is currently running", id)
	}
	s.poke()
	return nil
}

// registered makes sure that a task has its row, with the settings of this process, for
// requests that come before the first look: a registration that came later could move the
// run that is ordered.
func (s *Scheduler) registered(ctx context.Context, t *task) error {
	if err := s.create(ctx); err != nil {
		return err
	}
	return s.registerOne(ctx, t)
}

func (s *Scheduler) find(id string) (*task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks[id]
	if !ok {
		return nil, apierr.NotFound.New("Task %s does not exist", id)
	}
	return t, nil
}

// IDs lists the tasks in the order in which they were scheduled.
func (s *Scheduler) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}
