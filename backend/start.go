package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
)

// running is a started backend.
type running struct {
	comp  *composition
	hooks *hooks

	services []hook // of services, that have started

	mu      sync.Mutex
	plugins map[PluginID]*runningPlugin
	fatal   chan error // a background goroutine panicked after start
}

type runningPlugin struct {
	started    []hook // in the order in which they succeeded
	background *Background
	scheduler  *scheduler.Scheduler
}

// bootConnections is how many connections to PostgreSQL a process has open until it is ready.
// Replicas that a rollout starts together must fit beside those that still serve.
const bootConnections = 10

// Start returns once every plugin has started, or with a *BootError. The plugins start
// in parallel; when one fails, the others finish starting and are stopped again, unless
// backend.startup says that they shall continue without it.
func (b *Backend) Start(ctx context.Context) error {
	b.mu.Lock()
	if b.started {
		b.mu.Unlock()
		return errStarted
	}
	b.started = true
	b.mu.Unlock()

	c, found := b.prepare(ctx)
	b.mu.Lock()
	b.core = c
	b.mu.Unlock()
	comp, err := c.plan(b.list(), found)
	if err != nil {
		c.abandon()
		return err
	}
	if b.settings.rehearse {
		_, _ = c.build(comp, newHooks()) // what is wrong shows below, too
		if err := c.reset(); err != nil {
			return c.bootError(nil, err)
		}
	}
	comp, hooks, err := c.assemble(ctx, comp)
	if err != nil {
		c.abandon()
		return err
	}
	defer c.db.BoundConnections(bootConnections)()
	b.run = &running{comp: comp, hooks: hooks, plugins: map[PluginID]*runningPlugin{}, fatal: make(chan error, 1)}
	if err := c.open(ctx, comp); err != nil {
		c.abandon()
		return c.bootError(nil, err)
	}
	b.mu.Lock()
	b.addr = c.server.Addr()
	b.mu.Unlock()
	if err := b.startServices(ctx); err != nil {
		return b.rollBack(c.bootError(nil, c.cfg.Locate(err)))
	}
	if err := b.startPlugins(ctx); err != nil {
		return b.rollBack(err)
	}
	c.ready(comp)
	return nil
}

// startServices runs the hooks of services, one after the other.
func (b *Backend) startServices(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.core.startTimeout)
	defer cancel()
	starting := newProgress()
	defer starting.report(b.core.log)()
	for _, h := range b.run.hooks.list("") {
		starting.at("", "the start hook added at "+h.at)
		if err := h.run(ctx, h.OnStart, hookGrace); err != nil {
			return b.startError(ctx, h, err)
		}
		b.run.services = append(b.run.services, h)
	}
	return nil
}

// stopServices stops what startServices has started, the last first.
func (b *Backend) stopServices(ctx context.Context) error {
	var errs []error
	for _, h := range slices.Backward(b.run.services) {
		errs = append(errs, b.stopHook(ctx, h))
	}
	b.run.services = nil
	return errors.Join(errs...)
}

// tooSlow says that what did not return before ctx ended.
func (b *Backend) tooSlow(ctx context.Context, what string, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("stopped while it was starting: %s: %w", what, err)
	}
	return FixErr(fmt.Errorf("did not start within %s: %s: %w", b.core.startTimeout, what, err),
		"find out what it waits for, make the hook return when its context ends, or allow it more time with backend.WithStartTimeout")
}

// rollBack stops what has started and returns why.
func (b *Backend) rollBack(why error) error {
	ctx, cancel := context.WithTimeout(context.Background(), b.core.stopTimeout)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		b.core.log.Error("stopping after a failed start", "error", err)
	}
	return why
}

// bootError makes a *BootError of one problem of f, or of the backend if f is nil.
func (c *core) bootError(f *feature, err error) error {
	var be *BootError
	if errors.As(err, &be) {
		return be
	}
	p := problems{redact: c.redactor.Redact}
	p.add(f, err)
	return p.err()
}

// startPlugins runs migrations and start hooks, plugins in parallel.
func (b *Backend) startPlugins(ctx context.Context) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		found = problems{redact: b.core.redactor.Redact}
	)
	starting := newProgress()
	defer starting.report(b.core.log)()
	for _, g := range b.run.comp.plugins {
		starting.at(g.id(), "migrations")
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, b.core.startTimeout)
			defer cancel()
			f, err := b.startPlugin(ctx, g, starting)
			starting.over(g.id())
			if err == nil {
				return
			}
			err = b.core.cfg.Locate(err)
			mu.Lock()
			defer mu.Unlock()
			if b.core.sections.Startup.tolerates(g.plugin) {
				b.core.log.Error("plugin left out: it cannot start", "plugin", string(g.id()), "feature", f.name(), "error", err)
				b.core.gates[g.id()].fail(err)
				return
			}
			found.add(f, err)
		})
	}
	wg.Wait()
	return found.err()
}

