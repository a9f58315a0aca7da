package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"slices"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/stitch"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/catalog/internal/telemetry"
	"github.com/callboard-dev/callboard/permission"
)

// Plugin returns the catalog plugin.
func Plugin() backend.Feature {
	return backend.NewPlugin("catalog",
		backend.Section("catalog", defaultConfig()),
		backend.ExtensionPoint[Extensions](),
		permission.Use(),
		backend.Migrations(store.Migrations()),
		fx.Provide(store.New, fx.Private),
		fx.Provide(telemetry.New, newCatalog, fx.Private),
		fx.Invoke(observe, register, serve, offer),
		backend.Subcommand("validate", "checks descriptor files, for CI", runValidate),
	)
}

type params struct {
	fx.In

	Config       Config
	Extensions   *Extensions
	Store        *store.Store
	Log          *slog.Logger
	Background   *backend.Background
	Watcher      *config.Watcher
	Integrations *scm.Integrations
	Reader       scm.Reader
	Scheduler    backend.Scheduler `optional:"true"`
	Events       backend.Events    `optional:"true"`
	Auditor      backend.Auditor
	Telemetry    *telemetry.Telemetry
}

// catalog is the running plugin, put together.
type catalog struct {
	p        params
	tasks    taskRunner
	engine   *ingest.Engine
	stitcher *stitch.Stitcher
	dir      string // working directory, what file locations are relative to
	live     *config.Live[Config]
}

// newCatalog puts the engine together from what modules added. Nothing runs yet.
func newCatalog(p params) (*catalog, error) {
	if err := p.Extensions.seal(); err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	c := &catalog{p: p, dir: dir, tasks: taskRunner{p.Scheduler, p.Events, p.Background, p.Log}}
	c.stitcher = stitch.New(stitch.Options{
		Store: p.Store, Log: p.Log, Telemetry: p.Telemetry, PutOff: ingest.PeerDelay,
		PollInterval: p.Config.StitchingStrategy.PollingInterval.Std(),
		Timeout:      p.Config.StitchingStrategy.StitchTimeout.Std(),
	})
	pipeline, err := c.pipeline()
	if err != nil {
		return nil, err
	}
	least, most := p.Config.ProcessingInterval.bounds()
	o := ingest.Options{
		Store: p.Store, Pipeline: pipeline, Stitcher: c.stitcher, Log: p.Log, Telemetry: p.Telemetry,
		IntervalMin: least, IntervalMax: most, MaxDryRun: p.Config.Limits.EntitiesPerDryRun,
		KeepOrphans: p.Config.OrphanStrategy == "keep",
		Guard:       ingest.Guard(p.Config.MassDeletionGuard),
		OnFailure:   c.onFailure(),
		OnHeld:      c.onHeld,
	}
	if p.Events != nil {
		o.Publisher = p.Events
	}
	c.engine = ingest.NewEngine(o)
	return c, nil
}

func (c *catalog) onFailure() func(context.Context, entity.Entity, []ingest.Failure) {
	tell := c.p.Extensions.onError
	if tell == nil {
		return nil
	}
	return func(ctx context.Context, e entity.Entity, failures []ingest.Failure) {
		out := make([]entity.StatusError, len(failures))
		for i, f := range failures {
			out[i] = f.StatusError()
		}
		tell(ctx, ProcessingError{Unprocessed: e, Errors: out})
	}
}

// onHeld audits that removals of a listing are held back: somebody has to decide.
func (c *catalog) onHeld(ctx context.Context, held store.HeldRemoval) {
	c.p.Auditor.CreateEvent(ctx, backend.AuditEvent{ID: "held-removal", Severity: backend.AuditHigh, Meta: map[string]any{
		"provider": held.Provider, "removed": held.Removed, "total": held.Total, "answers": held.Times,
	}}).Success(nil)
}

// pipeline has the processors in their order (contract catalog.md, 3.3).
func (c *catalog) pipeline() (*ingest.Pipeline, error) {
	x, limits := c.p.Extensions, c.p.Config.Limits
	model := entity.NewModel(entity.ModelOptions{Formats: x.formats})
	processors := []Processor{&placeholders{x.placeholders}, newBuiltinKinds(x.formats)}
	if !c.p.Config.DisableDefaultProcessors {
		processors = append(processors, &fileReader{limits.fileBytes()}, &urlReader{c.p.Reader, limits.fileBytes()}, &annotate{c.p.Integrations})
	}
	var errs []error
	var names []string
	var ordered []ingest.Processor
	for _, p := range append(processors, x.processors...) {
		name := p.ProcessorName()
		if slices.Contains(names, name) {
			errs = append(errs, backend.Fix(fmt.Sprintf("processor %q is builtin already", name), "give yours another name"))
		}
		names = append(names, name)
		option := c.p.Config.ProcessorOptions[name]
		if option.Disabled {
			continue
		}
		priority := ingest.DefaultPriority
		if own, ok := p.(Prioritized); ok {
			priority = own.Priority()
		}
		if option.Priority != nil {
			priority = *option.Priority
		}
		ordered = append(ordered, adapt(p, priority))
	}
	errs = append(errs, c.p.Config.missingProcessors(names))
	slices.SortStableFunc(ordered, func(a, b ingest.Processor) int { return a.Priority - b.Priority })
	types := x.types
	if types == nil {
		types = []string{"url"}
	}
	near := &beside{c.p.Reader, c.p.Integrations}
	return &ingest.Pipeline{
		Model: model, ModuleOf: moduleOf, Processors: ordered, Policies: x.policies, LocationTypes: types,
		Rules: c.rules, ResolveURL: c.p.Integrations.ResolveURL, ReadBeside: near.read,
		MaxChildren: limits.EntitiesPerLocation, Parse: parserOf(x.parser, limits.entityLimits()), Warn: c.p.Log.Warn, Telemetry: c.p.Telemetry,
	}, errors.Join(errs...)
}

