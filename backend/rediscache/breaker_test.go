package rediscache

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestBreaker holds that a server that does not answer is asked once a second, and not by
// everybody.
func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	b := breaker{now: func() time.Time { return now }}
	asked := 0
	answer := func(err error) func(context.Context) error {
		return func(context.Context) error { asked++; return err }
	}
	away := errors.New("connection refused")
	for range 100 {
		if err := b.do(t.Context(), answer(away)); !errors.Is(err, away) {
			t.Fatalf("got %v", err)
		}
	}
	if asked != 1 {
		t.Errorf("a server that is away was asked %d times", asked)
	}
	now = now.Add(restTime)
	if err := b.do(t.Context(), answer(nil)); err != nil || asked != 2 {
		t.Errorf("after a second: %v, asked %d times", err, asked)
	}
	for _, err := range []error{redis.Nil, redis.ErrClosed} {
		asked = 0
		_ = b.do(t.Context(), answer(err))
		_ = b.do(t.Context(), answer(nil))
		if want := map[error]int{redis.Nil: 2, redis.ErrClosed: 1}[err]; asked != want {
			t.Errorf("after %v: asked %d times, want %d", err, asked, want)
		}
	}
	now = now.Add(restTime)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	asked = 0
	_ = b.do(cancelled, answer(context.Canceled))
	if _ = b.do(t.Context(), answer(nil)); asked != 2 {
		t.Error("a caller that gives up makes others go without")
	}
}

// TestAServerThatHangs holds that a command ends although no answer comes.
func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	b := breaker{now: time.Now}
	err := b.do(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if !errors.Is(err, context.DeadlineExceeded) || t.Context().Err() != nil {
		t.Errorf("got %v", err)
	}
}
