package rediscache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// answerTime bounds what a command may take, and a connection: whoever waits for it
	// could have asked the source.
	answerTime = 500 * time.Millisecond
	// restTime is how long a server that did not answer is left alone.
	restTime = time.Second
)

// A breaker remembers that a server does not answer, so that one caller in a while waits
// for it, and not each.
type breaker struct {
	now func() time.Time

	mu    sync.Mutex
	until time.Time
	err   error
}

// do runs f, or returns at once what the last one has failed with.
func (b *breaker) do(ctx context.Context, f func(context.Context) error) error {
	b.mu.Lock()
	err, rests := b.err, b.now().Before(b.until)
	b.mu.Unlock()
	if rests {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err = f(limited)
	if err == nil || errors.Is(err, redis.Nil) || ctx.Err() != nil || redisSays(err) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.until = err, b.now().Add(restTime)
	return err
}

// redisSays reports whether err is an answer of the server.
func redisSays(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}
