package backend

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// progress is what the plugins that have not started yet are waiting for.
type progress struct {
	began time.Time

	mu      sync.Mutex
	waiting map[PluginID]string
}

func newProgress() *progress { return &progress{began: time.Now(), waiting: map[PluginID]string{}} }

func (p *progress) at(id PluginID, step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[id] = step
}

func (p *progress) over(id PluginID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
}

// report logs who is still starting: after a second, and then in intervals that double up
// to a minute (contract/backend.md section 2). The returned function ends it.
func (p *progress) report(log *slog.Logger) (stop func()) {
	const first, longest = time.Second, time.Minute
	done := make(chan struct{})
	go func() {
		interval := first
		timer := time.NewTimer(interval)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
			}
			p.log(log)
			interval = min(2*interval, longest)
			timer.Reset(interval)
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}

func (p *progress) log(base *slog.Logger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.waiting)) {
		what, log := "plugin is still starting", base.With("plugin", string(id))
		if id == "" {
			what, log = "services are still starting", base
		}
		log.Info(what, "waitsFor", p.waiting[id], "after", time.Since(p.began).Round(time.Second).String())
	}
}
