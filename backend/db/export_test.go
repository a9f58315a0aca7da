package db

import "time"

// WithKeepAliveEvery is for tests that do not want to wait for a minute.
func WithKeepAliveEvery(d time.Duration) Option { return func(o *options) { o.tick = d } }

// WithWatchEvery is for tests that do not want to wait for five seconds.
func WithWatchEvery(d time.Duration) Option { return func(o *options) { o.watch = d } }

// PgArgs is what pgx is given for a statement.
func (p *Plugin) PgArgs(q SQL, args ...any) []any { return p.pgArgs(q, args) }
