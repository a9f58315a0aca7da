package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// taskRunner runs what recurs in the background: through the backend's scheduler,
// or, in a backend that has none, in this process.
type taskRunner struct {
	scheduler  backend.Scheduler // nil: none
	events     backend.Events    // nil: none
	background *backend.Background
	log        *slog.Logger
}

func (t taskRunner) schedule(id string, s config.Schedule, task func(context.Context) error) error {
	if t.scheduler != nil {
		return t.scheduler.Schedule(id, s, task)
	}
	if s.Frequency.Manual {
		return fmt.Errorf("task %s is triggered manually, which needs a scheduler", id)
	}
	t.background.Go(func(ctx context.Context) { t.repeat(ctx, id, s, task) })
	return nil
}

// repeat runs a task until ctx ends. Every replica runs it, which costs work and does
// no harm: a set that is replaced twice with the same entities is unchanged.
func (t taskRunner) repeat(ctx context.Context, id string, s config.Schedule, task func(context.Context) error) {
	timer := time.NewTimer(s.InitialDelay.Std())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		run, cancel := context.WithTimeout(ctx, s.Timeout.Std())
		err := task(run)
		cancel()
		if err != nil && ctx.Err() == nil {
			t.log.ErrorContext(ctx, "task failed", "task", id, "error", err)
		}
		next := s.Frequency.Next(start)
		if next.IsZero() {
			return
		}
		timer.Reset(max(time.Until(next), 0))
	}
}

func (t taskRunner) subscribe(id string, topics []string, handle func(context.Context, backend.Event) error) error {
	if t.events == nil {
		return nil // nobody publishes either
	}
	t.background.Go(func(ctx context.Context) {
		for e, err := range t.events.Subscribe(ctx, id, topics...) {
			if err == nil {
				err = handle(ctx, e)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				t.log.ErrorContext(ctx, "event could not be handled", "provider", id, "topic", e.Topic, "error", err)
			}
		}
	})
	return nil
}

// every is a schedule for tasks of our own.
func every(d, timeout time.Duration) config.Schedule {
	return config.Schedule{Frequency: config.Cadence{Every: config.Duration(d)}, Timeout: config.Duration(timeout), Scope: "global"}
}
