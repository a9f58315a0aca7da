package signals

import (
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// PluginFor is Plugin with other limits, for tests that cannot open a thousand connections.
func PluginFor(perUser, guests, channels, queue int, ping time.Duration) backend.Feature {
	l := defaultLimits
	l.perUser, l.guests, l.channels, l.queue, l.ping = perUser, guests, channels, queue, ping
	return plugin(l)
}

// DefaultPing is the time between pings.
var DefaultPing = defaultLimits.ping
