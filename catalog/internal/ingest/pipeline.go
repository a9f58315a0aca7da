package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/telemetry"
)

// A Pipeline processes one entity at a time. It touches no table and keeps no state,
// so any number of goroutines may use it.
type Pipeline struct {
	Model *entity.Model
	// ModuleOf names the module that brings a kind of the model; nil: none is needed.
	ModuleOf   func(kind string) string
	Processors []Processor // in the order in which they take part
	Policies   []func(ctx context.Context, e entity.Entity) (entity.Entity, error)
	Rules      func() Rules // they can change while the program runs; nil: all is allowed
	Parse      Parser
	// LocationTypes are the types that a Location may name besides its own.
	LocationTypes []string
	// ResolveURL resolves a relative target of a url location.
	ResolveURL func(base, ref string) (string, error)
	// ReadBeside reads what an entity from base refers to; origin is the root of the
	// chain that base belongs to.
	ReadBeside func(ctx context.Context, base, origin entity.Location, ref string) ([]byte, entity.Location, error)
	// MaxChildren is how many entities one may lead to; 0: 100,000.
	MaxChildren int
	// Telemetry traces stages and steps; nil: it does not.
	Telemetry *telemetry.Telemetry
	// Warn is told of what is dropped without being an error.
	Warn func(message string, args ...any)
}

// An outcome is the result of one run.
type outcome struct {
	ref         string
	fatal       bool // the run failed: nothing but the failures is to be stored
	entity      entity.Entity
	failures    []Failure
	children    []child
	unreadable  map[int64]bool // what was read through these targets earlier stays
	keptRefs    map[string]bool
	relations   []entity.Relation
	refreshKeys []string
	cache       *cache
	parking     parking // of the documents of children; to be closed
}

// A run is the state of one pass through the pipeline.
type run struct {
	*Pipeline
	out     outcome
	loc     entity.Location
	origin  entity.Location
	self    string
	places  []byte
	reading *reading // while a target is read
	seen    map[string]int
	empty   int  // targets that could be read and held nothing
	over    bool // more children than there may be
	unruly  bool // no rules apply
	inspect bool // children keep their documents
}

// Process runs e, which a source emitted, through all stages. places is where it
// stands in its file. The caller closes the parking of the outcome.
func (p *Pipeline) Process(ctx context.Context, e entity.Entity, places []byte, kept *cache) outcome {
	r := &run{Pipeline: p, self: e.Ref().String(), places: places, seen: map[string]int{}}
	r.out = outcome{ref: r.self, cache: kept, unreadable: map[int64]bool{}, keptRefs: map[string]bool{}}
	complete := false
	defer func() {
		if !complete { // a processor panicked
			r.out.parking.close()
		}
	}()
	if err := r.stages(ctx, e); err != nil {
		r.out.fatal = true
		r.out.failures = append(r.out.failures, failuresOf(CodeEntity, locate(err, places))...)
	}
	complete = true
	return r.out
}

// The stages that processors take part in, as spans name them.
const (
	stagePre  = "preProcess"
	stageKind = "validate"
	stageRead = "readLocation"
	stagePost = "postProcess"
)

func (r *run) stages(ctx context.Context, e entity.Entity) (err error) {
	if err := r.enter(e); err != nil {
		return err
	}
	in := func(stage string, do func(ctx context.Context) error) error {
		ctx, span := r.Telemetry.Stage(ctx, stage)
		defer span.End()
		return do(ctx)
	}
	if err := in(stagePre, func(ctx context.Context) error { e, err = r.prepare(ctx, e.Clone()); return err }); err != nil {
		return err
	}
	if err := in(stageKind, func(ctx context.Context) error { return r.check(ctx, e) }); err != nil {
		return err
	}
	if e.Kind() == "Location" {
		_ = in(stageRead, func(ctx context.Context) error { r.readTargets(ctx, e); return nil })
	}
	if err := in(stagePost, func(ctx context.Context) error { e, err = r.finish(ctx, e); return err }); err != nil {
		return err
	}
	r.Model.SortReferences(e)
	r.out.entity = e
	r.applyRules(ctx)
	// A Location that led to nothing but errors failed as a whole, and is not served
	// unless it led to something before.
	if e.Kind() == "Location" && len(r.out.failures) > 0 && len(r.out.children) == 0 && r.empty == 0 {
		r.out.fatal = true
	}
	return nil
}

// enter is stage 1: what cannot even be named is not processed.
func (r *run) enter(e entity.Entity) (err error) {
	if err := r.Model.CheckIdentity(e); err != nil {
		return flawed(ruleCause, err)
	}
	if r.loc, err = entity.LocationOf(e); err != nil {
		return apierr.Input.Wrap(err, "%s cannot be processed", r.self)
	}
	if r.origin, err = entity.OriginOf(e); err != nil {
		return apierr.Input.Wrap(err, "%s cannot be processed", r.self)
	}
	return nil
}

// prepare is stages 2 and 3: processors, then the policies of all entities.
func (r *run) prepare(ctx context.Context, e entity.Entity) (_ entity.Entity, err error) {
	for _, p := range r.Processors {
		if p.Pre == nil {
			continue
		}
		step, end := r.with(ctx, p, stagePre)
		e, err = p.Pre(step, e, r.loc)
		if end(); err != nil {
			return nil, r.by(p, err)
		}
		if e == nil {
			return nil, r.by(p, errors.New("returned no entity"))
		}
	}
	if err := r.Model.CheckEnvelope(e); err != nil {
		return nil, flawed(ruleCause, err)
	}
	e = entity.WithDefaultNamespace(e)
	if err := errors.Join(r.Model.CheckRootFields(e), r.Model.CheckFormats(e)); err != nil {
		return nil, flawed(ruleCause, unjoin(err))
	}
	for _, policy := range r.Policies {
		if e, err = policy(ctx, e); err != nil {
			return nil, err
		}
		if e == nil {
			return nil, apierr.Input.New("a policy rejects %s", r.self)
		}
	}
	return e, nil
}

