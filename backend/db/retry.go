package db

import (
	"context"
	"time"
)

const (
	retryTries = 3
	retryPause = 25 * time.Millisecond
)

// Retry is d.Tx for transactions that may collide with others. When one fails with
// an error that [IsRetryable] recognises, it is rolled back and run again: three
// tries in all, 25 ms and 50 ms apart. So fn must not have effects outside the
// transaction, and sets what it returns through variables anew on every run.
func Retry(ctx context.Context, d DB, fn func(Conn) error) error {
	pause := retryPause
	for try := 1; ; try++ {
		err := d.Tx(ctx, fn)
		if err == nil || try == retryTries || !IsRetryable(err) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		pause *= 2
	}
}
