package backend

import (
	"context"
	"time"
)

// outageGrace is how long a database server may be away before load balancers are told:
// a failover takes a few seconds, and all replicas would leave at once.
const outageGrace = 10 * time.Second

// watchDatabase turns readiness off while a database server is away for longer, and tells
// the log when it goes and comes back. Requests go on to be answered as well as they can.
func (c *core) watchDatabase(ctx context.Context) {
	away, degraded := false, false
	c.db.Watch(ctx, func() {
		since, server := c.db.Outage()
		switch {
		case since.IsZero():
			if away {
				c.log.InfoContext(ctx, "the database answers again")
			}
			c.server.SetDegraded("")
			away, degraded = false, false
			return
		case !away:
			away = true
			c.log.ErrorContext(ctx, "the database is away", "server", server)
		}
		if !degraded && time.Since(since) >= c.settings.outageGrace {
			degraded = true
			c.server.SetDegraded("Database is not available")
			c.log.ErrorContext(ctx, "not ready: the database is away for too long", "server", server, "since", since)
		}
	})
}
