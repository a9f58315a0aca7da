// Package cache keeps values for a while: it is behind every plugin's backend.Cache.
//
// A Store holds bytes under keys; Memory is the one that is always there, others are
// added by modules. For gives a plugin its part of a Store: keys in a namespace, the
// default lifetime, and errors that do not reach the plugin, which can do without a
// cache (contract/backend.md section 9).
package cache

import (
	"fmt"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the part of backend.cache that all stores share.
type Config struct {
	Store      string          `config:"store" doc:"memory, or redis or valkey with rediscache.Module()"`
	DefaultTTL config.Duration `config:"defaultTtl,millis" doc:"how long values are kept that say nothing else; without it they are kept until there is no room"`
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	switch c.Store {
	case "memcache", "infinispan":
		return config.At("store", fmt.Errorf("%s is not supported; use memory, redis or valkey", c.Store))
	}
	return nil
}
