package backend

import "time"

// WithOutageGrace is for tests that do not want to wait for ten seconds.
func WithOutageGrace(d time.Duration) Option {
	return optionFunc(func(s *settings) { s.outageGrace = d })
}
