package backendtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/internal/scheduler"
)

// advanceTimeout bounds how long the tasks may take that an Advance makes due.
const advanceTimeout = 30 * time.Second

// Clock is the clock of the backend: that of scheduled tasks, caches in memory, tokens and
// their keys. Move it with Advance, which waits for what then is due.
func (b *Backend) Clock() *Clock { return b.clock }

// Advance moves the clock of the backend forward, and returns when the scheduled tasks that
// are due at the new time have run, and none of them is due any more. Runs that are missed
// on the way are not caught up on, as after a pause of the process: a task that runs every
// minute runs twice if an hour passes, for the run that it was late for, and then at once.
// Runs that were going on before are not waited for; those whose timeout is over are given
// up. The test fails if all this takes longer than 30 s.
//
// Tokens end, too: the clients that As has returned before may get 401 afterwards, new ones
// do not.
func (b *Backend) Advance(d time.Duration) {
	b.t.Helper()
	limit := time.Now().Add(advanceTimeout)
	var due map[string]bool
	b.eventually(limit, "these tasks are not known to their schedulers", func() (missing []string) {
		due = map[string]bool{}
		for id, v := range b.tasks() {
			switch {
			case v.Task == nil || v.Task.Status == "idle" && v.Task.StartsAt == "" && v.Settings.Cadence != "manual":
				missing = append(missing, id) // the scheduler has not come to it yet
			case v.Task.Status == "idle" && v.Task.StartsAt != "" && !at(v.Task.StartsAt).After(b.clock.Now().Add(d)):
				due[id] = true
			}
		}
		return missing
	})
	b.clock.Advance(d)
	b.eventually(limit, "these tasks have not run", func() (late []string) {
		for id, v := range b.tasks() {
			if due[id] && v.Task != nil && (v.Task.Status != "idle" || v.Task.StartsAt != "" && !at(v.Task.StartsAt).After(b.clock.Now())) {
				late = append(late, id)
			}
		}
		return late
	})
}

// tasks are those of all plugins, by "<plugin> <task>".
func (b *Backend) tasks() map[string]scheduler.View {
	b.t.Helper()
	out := map[string]scheduler.View{}
	for plugin, s := range b.tokens.schedulers {
		own, ok := s.(*scheduler.Scheduler)
		if !ok {
			continue // one of the test's own, which goes by a clock of its own
		}
		views, err := own.Tasks(b.t.Context())
		if err != nil {
			b.t.Fatalf("scheduled tasks of %s: %v", plugin, err)
		}
		for _, v := range views {
			out[fmt.Sprintf("%s %s", plugin, v.TaskID)] = v
		}
	}
	return out
}

// eventually waits until nothing is left, and fails the test with what is.
func (b *Backend) eventually(limit time.Time, what string, left func() []string) {
	b.t.Helper()
	for {
		rest := left()
		if len(rest) == 0 {
			return
		}
		if time.Now().After(limit) {
			b.t.Fatalf("after %s, %s: %s", advanceTimeout, what, strings.Join(rest, ", "))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// at parses the times of scheduler.View.
func at(text string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05.000-07:00", text)
	if err != nil {
		panic(err) // it was written by Tasks
	}
	return t
}
