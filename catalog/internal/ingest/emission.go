package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"iter"
	"sync"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Processor is one participant in the pipeline; functions it does not have are nil.
type Processor struct {
	Name     string
	Priority int // lower goes first
	Read     func(ctx context.Context, loc entity.Location, emit func(Emission)) (handled bool, err error)
	Pre      func(ctx context.Context, e entity.Entity, loc entity.Location) (entity.Entity, error)
	Known    func(ctx context.Context, e entity.Entity) (known bool, err error)
	Post     func(ctx context.Context, e entity.Entity, loc entity.Location, emit func(Emission)) (entity.Entity, error)
}

// DefaultPriority is that of processors that name none.
const DefaultPriority = 20

type emissionKind int

const (
	foundEntity emissionKind = iota + 1
	foundLocation
	foundRelation
	foundKey
	foundFailure
	foundVersion
	foundUnchanged
)

// An Emission is what a processor found; one of the functions below makes it.
type Emission struct {
	kind     emissionKind
	entity   entity.Entity
	doc      *entity.Document
	at       entity.Location
	key      *string // location key; nil: the location
	relation entity.Relation
	text     string // refresh key or version
	err      error
	made     *child // of entity, when it was made ahead; err is why it could not be
}

// Found is an entity read at a location.
func Found(e entity.Entity, at entity.Location) Emission {
	return Emission{kind: foundEntity, entity: e, at: at}
}

// FoundDocument is Found for an entity that knows its place in a file.
func FoundDocument(d entity.Document, at entity.Location) Emission {
	return Emission{kind: foundEntity, entity: d.Entity, doc: &d, at: at}
}

// FoundLocation is a location to be read next, as a Location entity of its own.
func FoundLocation(at entity.Location) Emission { return Emission{kind: foundLocation, at: at} }

// Relate is one direction of a relation.
func Relate(r entity.Relation) Emission { return Emission{kind: foundRelation, relation: r} }

// RefreshOn is a key by which the entity can be refreshed.
func RefreshOn(key string) Emission { return Emission{kind: foundKey, text: key} }

// Failed is an error about a location, that does not end the run.
func Failed(at entity.Location, err error) Emission {
	return Emission{kind: foundFailure, at: at, err: err}
}

// Version names the state of the location that is being read.
func Version(v string) Emission { return Emission{kind: foundVersion, text: v} }

// Unchanged says that the location still has the version that Run.Version returned.
func Unchanged() Emission { return Emission{kind: foundUnchanged} }

// WithLocationKey sets the key an entity is held by; empty: none.
func (e Emission) WithLocationKey(key string) Emission {
	e.key = &key
	return e
}

// A Parser reads the entities of a file.
type Parser func(at entity.Location, data []byte) iter.Seq2[entity.Document, error]

// A Run is what a processor may know and do besides its arguments. It is in the
// context of every call, and valid until the call returns.
type Run struct {
	Origin   entity.Location // the root of the chain of locations
	Optional bool            // reading: that there is nothing is no error
	Version  string          // reading: of the last complete read; empty: read in full

	processor string
	parse     Parser
	beside    func(ctx context.Context, ref string) ([]byte, entity.Location, error)
	emit      func(Emission)
	cache     *cache
}

type runKey struct{}

// RunOf returns the run that ctx belongs to; outside of processing an empty one.
func RunOf(ctx context.Context) *Run {
	if r, ok := ctx.Value(runKey{}).(*Run); ok {
		return r
	}
	return &Run{}
}

func (r *Run) in(ctx context.Context) context.Context { return context.WithValue(ctx, runKey{}, r) }

// Emit hands on what was found, also where a processor has no emit argument.
func (r *Run) Emit(e Emission) {
	if r.emit != nil {
		r.emit(e)
	}
}

// Parse emits the entities of a file, and an error for each document that is wrong.
func (r *Run) Parse(at entity.Location, data []byte) {
	if r.parse == nil {
		return
	}
	for doc, err := range r.parse(at, data) {
		if err != nil {
			r.Emit(Failed(at, err))
			continue
		}
		r.Emit(FoundDocument(doc, at))
	}
}

// ReadBeside reads what the entity refers to, relative to where it comes from, and
// makes it a refresh key.
func (r *Run) ReadBeside(ctx context.Context, ref string) (content []byte, from string, err error) {
	if r.beside == nil {
		return nil, "", errors.New("nothing can be read outside of the processing of an entity")
	}
	content, loc, err := r.beside(ctx, ref)
	if loc.Target != "" {
		r.Emit(RefreshOn(loc.String()))
	}
	return content, loc.Target, err
}