// rules are those of the configuration as it is now.
func (c *catalog) rules() ingest.Rules {
	if c.live == nil {
		return c.p.Config.rules(c.dir)
	}
	now := c.live.Get()
	return now.rules(c.dir)
}

func parserOf(own Parser, limits entity.Limits) ingest.Parser {
	return func(at entity.Location, data []byte) iter.Seq2[entity.Document, error] {
		if own != nil {
			return own(data, at)
		}
		return entity.ParseDocuments(at.Target, data, limits)
	}
}

// register starts the catalog with the plugin.
func register(c *catalog, lc fx.Lifecycle) {
	lc.Append(fx.Hook{OnStart: c.start, OnStop: func(context.Context) error {
		if c.live != nil {
			c.live.Close()
		}
		return nil
	}})
}

func (c *catalog) start(ctx context.Context) (err error) {
	if err := c.p.Extensions.late(); err != nil {
		return err
	}
	if c.live, err = config.NewLive(c.p.Watcher, "catalog", defaultConfig()); err != nil {
		return err
	}
	if c.p.Config.StitchingStrategy.Mode != "" {
		c.p.Log.InfoContext(ctx, "catalog.stitchingStrategy.mode has no effect: there is one way of stitching; remove it")
	}
	if err := c.followSCM(ctx); err != nil {
		return err
	}
	installed, err := c.connect(ctx)
	if err != nil {
		return err
	}
	if c.p.Config.ProcessingInterval.Off {
		c.p.Log.InfoContext(ctx, "this process does not process entities: catalog.processingInterval is false")
		return nil
	}
	return c.run(ctx, installed)
}

// connect gives providers their connections, the builtin ones first.
func (c *catalog) connect(ctx context.Context) (installed []string, err error) {
	locations := c.engine.Locations()
	configured := &ingest.Provider{}
	*configured = *c.engine.Provider(ingest.ConfigLocations)
	configured.Deliberate = true
	restoreConfigured := func(ctx context.Context) error {
		return configured.Replace(ctx, c.configured())
	}
	c.engine.Restorable(ingest.ConfigLocations, restoreConfigured)
	c.engine.Restorable(ingest.RegisteredLocations, locations.Restore)
	for _, builtin := range []struct {
		name    string
		restore func(context.Context) error
	}{{ingest.ConfigLocations, restoreConfigured}, {ingest.RegisteredLocations, locations.Restore}} {
		if c.p.Config.ProviderOptions[builtin.name].Disabled {
			continue
		}
		installed = append(installed, builtin.name)
		if err := builtin.restore(ctx); err != nil {
			return nil, err
		}
	}
	installed = append(installed, ingest.RestoredEntities)
	c.live.OnChange(func(Config) {
		if err := restoreConfigured(context.WithoutCancel(ctx)); err != nil {
			c.p.Log.Error("the locations of the changed configuration could not be stored", "error", err)
		}
	})
	for _, p := range c.p.Extensions.providers {
		name := p.ProviderName()
		if c.p.Config.ProviderOptions[name].Disabled {
			c.p.Log.InfoContext(ctx, "a provider is disabled by the configuration", "provider", name)
			continue
		}
		installed = append(installed, name)
		conn := &connection{provider: c.engine.Provider(name), tasks: c.tasks, log: c.p.Log.With("provider", name)}
		if err := p.Connect(ctx, conn); err != nil {
			return nil, fmt.Errorf("connect provider %s: %w", name, err)
		}
	}
	return installed, nil
}

// configured lists the locations of the configuration as it is now.
func (c *catalog) configured() iter.Seq2[ingest.Deferred, error] {
	return func(yield func(ingest.Deferred, error) bool) {
		for _, l := range c.live.Get().Locations {
			if !yield(ingest.LocationDeferred(l.location(c.dir), ""), nil) {
				return
			}
		}
	}
}

// Tombstones of deleted entities are kept for readers that follow changes.
const keepDeletions = time.Hour

// run starts the loops and the recurring tasks.
func (c *catalog) run(ctx context.Context, installed []string) error {
	if c.p.Config.OrphanProviderStrategy == "delete" {
		if err := c.engine.Evict(ctx, installed); err != nil {
			return err
		}
	}
	c.p.Background.Go(c.engine.Run)
	c.p.Background.Go(c.stitcher.Run)
	// One task, and not three: clients know its name, and list what there is.
	var rounds int
	return c.tasks.schedule("catalog_orphan_cleanup", every(30*time.Second, 24*time.Second), func(ctx context.Context) error {
		_, err := c.engine.DeleteOrphans(ctx)
		if rounds++; rounds%2 == 0 {
			now := time.Now()
			err = errors.Join(err, c.engine.LetGoOfRestored(ctx), c.engine.Reconcile(ctx),
				c.p.Store.PruneDeletions(ctx, now.Add(-keepDeletions)), c.p.Store.PruneTrash(ctx, now.Add(-ingest.TrashKept)))
		}
		return err
	})
}
