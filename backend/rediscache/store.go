package rediscache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Store is a backend.CacheStore in Redis or Valkey.
type Store struct {
	client    redis.UniversalClient
	prefix    string // with its separator, if it has one
	separator string
	unlink    bool
	breaker   breaker
}

var (
	_ backend.CacheStore = (*Store)(nil)
	_ backend.CacheKeyer = (*Store)(nil)
	_ backend.RateStore  = (*Rates)(nil)
)

// Key implements backend.CacheKeyer.
func (s *Store) Key(plugin, key string) string { return s.prefix + plugin + s.separator + key }

// Get implements backend.CacheStore.
func (s *Store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	var v []byte
	err := s.breaker.do(ctx, func(ctx context.Context) (err error) { v, err = s.client.Get(ctx, key).Bytes(); return err })
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return v, err == nil, err
}

// Set implements backend.CacheStore. Redis knows milliseconds; what is shorter is one.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl > 0 {
		ttl = max(ttl, time.Millisecond)
	}
	return s.breaker.do(ctx, func(ctx context.Context) error { return s.client.Set(ctx, key, value, ttl).Err() })
}

// Delete implements backend.CacheStore.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.breaker.do(ctx, func(ctx context.Context) error {
		if s.unlink {
			return s.client.Unlink(ctx, key).Err()
		}
		return s.client.Del(ctx, key).Err()
	})
}

// Close implements backend.CacheStore.
func (s *Store) Close() error { return s.client.Close() }

// Rates counts requests in Redis.
type Rates struct {
	client  redis.UniversalClient
	now     func() time.Time
	breaker breaker
}

func openRates(connection config.Secret) (backend.RateStore, error) {
	client, err := connect(connection)
	if err != nil {
		return nil, err
	}
	return &Rates{client: client, now: time.Now, breaker: breaker{now: time.Now}}, nil
}

// hit counts, and begins a window with the first request. In one script, so that no
// counter is left without an end when a replica dies in between.
var hit = redis.NewScript(`
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
	redis.call('PEXPIRE', KEYS[1], ARGV[1])
	left = tonumber(ARGV[1])
end
return {count, left}`)

// undo takes back a request, unless its window is over.
var undo = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then
	return redis.call('DECR', KEYS[1])
end
return 0`)

// rateKey keeps counters apart from what else is in the database.
func rateKey(key string) []string { return []string{"rl:" + key} }

// Hit implements backend.RateStore.
func (r *Rates) Hit(ctx context.Context, key string, window time.Duration) (int, time.Time, error) {
	var v []int64
	err := r.breaker.do(ctx, func(ctx context.Context) (err error) {
		v, err = hit.Run(ctx, r.client, rateKey(key), max(1, window.Milliseconds())).Int64Slice()
		return err
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	if len(v) != 2 {
		return 0, time.Time{}, errors.New("the script answers in an unknown form")
	}
	return int(v[0]), r.now().Add(time.Duration(v[1]) * time.Millisecond), nil
}

// Undo implements backend.RateStore.
func (r *Rates) Undo(ctx context.Context, key string) error {
	return r.breaker.do(ctx, func(ctx context.Context) error { return undo.Run(ctx, r.client, rateKey(key)).Err() })
}

// Close closes the connections.
func (r *Rates) Close() error { return r.client.Close() }
