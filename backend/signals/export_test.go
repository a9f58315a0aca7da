package signals

import (
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// PluginFor is Plugin with other limits, for tests that cannot open a thousand connections.
func PluginFor(perUser, guests, channels, queue int, ping, write time.Duration) backend.Feature {
	l := defaultLimits
	l.perUser, l.guests, l.channels, l.queue, l.ping, l.write = perUser, guests, channels, queue, ping, write
	return plugin(l)
}

// The defaults of times.
var (
	DefaultPing  = defaultLimits.ping
	DefaultWrite = defaultLimits.write
)
