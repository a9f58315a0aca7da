package backend

import "time"

// RateLimits bounds how often one client address may call routes of a plugin that cost
// more, or give away more, than others. It holds without configuration; the keys of
// backend.rateLimit say where requests are counted, which addresses have no limit
// (loopback by default), and what happens while the store is away. Where
// backend.rateLimit.plugin.<id> is set it takes the place of these limits, and
// backend.rateLimit: false ends them.
type RateLimits interface {
	// Limit returns h for at most so many requests of one address in a window; an IPv6
	// address counts as its /56. More are answered 429 with Retry-After. Handlers that
	// are limited under one name are counted together, over all replicas if
	// backend.rateLimit.store is shared. most and window are above zero.
	Limit(name string, most int, window time.Duration, h Handler) Handler
}

// pluginRateLimits are the RateLimits of one plugin.
type pluginRateLimits struct {
	c  *core
	id PluginID
}

// Limit implements RateLimits.
func (p pluginRateLimits) Limit(name string, most int, window time.Duration, h Handler) Handler {
	return p.c.server.Limit(string(p.id), name, most, window, h)
}
