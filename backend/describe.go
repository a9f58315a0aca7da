package backend

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
)

// A Route is what a backend answers, for documentation and tests.
type Route struct {
	Plugin  string // "/" for paths at the root of the host
	Pattern string // "GET /entities/by-uid/{uid}", below /api/<plugin>
	Caller  string // "user or service", "also the user's cookie", or "everybody"
	MaxBody int64  // bytes that a request body may have at most
}

// Routes lists the routes of all plugins that are part of a started backend, by plugin
// and in the order in which the plugin added them.
func (b *Backend) Routes() []Route {
	b.mu.Lock()
	c := b.core
	b.mu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Route
	for _, path := range c.server.WellKnownPaths() {
		out = append(out, Route{"/", "GET " + path, callerText(AllowUnauthenticated), rootserver.DefaultMaxBody})
	}
	for id, s := range c.schedulers {
		if s.Used() {
			for _, pattern := range scheduler.Patterns() {
				out = append(out, Route{string(id), pattern, callerText(0), rootserver.DefaultMaxBody})
			}
		}
	}
	for id, mux := range c.muxes {
		for _, r := range mux.Routes() {
			out = append(out, Route{string(id), r.Pattern, callerText(r.Access), rootserver.DefaultMaxBody})
		}
	}
	slices.SortStableFunc(out, func(a, b Route) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return out
}

func callerText(a httpx.Access) string {
	switch a {
	case httpx.AllowUnauthenticated:
		return "everybody"
	case httpx.AllowUserCookie:
		return "also the user's cookie"
	}
	return "user or service"
}

// Reference lists every key of the configuration that the core services and the
// features of this backend read, by path.
func (b *Backend) Reference() []config.Key {
	var out []config.Key
	for path, defaults := range coreReference() {
		out = append(out, config.Reference(path, defaults)...)
	}
	comp, _ := compose(b.list())
	for _, f := range comp.everything() {
		for _, s := range f.sections() {
			out = append(out, config.Reference(s.path, s.defaults)...)
		}
	}
	out = append(out, coreLeaves()...)
	slices.SortStableFunc(out, func(a, b config.Key) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(out, func(a, b config.Key) bool { return a.Path == b.Path })
}

// tell says on a laptop where to look.
func (c *core) tell(ctx context.Context) {
	if c.env != DevelopmentEnvironment {
		return
	}
	base := strings.TrimSuffix(c.sections.Server.BaseURL, "/")
	c.log.InfoContext(ctx, "open "+base+"/ in a browser", "health", base+"/.backstage/health/v1/readiness", "api", base+"/api")
}
