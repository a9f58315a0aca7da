package mcpactions

import (
	"sync"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// turns bounds how many calls run at the same time, of everybody and of each caller. Who
// is one too many is refused, not kept waiting: assistants try again.
type turns struct {
	all, each int

	mu      sync.Mutex
	running int
	of      map[string]int // by caller, those with any
}

func newTurns(all, each int) *turns { return &turns{all: all, each: each, of: map[string]int{}} }

// enter takes a turn of a caller, which leave gives back.
func (t *turns) enter(caller string) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.of[caller] >= t.each:
		return nil, apierr.ServiceUnavailable.New("you have %d calls in progress, which is as many as you may have (mcpActions.limits.concurrentCallsPerCaller)", t.each)
	case t.running >= t.all:
		return nil, apierr.ServiceUnavailable.New("too many calls are in progress, try again (mcpActions.limits.concurrentCalls)")
	}
	t.running++
	t.of[caller]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running--
		if t.of[caller]--; t.of[caller] == 0 {
			delete(t.of, caller)
		}
	}, nil
}
