package backend

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/cache"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
)

// A CacheStore is where the values of every plugin's Cache are, if not in memory. It is
// used from many goroutines at once. An error means that the store cannot be used; it is
// logged, and plugins go on without a cache.
type CacheStore interface {
	// Get returns a value, and whether there is one.
	Get(ctx context.Context, key string) ([]byte, bool, error)
	// Set keeps a value for ttl, or as long as there is room if that is zero.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete forgets a value. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// Close is called once, when nobody uses the store any more.
	Close() error
}

// A CacheKeyer is a CacheStore that tells plugins apart in a way of its own. Others get
// keys of the form "<plugin>:<key>".
type CacheKeyer interface {
	Key(plugin, key string) string
}

// CacheStoreOption is for a NewService: backend.cache.store may have one of the names
// then. open gets backend.cache and does no I/O; it is called if that store is chosen.
func CacheStoreOption(open func(cfg *config.Config, log *slog.Logger) (CacheStore, error), names ...string) fx.Option {
	return cacheStoreOption{Option: fx.Options(), names: names, open: open}
}

type cacheStoreOption struct {
	fx.Option
	names []string
	open  func(*config.Config, *slog.Logger) (CacheStore, error)
}

// A RateStore counts the requests that backend.rateLimit limits, for all replicas. It
// is used from many goroutines at once. If it is an io.Closer, it is closed in the end.
type RateStore interface {
	// Hit counts one request for key, and returns how many there were in the current
	// window, this one included, and when the window ends. The first hit begins one.
	Hit(ctx context.Context, key string, window time.Duration) (count int, reset time.Time, err error)
	// Undo takes one request back.
	Undo(ctx context.Context, key string) error
}

// RateStoreOption is for a NewService: backend.rateLimit.store.type may have that name
// then. open gets backend.rateLimit.store.connection and does no I/O.
func RateStoreOption(name string, open func(connection config.Secret) (RateStore, error)) fx.Option {
	return rateStoreOption{Option: fx.Options(), name: name, open: open}
}

type rateStoreOption struct {
	fx.Option
	name string
	open func(config.Secret) (RateStore, error)
}

// CacheWithTTL returns a part of c whose values are kept for ttl unless they say
// otherwise.
func CacheWithTTL(c Cache, ttl time.Duration) Cache { return cacheWithTTL{c, ttl} }

type cacheWithTTL struct {
	Cache
	ttl time.Duration
}

// Set implements Cache.
func (c cacheWithTTL) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl == 0 {
		ttl = c.ttl
	}
	return c.Cache.Set(ctx, key, value, ttl)
}

// caches is the store that this process uses, and what it knows of it.
type caches struct {
	cfg    cache.Config
	store  cache.Store
	broken atomic.Bool
}

// plugin is the Cache of a plugin.
func (c *caches) plugin(id PluginID, log *slog.Logger) Cache {
	return cache.For(c.store, string(id), time.Duration(c.cfg.DefaultTTL), &c.broken, log)
}

// newCaches opens the store that the configuration names.
func (c *core) newCaches() (*caches, error) {
	out := &caches{cfg: c.sections.Cache}
	name := out.cfg.Store
	if name == "" || name == "memory" {
		out.store = cache.NewMemory(c.settings.now())
		return out, nil
	}
	for _, f := range c.features {
		for _, o := range f.opts {
			s, ok := o.(cacheStoreOption)
			if !ok {
				continue
			}
			for _, n := range s.names {
				if n == name {
					var err error
					out.store, err = s.open(c.cfg.Sub("backend.cache"), c.log)
					return out, err
				}
			}
		}
	}
	what := fmt.Errorf("is %q, but no cache store of that type is part of this backend", name)
	if name == "redis" || name == "valkey" {
		return out, config.AtWithFix("backend.cache.store", what, "backend.Add(rediscache.Module())")
	}
	return out, config.AtWithFix("backend.cache.store", what, "use memory, redis or valkey, or add a service with backend.CacheStoreOption")
}

// rateStores are the stores that backend.rateLimit.store.type may name, besides memory.
// The closers of those that are opened are added to closers.
func (c *core) rateStores(closers *[]io.Closer) map[string]rootserver.RateStoreFactory {
	out := map[string]rootserver.RateStoreFactory{}
	for _, f := range c.features {
		for _, o := range f.opts {
			if s, ok := o.(rateStoreOption); ok {
				out[s.name] = func(cfg rootserver.RateStoreConfig) (rootserver.RateStore, error) {
					store, err := s.open(cfg.Connection)
					if err != nil {
						return nil, config.At("backend.rateLimit.store.connection", err)
					}
					if closer, ok := store.(io.Closer); ok {
						*closers = append(*closers, closer)
					}
					return store, nil
				}
			}
		}
	}
	return out
}
