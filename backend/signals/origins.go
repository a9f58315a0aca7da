package signals

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
)

// origins are the pages that may connect. CORS does not hold for WebSockets, so the server
// itself has to ask who is calling: the page of another site must not listen with what the
// browser of a visitor can reach.
type origins struct {
	own  []string         // app.baseUrl and backend.baseUrl
	cors *rootserver.CORS // nil: none besides
}

func readOrigins(cfg *config.Config) (origins, error) {
	var o origins
	for _, key := range []string{"app.baseUrl", "backend.baseUrl"} {
		base, ok, err := cfg.String(key)
		if err != nil {
			return o, err
		}
		if u, err := url.Parse(base); ok && err == nil && u.Host != "" {
			o.own = append(o.own, u.Scheme+"://"+u.Host)
		}
	}
	if !cfg.Has("backend.cors") {
		return o, nil
	}
	o.cors = &rootserver.CORS{}
	return o, cfg.Decode("backend.cors", o.cors)
}

// allow reports whether the page that r comes from may connect. Programs that are no
// browsers say no origin.
func (o origins) allow(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return true
	}
	for _, own := range o.own {
		if strings.EqualFold(own, origin) {
			return true
		}
	}
	return o.cors != nil && o.cors.Allows(origin)
}
