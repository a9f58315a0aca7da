package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/internal/scheduler"
)

// running is a started backend.
type running struct {
	comp  *composition
	hooks *hooks

	mu      sync.Mutex
	plugins map[PluginID]*runningPlugin
	fatal   chan error // a background goroutine panicked after start
}

type runningPlugin struct {
	started    []hook // in the order in which they succeeded
	background *Background
	scheduler  *scheduler.Scheduler
}

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
	if c == nil {
		return found.err()
	}
	b.mu.Lock()
	b.core = c
	b.mu.Unlock()
	comp, err := c.plan(b.list(), found)
	if err != nil {
		c.abandon()
		return err
	}
	if b.settings.rehearse {
		_, _, _ = c.build(comp, newHooks()) // what is wrong shows below, too
		if err := c.reset(); err != nil {
			return bootError(nil, err)
		}
	}
	comp, hooks, app, err := c.assemble(ctx, comp)
	if err != nil {
		c.abandon()
		return err
	}
	b.app = app
	b.run = &running{comp: comp, hooks: hooks, plugins: map[PluginID]*runningPlugin{}, fatal: make(chan error, 1)}
	if err := c.open(ctx); err != nil {
		c.abandon()
		return bootError(nil, err)
	}
	b.mu.Lock()
	b.addr = c.server.Addr()
	b.mu.Unlock()
	if err := app.Start(ctx); err != nil {
		return b.rollBack(bootError(nil, err))
	}
	if err := b.startPlugins(ctx); err != nil {
		return b.rollBack(err)
	}
	c.ready(comp)
	return nil
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
func bootError(f *feature, err error) error {
	var be *BootError
	if errors.As(err, &be) {
		return be
	}
	var p problems
	p.add(f, err)
	return p.err()
}

// startPlugins runs migrations and start hooks, plugins in parallel.
func (b *Backend) startPlugins(ctx context.Context) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		found problems
	)
	for _, g := range b.run.comp.plugins {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, b.core.startTimeout)
			defer cancel()
			f, err := b.startPlugin(ctx, g)
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if b.core.boot.tolerates(g.plugin) {
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
func (b *Backend) startPlugin(ctx context.Context, g *pluginGroup) (*feature, error) {
	began := time.Now()
	p := &runningPlugin{background: b.core.background(g.id()), scheduler: b.core.scheduler(g.id())}
	b.run.mu.Lock()
	b.run.plugins[g.id()] = p
	b.run.mu.Unlock()
	if f, err := b.core.migrate(ctx, g); err != nil {
		return f, err
	}
	failed := map[*feature]bool{}
	for _, h := range b.run.hooks.list(g.id()) {
		if failed[h.owner] {
			continue
		}
		err := run(ctx, h.OnStart)
		if err == nil {
			p.started = append(p.started, h)
			continue
		}
		if h.owner.kind == moduleFeature && b.core.boot.tolerates(h.owner) {
			failed[h.owner] = true
			b.core.log.Error("module left out: it cannot start", "plugin", string(g.id()), "module", h.owner.module, "error", err)
			p.started = b.stopHooks(ctx, p.started, func(k hook) bool { return k.owner == h.owner })
			continue
		}
		_ = b.stopPlugin(ctx, p)
		return h.owner, startError(h, err)
	}
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

func startError(h hook, err error) error {
	var pe *panicError
	if errors.As(err, &pe) {
		return fmt.Errorf("start hook added at %s: %w", h.at, err)
	}
	return err
}

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
	errs = append(errs, b.app.Stop(ctx), b.core.shut(ctx))
	return errors.Join(errs...)
}

// stopPlugin runs the stop hooks of the hooks that have started, the last first, with
// the plugin's background work ended before.
func (b *Backend) stopPlugin(ctx context.Context, p *runningPlugin) error {
	err := errors.Join(p.scheduler.Stop(ctx), p.background.stop(ctx))
	var errs []error
	for i := len(p.started) - 1; i >= 0; i-- {
		errs = append(errs, run(ctx, p.started[i].OnStop))
	}
	p.started = nil
	return errors.Join(append(errs, err)...)
}

// stopHooks stops the hooks that which selects, and returns the others.
func (b *Backend) stopHooks(ctx context.Context, list []hook, which func(hook) bool) []hook {
	var kept []hook
	for i := len(list) - 1; i >= 0; i-- {
		if !which(list[i]) {
			kept = append([]hook{list[i]}, kept...)
			continue
		}
		if err := run(ctx, list[i].OnStop); err != nil {
			b.core.log.Error("stopping a module", "module", list[i].owner.module, "error", err)
		}
	}
	return kept
}
