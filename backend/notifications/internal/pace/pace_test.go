package pace_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard-dev/callboard/backend/notifications/internal/pace"
)

func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, start := pace.New(3, time.Second), time.Now()
		var mu sync.Mutex
		begun := map[time.Duration]int{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				end, err := p.Begin(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer end()
				mu.Lock()
				defer mu.Unlock()
				begun[time.Since(start)]++
			})
		}
		wg.Wait()
		if begun[0] != 3 || begun[time.Second] != 3 || begun[2*time.Second] != 2 {
			t.Errorf("begun: %v", begun)
		}
		p.Hold(time.Minute)
		p.Hold(time.Second)
		end, err := p.Begin(t.Context())
		if waited := time.Since(start); err != nil || waited != time.Minute+2*time.Second {
			t.Errorf("after a hold: %v, %v", waited, err)
		}
		end()
		p.Hold(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
