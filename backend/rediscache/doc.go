// Package rediscache keeps caches in Redis or Valkey, shared by all replicas, and counts
// requests there for rate limits.
//
//	backend.Add(rediscache.Module())
//
// It is used where app-config.yaml says so:
//
//	backend:
//	  cache: {store: redis, connection: "redis://user:password@redis.internal:6379"}
//	  rateLimit: {store: {type: redis, connection: "redis://redis.internal:6379"}}
//
// Keys are "<namespace><separator><plugin><separator><key>", where namespace is
// backend.cache.redis.client.namespace, absent by default (contract/backend.md section 9).
package rediscache

import (
	"github.com/callboard-dev/callboard/backend"
)

// Module adds the stores redis and valkey, and the rate limit store redis.
func Module() backend.Feature {
	return backend.NewService(
		backend.Section("backend.cache", defaults()),
		backend.CacheStoreOption(openCache, "redis", "valkey"),
		backend.RateStoreOption("redis", openRates),
	)
}
