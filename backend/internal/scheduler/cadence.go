package scheduler

import (
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// check refuses a schedule that would never run a task, or not as it says.
func check(s config.Schedule, now time.Time) error {
	if err := s.Validate(); err != nil {
		return err
	}
	f := s.Frequency
	switch {
	case s.Scope != "global" && s.Scope != "local":
		return fmt.Errorf("scope is %q, use global or local", s.Scope)
	case f.Manual:
	case f.Cron != "":
		if f.Next(now).IsZero() {
			return fmt.Errorf("frequency: cron expression %q names no time that ever comes", f.Cron)
		}
	case f.Every <= 0:
		return errors.New("frequency must be longer than zero, a cron line, or manual")
	}
	return nil
}

// first is when a task is due that has never run; zero for never. Cron lines are read in
// the time zone of now.
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

// next is when a task is due after a run that was due at due and ends now. A task that
// is late does not catch up on the runs it has missed; it is due at once.
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

// latest is when a task that is known already is due at the latest: a cadence from now.
// The row of a task says later if the cadence has been shortened since, or if its first
// run is still to come.
func (t *task) latest(now time.Time) time.Time {
	first := t.first(now)
	if every := t.schedule.Frequency.Every.Std(); every > 0 {
		if at := now.Add(every); at.After(first) {
			return at
		}
	}
	return first
}
