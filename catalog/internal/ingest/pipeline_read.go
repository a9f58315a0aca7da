package ingest

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// reading is what one target yields.
type reading struct {
	via        int64
	version    string
	unchanged  bool
	failed     bool
	keys       []string
	firstChild int
}

// readTargets is stage 5. Each target stands alone: one that cannot be read is an
// error of the Location, and leaves what was read through it earlier.
func (r *run) readTargets(ctx context.Context, e entity.Entity) {
	typ := e.SpecString("type")
	if typ == "" {
		typ = r.loc.Type
	}
	var targets []string
	if t := e.SpecString("target"); t != "" {
		targets = append(targets, t)
	}
	targets = append(targets, e.SpecStrings("targets")...)
	optional := e.SpecString("presence") == "optional"
	locs, errs := make([]entity.Location, len(targets)), make([]error, len(targets))
	twice := map[string]bool{}
	var ahead []*readAhead
	for i, t := range targets {
		if locs[i], errs[i] = r.resolve(typ, t); errs[i] == nil && !twice[locs[i].String()] {
			twice[locs[i].String()] = true
			ahead = append(ahead, &readAhead{target: i, loc: locs[i], optional: optional, known: r.knownAt(locs[i])})
		}
	}
	r.readAll(ctx, ahead)
	read := make(map[string]*target)
	for i := range targets {
		before := len(r.out.failures)
		switch {
		case errs[i] != nil:
			// Where it would have pointed is not known, so nothing of this Location goes.
			r.out.unreadable[anyTarget] = true
			r.fail(CodeTarget, errs[i])
		case len(ahead) > 0 && ahead[0].target == i:
			read[locs[i].String()] = r.takeIn(ahead[0])
			ahead = ahead[1:]
		}
		r.about(before, e, i)
	}
	for name, t := range read {
		if t == nil {
			delete(read, name)
		}
	}
	r.out.cache.Targets = read
}

// about notes that the failures from the given one on are about a target of e.
func (r *run) about(from int, e entity.Entity, index int) {
	path := "/spec/target"
	if e.SpecString("target") == "" {
		path = "/spec/targets/" + strconv.Itoa(index)
	} else if index > 0 {
		path = "/spec/targets/" + strconv.Itoa(index-1)
	}
	for i := from; i < len(r.out.failures); i++ {
		r.out.failures[i].path = path
	}
}

// anyTarget in outcome.unreadable stands for all of them.
const anyTarget = 0

// resolve makes the location of a target. The type is checked here, on the way of
// every read: files are only read on behalf of files (SEC-51).
func (r *run) resolve(typ, targetText string) (entity.Location, error) {
	loc := entity.Location{Type: typ, Target: targetText}
	if typ != r.loc.Type {
		if typ == "file" {
			return loc, apierr.Input.New("location %s is of type file, which a location of type %s cannot contain", loc, r.loc.Type)
		}
		if !slices.Contains(r.LocationTypes, typ) {
			return loc, apierr.Input.New("location %s has a type that is not allowed here; allowed: %s", loc, strings.Join(append([]string{r.loc.Type}, r.LocationTypes...), ", "))
		}
	}
	switch {
	case typ == "file":
		if strings.HasSuffix(targetText, "/") || strings.HasSuffix(targetText, string(filepath.Separator)) {
			return loc, apierr.Input.New("location %s ends in a path separator; a file is expected", loc)
		}
		if strings.HasPrefix(targetText, ".") {
			loc.Target = filepath.Join(filepath.Dir(r.loc.Target), targetText)
		}
	case typ == "url" && r.loc.Type == "url":
		if u, err := url.Parse(targetText); err == nil && u.IsAbs() {
			break
		}
		resolved, err := r.ResolveURL(r.loc.Target, targetText)
		if err != nil {
			return loc, err
		}
		loc.Target = resolved
	}
	if _, err := entity.ParseLocation(loc.String()); err != nil {
		return loc, apierr.Input.Wrap(err, "location cannot be read")
	}
	return loc, nil
}

