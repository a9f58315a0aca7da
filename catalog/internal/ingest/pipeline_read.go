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
	read := make(map[string]*target)
	for i, t := range targets {
		loc, err := r.resolve(typ, t)
		if err != nil {
			// Where it would have pointed is not known, so nothing of this Location goes.
			r.out.unreadable[anyTarget] = true
			r.fail(CodeTarget, err)
			r.about(len(r.out.failures)-1, e, i)
			continue
		}
		if _, twice := read[loc.String()]; twice {
			continue
		}
		before := len(r.out.failures)
		read[loc.String()] = r.readTarget(ctx, loc, e.SpecString("presence") == "optional")
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

func (r *run) readTarget(ctx context.Context, loc entity.Location, optional bool) *target {
	name := loc.String()
	known := r.out.cache.Targets[name]
	if known != nil && known.Origin != r.origin.String() {
		known = nil
	}
	r.reading = &reading{via: viaOf(loc), firstChild: len(r.out.children)}
	defer func() { r.reading = nil }()
	err := r.readWith(ctx, loc, optional, known)
	at := r.reading
	if err != nil {
		r.emit(Failed(loc, err))
	}
	if at.failed {
		r.out.unreadable[at.via] = true
		return nil
	}
	if at.unchanged {
		if known == nil {
			r.emit(Failed(loc, errors.New("the reader says that nothing changed since a version it was not given")))
			r.out.unreadable[at.via] = true
			return nil
		}
		for _, c := range known.Children {
			c.via = at.via
			r.addChild(c)
		}
		for _, key := range known.Keys {
			r.addKey(key)
		}
		return known
	}
	if len(r.out.children) == at.firstChild {
		r.empty++
	}
	if at.version == "" {
		return nil
	}
	return &target{Version: at.version, Origin: r.origin.String(), Children: slices.Clone(r.out.children[at.firstChild:]), Keys: at.keys}
}

func (r *run) readWith(ctx context.Context, loc entity.Location, optional bool, known *target) error {
	for _, p := range r.Processors {
		if p.Read == nil {
			continue
		}
		run := r.runFor(p)
		run.Optional = optional
		if known != nil {
			run.Version = known.Version
		}
		step, span := r.Telemetry.Step(ctx, stageRead, p.Name)
		handled, err := p.Read(run.in(step), loc, r.emit)
		span.End()
		if err != nil {
			return r.by(p, err)
		}
		if handled {
			return nil
		}
	}
	return apierr.Input.New("nothing in this catalog reads locations of type %s; add the module that does, or correct %s", loc.Type, loc)
}
