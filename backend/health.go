package backend

import (
	"context"

	"go.uber.org/fx"
)

// Health decides what /.backstage/health/v1/liveness and readiness answer: 200 if the error
// is nil, else 503 with its message. The one that is there says that whoever can ask is
// alive, and that the backend is ready from the end of its start to the beginning of its
// stop, except while a database has been away for ten seconds. A NewService with fx.Decorate
// replaces it; both methods are asked for each request, from any goroutine.
type Health interface {
	Live(ctx context.Context) error
	Ready(ctx context.Context) error
}

// healthService is the Health of the process, and has its server ask the one that is in
// force.
func (c *core) healthService() fx.Option {
	return fx.Options(
		fx.Provide(func() Health { return c.server }),
		fx.Invoke(func(h Health) {
			if h != Health(c.server) {
				c.server.SetJudge(h)
			}
		}),
	)
}