// aheadOf is how many targets of one Location are read at the same time, or wait to be
// taken in: their order is that of the Location, and their memory is bounded.
const aheadOf = 4

// A readAhead is a target that is read before its turn comes.
type readAhead struct {
	target   int // which one of the Location's
	loc      entity.Location
	optional bool
	known    *target // what was read there in an earlier run; nil: nothing of use

	read  func(emit func(Emission)) error
	done  chan struct{}
	next  func() // lets another one begin
	found []Emission
	err   error
	panic any
}

// knownAt is what an earlier run read at loc for the same origin.
func (r *run) knownAt(loc entity.Location) *target {
	known := r.out.cache.Targets[loc.String()]
	if known != nil && known.Origin != r.origin.String() {
		return nil
	}
	return known
}

// readAll begins to read. A target that is alone is read when its turn comes, so that
// nothing of it has to be kept.
func (r *run) readAll(ctx context.Context, all []*readAhead) {
	for _, a := range all {
		a.read = func(emit func(Emission)) error { return r.readWith(ctx, a, emit) }
	}
	if len(all) < 2 {
		return
	}
	var begin func()
	begin = func() {
		if len(all) == 0 {
			return
		}
		a := all[0]
		all = all[1:]
		a.done, a.next = make(chan struct{}), begin
		go func() {
			defer close(a.done)
			defer func() { a.panic = recover() }()
			a.err = a.read(func(e Emission) {
				if e.kind == foundEntity {
					e = r.make(e)
				}
				a.found = append(a.found, e)
			})
		}()
	}
	for range min(aheadOf, len(all)) {
		begin()
	}
}

// takeIn makes what is at a target part of the outcome; nil if it was not read whole.
func (r *run) takeIn(a *readAhead) *target {
	r.reading = &reading{via: viaOf(a.loc), firstChild: len(r.out.children)}
	defer func() { r.reading = nil }()
	if a.done == nil {
		a.err = a.read(r.emit)
	} else {
		<-a.done
		a.next()
		if a.panic != nil {
			panic(a.panic)
		}
		for _, e := range a.found {
			r.emit(e)
		}
		a.found = nil
	}
	if a.err != nil {
		r.emit(Failed(a.loc, a.err))
	}
	at := r.reading
	if at.failed {
		r.out.unreadable[at.via] = true
		return nil
	}
	if at.unchanged {
		if a.known == nil {
			r.emit(Failed(a.loc, errors.New("the reader says that nothing changed since a version it was not given")))
			r.out.unreadable[at.via] = true
			return nil
		}
		for _, c := range a.known.Children {
			c.via = at.via
			r.addChild(c)
		}
		for _, key := range a.known.Keys {
			r.addKey(key)
		}
		return a.known
	}
	if len(r.out.children) == at.firstChild {
		r.empty++
	}
	if at.version == "" {
		return nil
	}
	return &target{Version: at.version, Origin: r.origin.String(), Children: slices.Clone(r.out.children[at.firstChild:]), Keys: at.keys}
}

// readWith asks the readers for a target, until one is responsible.
func (r *run) readWith(ctx context.Context, a *readAhead, emit func(Emission)) error {
	for _, p := range r.Processors {
		if p.Read == nil {
			continue
		}
		run := r.runFor(p, emit)
		run.Optional = a.optional
		if a.known != nil {
			run.Version = a.known.Version
		}
		step, span := r.Telemetry.Step(ctx, stageRead, p.Name)
		handled, err := p.Read(run.in(step), a.loc, emit)
		span.End()
		if err != nil {
			return r.by(p, err)
		}
		if handled {
			return nil
		}
	}
	return apierr.Input.New("nothing in this catalog reads locations of type %s; add the module that does, or correct %s", a.loc.Type, a.loc)
}
