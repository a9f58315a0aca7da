package auth

import (
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// limitWindow is the time in which the requests of one address are counted.
const limitWindow = 10 * time.Second

// limits returns what bounds a route (contract/auth.md section 15, S17). An office may be
// behind one address, so the numbers are above what its people do in the morning, and a
// refresh is allowed to a browser that restores two hundred tabs. They are far below what
// guessing, or keeping the identity provider busy, takes. A name without a number, as that
// of the routes that are only read, has no limit.
func limits(l backend.RateLimits) func(name string, h backend.Handler) backend.Handler {
	most := map[string]int{"start": 60, "callback": 60, "refresh": 250, "token": 30, "register": 30}
	return func(name string, h backend.Handler) backend.Handler {
		if most[name] == 0 {
			return h
		}
		return l.Limit(name, most[name], limitWindow, h)
	}
}
