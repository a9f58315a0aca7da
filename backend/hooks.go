package backend

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/fx"
)

// hooks keeps the lifecycle hooks of each plugin and its modules, in the order in
// which they were appended.
type hooks struct {
	mu    sync.Mutex
	lists map[PluginID][]hook
}

type hook struct {
	owner *feature
	fx.Hook
	at string // where it was appended
}

func newHooks() *hooks { return &hooks{lists: map[PluginID][]hook{}} }

func (h *hooks) of(f *feature) fx.Lifecycle { return lifecycle{h, f} }

func (h *hooks) list(id PluginID) []hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hook(nil), h.lists[id]...)
}

// lifecycle is the fx.Lifecycle of one feature.
type lifecycle struct {
	h *hooks
	f *feature
}

func (l lifecycle) Append(k fx.Hook) {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	l.h.lists[l.f.plugin] = append(l.h.lists[l.f.plugin], hook{owner: l.f, Hook: k, at: callerPosition(1)})
}

// run calls fn and turns a panic into an error that names the line.
func run(ctx context.Context, fn func(context.Context) error) (err error) {
	if fn == nil {
		return nil
	}
	defer recovered(&err)
	return fn(ctx)
}

// hookGrace is how long a hook may go on after its context has ended.
const hookGrace = 3 * time.Second

// errStuck says that a hook ignored the end of its context; its goroutine is left behind.
var errStuck = errors.New("it is still running, though its context has ended")

// run is run for a hook, and returns within grace after ctx has ended.
func (h hook) run(ctx context.Context, fn func(context.Context) error, grace time.Duration) error {
	if fn == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- run(ctx, fn) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	wait := time.NewTimer(grace)
	defer wait.Stop()
	select {
	case err := <-done:
		return err
	case <-wait.C:
		return errStuck
	}
}

// recovered is deferred; it stores a panic as a *panicError.
func recovered(err *error) {
	v := recover()
	if v == nil {
		return
	}
	*err = &panicError{value: v, at: panicFrame(), stack: debug.Stack()}
}

// panicFrame is the frame that panicked, seen from a deferred function.
func panicFrame() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	seen := false
	for {
		f, more := frames.Next()
		if seen && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", shortPath(f.File), f.Line)
		}
		seen = seen || f.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

// Background runs the goroutines of one plugin: they are cancelled when the plugin
// stops and waited for, and a panic in one, which also cancels the others, is a boot error while the backend starts
// and ends the backend in order afterwards. It is injected into plugins and modules.
type Background struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	failed chan error // holds at most one
}

func newBackground() *Background {
	ctx, cancel := context.WithCancel(context.Background())
	return &Background{ctx: ctx, cancel: cancel, failed: make(chan error, 1)}
}

// Go runs fn in a goroutine of its own until it returns. Its context ends when the
// plugin stops. Call it from a start hook or later, never from a constructor.
func (b *Background) Go(fn func(ctx context.Context)) {
	b.wg.Go(func() {
		var err error
		func() {
			defer recovered(&err)
			fn(b.ctx)
		}()
		if err != nil {
			b.once.Do(func() { b.failed <- err })
			b.cancel() // what else runs cannot rely on it any more
		}
	})
}

// stop cancels, and waits until ctx is done at the latest.
func (b *Background) stop(ctx context.Context) error {
	b.cancel()
	done := make(chan struct{})
	go func() { b.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("background work did not end in time")
	}
}