// unjoin makes one list of joined lists, which is what places are looked up in.
func unjoin(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var all entity.ValidationErrors
	for _, one := range joined.Unwrap() {
		list, ok := one.(entity.ValidationErrors)
		if !ok {
			return err
		}
		all = append(all, list...)
	}
	return all
}

// check is stage 4.
func (r *run) check(ctx context.Context, e entity.Entity) error {
	if ref := e.Ref().String(); ref != r.self {
		return apierr.Conflict.New("processing changed the reference of %s to %s", r.self, ref)
	}
	if err := r.Model.CheckEnvelope(e); err != nil {
		return flawed(ruleCause, err)
	}
	known := false
	for _, p := range r.Processors {
		if p.Known == nil {
			continue
		}
		step, end := r.with(ctx, p, stageKind)
		ok, err := p.Known(step, e)
		if end(); err != nil {
			return flawed(typeCause, r.by(p, err))
		}
		known = known || ok
	}
	if !known {
		return r.unknown(e)
	}
	return entity.CheckKeys(e)
}

// unknown is the error for an entity whose kind no processor knows.
func (r *run) unknown(e entity.Entity) error {
	inModel, _ := r.Model.CheckKind(e)
	if !inModel || r.ModuleOf == nil || r.ModuleOf(e.Kind()) == "" {
		return r.Model.UnknownKind(e)
	}
	return entity.ValidationErrors{{Path: "/kind", Expected: "a kind that this catalog has a processor for", Found: strconv.Quote(e.Kind()),
		Hint: "add " + r.ModuleOf(e.Kind()) + ".Module() to the backend"}}
}

// finish is stage 6.
func (r *run) finish(ctx context.Context, e entity.Entity) (_ entity.Entity, err error) {
	for _, p := range r.Processors {
		if p.Post == nil {
			continue
		}
		step, end := r.with(ctx, p, stagePost)
		e, err = p.Post(step, e, r.loc, r.emit)
		if end(); err != nil {
			return nil, r.by(p, err)
		}
		if e == nil {
			return nil, r.by(p, errors.New("returned no entity"))
		}
	}
	if ref := e.Ref().String(); ref != r.self {
		return nil, apierr.Conflict.New("processing changed the reference of %s to %s", r.self, ref)
	}
	return e, nil
}

// by names the processor in errors that say nothing about themselves.
func (r *run) by(p Processor, err error) error {
	if _, ok := apierr.KindOf(err); ok {
		return err
	}
	var invalid entity.ValidationErrors
	if errors.As(err, &invalid) {
		return err
	}
	if _, ok := errors.AsType[*entity.PlaceholderError](err); ok {
		return err
	}
	return fmt.Errorf("processor %s: %w", p.Name, err)
}

// with is the context of one step of a processor, to be ended.
func (r *run) with(ctx context.Context, p Processor, stage string) (step context.Context, end func()) {
	step, span := r.Telemetry.Step(ctx, stage, p.Name)
	return r.runFor(p, r.emit).in(step), func() { span.End() }
}

func (r *run) runFor(p Processor, emit func(Emission)) *Run {
	run := &Run{Origin: r.origin, processor: p.Name, parse: r.Parse, emit: emit, cache: r.out.cache}
	if r.ReadBeside != nil {
		run.beside = func(ctx context.Context, ref string) ([]byte, entity.Location, error) {
			return r.ReadBeside(ctx, r.loc, r.origin, ref)
		}
	}
	return run
}

// emit takes what a processor found.
func (r *run) emit(e Emission) {
	switch e.kind {
	case foundEntity:
		r.addEntity(e)
	case foundLocation:
		r.addEntity(Emission{kind: foundEntity, at: r.loc, entity: entity.NewLocationEntity(e.at, r.loc, r.origin, "")})
	case foundRelation:
		r.out.relations = append(r.out.relations, e.relation)
	case foundKey:
		r.addKey(e.text)
	case foundFailure:
		if r.reading != nil {
			r.reading.failed = true
			code := CodeTarget
			if _, ok := errors.AsType[*entity.DocumentError](e.err); ok {
				code = CodeDocument
			}
			r.fail(code, e.err)
			return
		}
		// Outside of reading, there are no siblings to protect.
		r.out.fatal = true
		r.fail(CodeEntity, e.err)
	case foundVersion:
		if r.reading != nil {
			r.reading.version = e.text
		}
	case foundUnchanged:
		if r.reading != nil {
			r.reading.unchanged = true
		}
	}
}

func (r *run) fail(code Code, err error) {
	r.out.failures = append(r.out.failures, failuresOf(code, err)...)
}

// applyRules is stage 7. What is not allowed is an error of this entity and is not
// emitted; its siblings are.
func (r *run) applyRules(ctx context.Context) {
	if r.unruly || r.Rules == nil {
		return
	}
	rules := r.Rules()
	r.out.children = slices.DeleteFunc(r.out.children, func(c child) bool {
		if rules.Allows(c.Kind, c.SpecType, r.origin) {
			return false
		}
		r.out.keptRefs[c.Ref] = true
		advice := "see catalog.rules"
		if meant := r.Model.SuggestKind(c.Kind); meant != "" {
			advice = "did you mean " + meant + "?"
		}
		r.fail(CodeRule, c.place("/kind", apierr.NotAllowed.New("%s is not of an allowed kind for location %s; %s", c.Ref, r.origin, advice)))
		return true
	})
}

func (r *run) warn(message string, args ...any) {
	if r.Warn != nil {
		r.Warn(message, args...)
	}
}
