package scheduler

import (
	"context"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// Look is one round of the loop.
func (s *Scheduler) Look(ctx context.Context) time.Duration { return s.round(ctx) }

// First, Next and Latest are when a task of that schedule is due.
func First(s config.Schedule, now time.Time) time.Time { return (&task{schedule: s}).first(now) }
func Next(s config.Schedule, due, now time.Time) time.Time {
	return (&task{schedule: s}).next(due, now)
}
func Latest(s config.Schedule, now time.Time) time.Time { return (&task{schedule: s}).latest(now) }

// Poke has the loop look at the table now.
func (s *Scheduler) Poke() { s.poke() }
