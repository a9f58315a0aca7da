package scheduler

import (
	"context"
	"time"
)

// Look is one round of the loop.
func (s *Scheduler) Look(ctx context.Context) time.Duration { return s.round(ctx) }
