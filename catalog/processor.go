package catalog

import (
	"context"

	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// A Processor takes part in the processing of every entity. It implements one or
// more of LocationReader, PreProcessor, KindValidator, and PostProcessor, and may
// implement Prioritized.
//
// Entities are processed concurrently, and again and again: methods are called from
// many goroutines, and give the same answer for the same input. The entity they are
// given is theirs to change; it is what they return that counts. An error fails the
// run, and leaves what is served from an earlier one. More about the run, and a
// cache that lasts until the next one, is in RunOf(ctx).
type Processor interface {
	// ProcessorName is unique among processors; catalog.processorOptions.<name>
	// configures it.
	ProcessorName() string
}

type (
	// A LocationReader reads what a Location entity points to. The first reader that
	// returns true has handled the location. Each target of a Location is read on its
	// own, up to four at the same time: an error is shown on the Location, what was found
	// there in earlier runs stays, and the other targets are read all the same. emit is
	// called from one goroutine at a time, until ReadLocation returns.
	LocationReader interface {
		ReadLocation(ctx context.Context, loc entity.Location, emit Emit) (handled bool, err error)
	}
	// A PreProcessor changes entities before they are checked. loc is where the entity
	// was read from.
	PreProcessor interface {
		PreProcess(ctx context.Context, e entity.Entity, loc entity.Location) (entity.Entity, error)
	}
	// A KindValidator checks entities of the kinds that it knows. All validators are
	// asked; an entity that nobody knows fails.
	KindValidator interface {
		ValidateKind(ctx context.Context, e entity.Entity) (known bool, err error)
	}
	// A PostProcessor sees entities that passed all checks. It may change them, except
	// for what makes their reference, and emits what it finds in them.
	PostProcessor interface {
		PostProcess(ctx context.Context, e entity.Entity, loc entity.Location, emit Emit) (entity.Entity, error)
	}
	// Prioritized says where among processors one belongs: lower goes first, 20 is
	// usual, and equal ones keep the order in which they were added. The setting
	// catalog.processorOptions.<name>.priority overrides it.
	Prioritized interface{ Priority() int }
)

// Emit hands on what a processor found; see Found, Relate, and RefreshOn. It is valid
// until the method that it was given to returns, and called from one goroutine.
type Emit func(Emission)

// An Emission is made by Found, Relate, RefreshOn and their neighbours below.
type Emission struct{ inner ingest.Emission }

// Found is an entity that was found at loc: it becomes part of the catalog, and stays
// for as long as it is found. Its location annotations are set. It is held by the
// location key loc, unless WithLocationKey says another.
func Found(e entity.Entity, loc entity.Location) Emission {
	return Emission{ingest.Found(e, loc)}
}

// FoundDocument is Found for a document of a file, whose errors will have line
// numbers.
func FoundDocument(d entity.Document, loc entity.Location) Emission {
	return Emission{ingest.FoundDocument(d, loc)}
}

// FoundLocation is a location to be read in turn, as a Location entity of its own.
func FoundLocation(loc entity.Location) Emission { return Emission{ingest.FoundLocation(loc)} }

// WithLocationKey sets the key by which a found entity is held; empty: none.
func (e Emission) WithLocationKey(key string) Emission {
	return Emission{e.inner.WithLocationKey(key)}
}

// Relate says that source relates to target. Whoever wants both directions emits both.
func Relate(source entity.Ref, typ string, target entity.Ref) Emission {
	return Emission{ingest.Relate(entity.Relation{Source: source.String(), Type: typ, Target: target.String()})}
}

func related(r entity.Relation) Emission { return Emission{ingest.Relate(r)} }

// RefreshOn is a key by which the entity can be refreshed, see Connection.Refresh.
func RefreshOn(key string) Emission { return Emission{ingest.RefreshOn(key)} }

// Failed is an error about a part of what a location has, such as one document of a
// file: the other parts are taken all the same. A PostProcessor that emits it fails
// the run.
func Failed(loc entity.Location, err error) Emission { return Emission{ingest.Failed(loc, err)} }

// AtVersion tells the version of the location that is being read, such as an ETag. If
// all of it could be read, the next run has it as Run.Version.
func AtVersion(version string) Emission { return Emission{ingest.Version(version)} }

// Unchanged tells that the location still has the version Run.Version: what was found
// there then is found again, without being read.
func Unchanged() Emission { return Emission{ingest.Unchanged()} }

// A Run is one run of an entity through the processors, as far as it concerns one of
// them.
type Run struct{ inner *ingest.Run }

// RunOf returns the run that a processor was called for, from the context it got.
func RunOf(ctx context.Context) Run { return Run{ingest.RunOf(ctx)} }

// Origin is the root of the chain of locations that led to the entity.
func (r Run) Origin() entity.Location { return r.inner.Origin }

// Optional says, in ReadLocation, that a location where nothing is is no error.
func (r Run) Optional() bool { return r.inner.Optional }

// Version is, in ReadLocation, what the last complete read told by AtVersion, empty if
// the location has to be read in full.
func (r Run) Version() string { return r.inner.Version }

// Emit hands on what was found, also from methods without an Emit argument.
func (r Run) Emit(e Emission) { r.inner.Emit(e.inner) }

// Parse reads the entities of a file and emits them, with an error for each document
// that is wrong.
func (r Run) Parse(loc entity.Location, data []byte) { r.inner.Parse(loc, data) }

// Cached decodes what Keep stored under key in an earlier run of the same entity.
func (r Run) Cached(key string, out any) bool { return r.inner.Cached(key, out) }

// Keep stores v, as JSON, for the next runs of the entity; nil forgets it. It is a
// cache: any run may find nothing.
func (r Run) Keep(key string, v any) error { return r.inner.Keep(key, v) }

// adapt is the one place where a processor's abilities are found.
func adapt(p Processor, priority int) ingest.Processor {
	out := ingest.Processor{Name: p.ProcessorName(), Priority: priority}
	if r, ok := p.(LocationReader); ok {
		out.Read = func(ctx context.Context, loc entity.Location, emit func(ingest.Emission)) (bool, error) {
			return r.ReadLocation(ctx, loc, func(e Emission) { emit(e.inner) })
		}
	}
	if r, ok := p.(PreProcessor); ok {
		out.Pre = r.PreProcess
	}
	if r, ok := p.(KindValidator); ok {
		out.Known = r.ValidateKind
	}
	if r, ok := p.(PostProcessor); ok {
		out.Post = func(ctx context.Context, e entity.Entity, loc entity.Location, emit func(ingest.Emission)) (entity.Entity, error) {
			return r.PostProcess(ctx, e, loc, func(e Emission) { emit(e.inner) })
		}
	}
	return out
}

// able says whether p can do anything.
func able(p Processor) bool {
	a := adapt(p, 0)
	return a.Read != nil || a.Pre != nil || a.Known != nil || a.Post != nil
}
