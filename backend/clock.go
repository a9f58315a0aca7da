package backend

import "time"

// A Clock tells a backend the time, in tests that cannot wait for it: see WithClock, and
// backendtest.Clock, which is one. Its methods are called from any goroutine.
type Clock interface {
	// Now is the time. It may jump forward, and otherwise goes on as the system's clock does.
	Now() time.Time
	// Moved returns a channel that is closed when the clock jumps the next time.
	Moved() <-chan struct{}
}

// WithClock makes scheduled tasks, caches in memory, tokens and their keys, and what is
// remembered of users go by c instead of the system's clock. On PostgreSQL, where scheduled
// tasks go by the server's clock, they see it as far ahead as c is. How long something may
// take, such as a request or the run of a task, is measured as ever.
func WithClock(c Clock) Option { return optionFunc(func(s *settings) { s.clock = c }) }

// now is the clock of this backend.
func (s settings) now() func() time.Time {
	if s.clock == nil {
		return time.Now
	}
	return s.clock.Now
}

// moved returns what tells of jumps of the clock; nil if it never jumps.
func (s settings) moved() func() <-chan struct{} {
	if s.clock == nil {
		return nil
	}
	return s.clock.Moved
}

// server is what PostgreSQL's clock is taken to say; nil: what it says.
func (s settings) server() func(time.Time) time.Time {
	if s.clock == nil {
		return nil
	}
	return func(t time.Time) time.Time { return t.Add(time.Until(s.clock.Now())) }
}