// Cached decodes what the processor kept under key in an earlier run of the entity.
func (r *Run) Cached(key string, out any) bool {
	if r.cache == nil {
		return false
	}
	r.cache.mu.Lock()
	raw, ok := r.cache.Processors[r.processor][key]
	r.cache.mu.Unlock()
	return ok && json.Unmarshal(raw, out) == nil
}

// Keep stores v under key for the next runs of the entity; nil forgets it.
func (r *Run) Keep(key string, v any) error {
	if r.cache == nil {
		return nil
	}
	if v == nil {
		r.cache.mu.Lock()
		defer r.cache.mu.Unlock()
		delete(r.cache.Processors[r.processor], key)
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	if r.cache.Processors == nil {
		r.cache.Processors = map[string]map[string]json.RawMessage{}
	}
	if r.cache.Processors[r.processor] == nil {
		r.cache.Processors[r.processor] = map[string]json.RawMessage{}
	}
	r.cache.Processors[r.processor][key] = raw
	return nil
}

// cache is what is kept with an entity between runs.
type cache struct {
	mu         sync.Mutex                            // of Processors, while targets are read at the same time
	Processors map[string]map[string]json.RawMessage `json:"p,omitempty"`
	Targets    map[string]*target                    `json:"t,omitempty"` // by location
}

// target is what one location held when it was last read completely. The children's
// documents are in their own rows; here are their hashes.
type target struct {
	Version  string  `json:"v"`
	Origin   string  `json:"o"` // the children were annotated with it
	Children []child `json:"c,omitempty"`
	Keys     []string
}

// child is an entity that a run emitted.
type child struct {
	Ref      string `json:"r"`
	Hash     []byte `json:"h"`
	Key      string `json:"k,omitempty"`
	Kind     string `json:"K"`
	SpecType string `json:"T,omitempty"`
	// Places are kept although the document is not: rules can find fault with a child that
	// nobody has read again.
	Places   json.RawMessage `json:"P,omitempty"`
	via      int64
	at       entity.Location
	document document
	doc      *entity.Document // while somebody inspects
}

// decode reads the document of a child that has one.
func (c child) decode() (entity.Entity, error) {
	doc, err := c.document.read()
	if err != nil {
		return nil, err
	}
	return entity.Decode(doc)
}

// place puts the place of a value of the child in front of err.
func (c child) place(pointer string, err error) error {
	if c.doc != nil {
		return &entity.DocumentError{Name: c.doc.Name, Index: c.doc.Index, Position: c.doc.Positions.At(pointer), Err: err}
	}
	return locateAt(pointer, err, c.Places)
}

func decodeCache(data []byte) *cache {
	c := new(cache)
	if len(data) > 0 && json.Unmarshal(data, c) != nil {
		return new(cache) // one of an older form: everything is read anew
	}
	return c
}

func (c *cache) encode() ([]byte, error) {
	for name, entries := range c.Processors {
		if len(entries) == 0 {
			delete(c.Processors, name)
		}
	}
	if len(c.Processors) == 0 && len(c.Targets) == 0 {
		return nil, nil
	}
	targets := sortedKeys(c.Targets)
	size := 64
	for _, name := range targets {
		size += c.Targets[name].size() + len(name)
	}
	// One by one into memory of about the right size: a Location may have led to tens of
	// thousands of entities.
	out := bytes.NewBuffer(make([]byte, 0, size))
	out.WriteByte('{')
	enc := json.NewEncoder(out)
	member := func(name string, v any) error {
		if out.Bytes()[out.Len()-1] != '{' {
			out.WriteByte(',')
		}
		if err := enc.Encode(name); err != nil {
			return err
		}
		out.WriteByte(':')
		return enc.Encode(v)
	}
	if len(c.Processors) > 0 {
		if err := member("p", c.Processors); err != nil {
			return nil, err
		}
	}
	if len(targets) > 0 {
		if err := member("t", json.RawMessage("{}")); err != nil {
			return nil, err
		}
		out.Truncate(out.Len() - len("}\n"))
		for _, name := range targets {
			if err := member(name, c.Targets[name]); err != nil {
				return nil, err
			}
		}
		out.WriteByte('}')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// size is about how long the JSON of a target is.
func (t *target) size() int {
	n := len(t.Version) + len(t.Origin) + 64
	for _, key := range t.Keys {
		n += len(key) + 3
	}
	for i := range t.Children {
		c := &t.Children[i]
		n += len(c.Ref) + 2*len(c.Hash) + len(c.Key) + len(c.Kind) + len(c.SpecType) + len(c.Places) + 50
	}
	return n
}

// viaOf is the number of a location in the edges of what was read through it.
func viaOf(loc entity.Location) int64 {
	h := fnv.New64a()
	h.Write([]byte(loc.String()))
	if via := int64(h.Sum64()); via != 0 {
		return via
	}
	return 1
}
