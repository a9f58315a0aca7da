// Package lint checks descriptor files on disk the way the catalog would process them:
// each file is a location, and runs through the pipeline of the server. What the
// pipeline cannot know is added here: the places in the files, entities that two files
// define, and references that lead nowhere.
package lint

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// Bounds of one check. What exceeds them is an error of the check, not of a file.
const (
	MaxFiles    = 10_000
	MaxEntities = 100_000
	maxDepth    = 32 // Locations that lead to Locations
	maxAgain    = 8  // checks of one entity, with ever less of it
)

// DefaultBase stands for the address of a repository that has none.
const DefaultBase = "https://workspace.invalid/"

// Options say what to check, and against what. Fields without a comment are required.
type Options struct {
	// Pipeline makes the pipeline of the catalog, with what it reads replaced.
	Pipeline     func(reader scm.Reader) (*ingest.Pipeline, error)
	Integrations *scm.Integrations

	// Root is the directory that files are confined to, usually that of the repository;
	// it is absolute.
	Root string
	// Base is the URL that Root has for the portal, with a slash at its end; empty:
	// DefaultBase.
	Base string
	// AsFiles makes the files locations of type file instead of url.
	AsFiles bool
	// Names are globs for the names of files in directories; nil: DefaultNames.
	Names []string
	// Exclude are globs for files in directories to leave out, by their path from Root.
	Exclude []string
	// Complete says that nothing exists outside of the files: a reference that leads
	// out of them is an error.
	Complete bool
	// Online reads what is on other hosts; nil: it is counted, and not read.
	Online scm.Reader
}

// DefaultNames are what descriptor files are called.
func DefaultNames() []string { return []string{"catalog-info.yaml", "catalog-info.yml"} }

// Run checks paths, which are absolute: files, and directories in which it looks for
// files. The error says why the check is not complete; the report has what was found
// up to there.
func Run(ctx context.Context, o Options, paths []string) (*Report, error) {
	if o.Base == "" {
		o.Base = DefaultBase
	}
	if o.Names == nil {
		o.Names = DefaultNames()
	}
	files, err := collect(ctx, o, paths)
	if err != nil {
		return &Report{}, err
	}
	space, err := openWorkspace(o)
	if err != nil {
		return &Report{}, err
	}
	defer space.root.Close()
	pipeline, err := o.Pipeline(space)
	if err != nil {
		return &Report{}, err
	}
	c := &check{Options: o, space: space, pipeline: pipeline, report: &Report{Files: len(files)},
		defined: map[string]*item{}, seen: map[string]bool{}, told: map[Finding]bool{}, read: map[string]bool{}}
	for _, file := range files {
		if err = c.file(ctx, file); err != nil {
			break
		}
	}
	for len(c.queue) > 0 && err == nil {
		next := c.queue[0]
		c.queue = c.queue[1:]
		err = c.inspect(ctx, next)
	}
	if err == nil {
		c.references()
	}
	c.report.NotRead = space.notRead()
	c.report.Files = max(c.report.Files, len(c.read))
	c.report.sort()
	return c.report, err
}

// check is the state of one Run.
type check struct {
	Options
	space    *workspace
	pipeline *ingest.Pipeline
	report   *Report
	queue    []*item
	entities []*item
	defined  map[string]*item // by reference
	seen     map[string]bool  // documents, by place
	told     map[Finding]bool
	read     map[string]bool // files with entities
}

// An item is an entity that was found.
type item struct {
	e         entity.Entity
	ref       string
	file      string           // relative to Root; empty if it is not in there
	doc       *entity.Document // nil if a processor made the entity
	relations []entity.Relation
	depth     int
}

// file inspects a file as if it were registered as a location.
func (c *check) file(ctx context.Context, name string) error {
	loc := entity.Location{Type: "url", Target: c.urlOf(name)}
	if c.AsFiles {
		loc = entity.Location{Type: "file", Target: filepath.Join(c.Root, filepath.FromSlash(name))}
	}
	got := c.pipeline.Inspect(ctx, ingest.LocationDeferred(loc, "").Entity)
	root := &item{file: name}
	for _, f := range got.Failures {
		c.failed(root, f)
	}
	return c.found(ctx, root, got.Found)
}

// found queues what an item leads to.
func (c *check) found(ctx context.Context, from *item, list []ingest.Finding) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, f := range list {
		next := &item{e: f.Entity, ref: f.Entity.Ref().String(), file: c.nameOf(f.At.Target), doc: f.Document, depth: from.depth + 1}
		at := next.at("")
		id := fmt.Sprintf("%s:%d:%d:%s", f.At, at.Line, at.Column, next.ref)
		if c.seen[id] {
			continue
		}
		c.seen[id] = true
		c.read[f.At.String()] = true
		if first := c.defined[next.ref]; first != nil {
			place := first.at("/metadata/name")
			c.tell(next, "/metadata/name", Finding{Level: LevelError, Rule: RuleDuplicate,
				Message: fmt.Sprintf("%s is defined twice; the other definition is at %s:%d:%d", next.ref, first.file, place.Line, place.Column)})
			c.queue = append(c.queue, next)
			continue
		}
		if next.depth > maxDepth {
			return fmt.Errorf("%s: Locations lead to each other more than %d levels deep", next.file, maxDepth)
		}
		if len(c.defined) >= MaxEntities {
			return fmt.Errorf("there are more than %d entities; check fewer at once", MaxEntities)
		}
		c.defined[next.ref] = next
		c.queue = append(c.queue, next)
	}
	return nil
}

// inspect runs an entity through the pipeline.
func (c *check) inspect(ctx context.Context, it *item) error {
	c.report.Entities++
	c.entities = append(c.entities, it)
	got := c.pipeline.Inspect(ctx, it.e)
	// What is not known ends the checks of an entity, so they are done again without it.
	for again := 0; ; again++ {
		if err := ctx.Err(); err != nil {
			return err // what failed now failed for that reason
		}
		var unread []string
		for _, f := range got.Failures {
			unread = append(unread, c.failed(it, f)...)
		}
		if len(unread) == 0 || again == maxAgain {
			break
		}
		got = c.pipeline.Inspect(ctx, without(it.e, unread))
	}
	it.relations = got.Relations
	return c.found(ctx, it, got.Found)
}

// at is the place of a value of the item, the zero one if nobody knows.
func (it *item) at(pointer string) entity.Position {
	if it.doc == nil {
		return entity.Position{}
	}
	return it.doc.Positions.At(pointer)
}

func (c *check) urlOf(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return c.Base + strings.Join(parts, "/")
}

// nameOf is the file at an address that the pipeline gave, relative to Root; empty if
// it is not in there.
func (c *check) nameOf(target string) string {
	if c.AsFiles && filepath.IsAbs(target) {
		if rel, err := filepath.Rel(c.Root, target); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	if name, ok := c.space.local(target); ok {
		return path.Clean(name)
	}
	return ""
}