// startPlugin returns the feature whose hook failed. A failing module that the policy
// tolerates is logged, its own hooks are stopped, and the others go on.
func (b *Backend) startPlugin(ctx context.Context, g *pluginGroup, starting *progress) (*feature, error) {
	began := time.Now()
	p := &runningPlugin{background: b.core.background(g.id()), scheduler: b.core.scheduler(g.id())}
	b.run.mu.Lock()
	b.run.plugins[g.id()] = p
	b.run.mu.Unlock()
	if f, err := b.core.migrate(ctx, g); err != nil {
		if ctx.Err() != nil {
			err = b.tooSlow(ctx, "migrations", err)
		}
		return f, err
	}
	failed := map[*feature]bool{}
	for _, h := range b.run.hooks.list(g.id()) {
		if failed[h.owner] {
			continue
		}
		starting.at(g.id(), "the start hook added at "+h.at)
		err := h.run(ctx, h.OnStart, hookGrace)
		if err == nil {
			p.started = append(p.started, h)
			continue
		}
		err = b.startError(ctx, h, err)
		if h.owner.kind == moduleFeature && b.core.sections.Startup.tolerates(h.owner) {
			failed[h.owner] = true
			b.core.log.Error("module left out: it cannot start", "plugin", string(g.id()), "module", h.owner.module, "error", err)
			p.started = b.stopHooks(ctx, p.started, func(k hook) bool { return k.owner == h.owner })
			continue
		}
		_ = b.stopPlugin(ctx, p)
		return h.owner, err
	}
	starting.at(g.id(), "background work and scheduled tasks")
	select {
	case err := <-p.background.failed:
		_ = b.stopPlugin(ctx, p)
		return g.plugin, fmt.Errorf("background work: %w", err)
	default:
	}
	if p.scheduler.Used() {
		if err := b.core.locksHold(ctx); err != nil {
			_ = b.stopPlugin(ctx, p)
			return g.plugin, err
		}
	}
	p.scheduler.Start()
	go b.watch(g, p)
	b.core.gates[g.id()].open()
	b.core.log.Debug("plugin started", "plugin", string(g.id()), "took", time.Since(began))
	return nil, nil
}

// startError says which hook it was. A problem with a key says itself where it is.
func (b *Backend) startError(ctx context.Context, h hook, err error) error {
	what := "the start hook added at " + h.at
	if ctx.Err() != nil {
		return b.tooSlow(ctx, what, err)
	}
	var ke *config.KeyError
	if errors.As(err, &ke) {
		return err
	}
	return &hookError{what, err}
}

// hookError is the error of a hook with the place of the hook, which comes before the fix.
type hookError struct {
	hook string
	err  error
}

func (e *hookError) Error() string { return e.hook + ": " + e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }

// watch ends the backend when background work of a plugin panics later on.
func (b *Backend) watch(g *pluginGroup, p *runningPlugin) {
	<-p.background.ctx.Done() // at a stop, and after a panic
	select {
	case err := <-p.background.failed:
		b.core.log.Error("background work panicked; the backend stops", "plugin", string(g.id()), "error", err)
		select {
		case b.run.fatal <- fmt.Errorf("plugin %s: background work: %w", g.id(), err):
		default:
		}
	default:
	}
}

// Failed returns a channel that delivers at most one error: background work of a
// plugin panicked after start. Main stops the backend then, and exits with 1.
func (b *Backend) Failed() <-chan error {
	if b.run == nil {
		return nil
	}
	return b.run.fatal
}

// Stop turns readiness off, waits for requests in flight, stops the plugins, and
// then the core services they used. It returns when ctx is done at the latest.
func (b *Backend) Stop(ctx context.Context) error {
	if b.core == nil || b.run == nil {
		return nil
	}
	var errs []error
	errs = append(errs, b.core.drain(ctx))
	var wg sync.WaitGroup
	var mu sync.Mutex
	b.run.mu.Lock()
	for id, p := range b.run.plugins {
		wg.Go(func() {
			b.core.gates[id].close()
			if err := b.stopPlugin(ctx, p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("stop plugin %s: %w", id, err))
			}
		})
	}
	b.run.mu.Unlock()
	wg.Wait()
	errs = append(errs, b.stopServices(ctx), b.core.shut(ctx))
	return errors.Join(errs...)
}

// stopPlugin runs the stop hooks of the hooks that have started, the last first, with
// the plugin's background work ended before. If ctx is over, as after a start that took too
// long, it allows the time of a stop.
func (b *Backend) stopPlugin(ctx context.Context, p *runningPlugin) error {
	if ctx.Err() != nil {
		fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.core.stopTimeout)
		defer cancel()
		ctx = fresh
	}
	err := errors.Join(p.scheduler.Stop(ctx), p.background.stop(ctx))
	var errs []error
	for i := len(p.started) - 1; i >= 0; i-- {
		errs = append(errs, b.stopHook(ctx, p.started[i]))
	}
	p.started = nil
	return errors.Join(append(errs, err)...)
}

// stopGrace is for hooks that come to their turn when the time of a stop is over already:
// most take no time.
const stopGrace = 50 * time.Millisecond

func (b *Backend) stopHook(ctx context.Context, h hook) error {
	err := h.run(ctx, h.OnStop, stopGrace)
	if errors.Is(err, errStuck) {
		return fmt.Errorf("the stop hook of what was added at %s: %w", h.at, err)
	}
	return err
}

// stopHooks stops the hooks that which selects, and returns the others.
func (b *Backend) stopHooks(ctx context.Context, list []hook, which func(hook) bool) []hook {
	var kept []hook
	for i := len(list) - 1; i >= 0; i-- {
		if !which(list[i]) {
			kept = append([]hook{list[i]}, kept...)
			continue
		}
		if err := b.stopHook(ctx, list[i]); err != nil {
			b.core.log.Error("stopping a module", "module", list[i].owner.module, "error", err)
		}
	}
	return kept
}
