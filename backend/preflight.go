package backend

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/callboard-dev/callboard/backend/config"
)

// preflight reports everything that can be known to be wrong before a constructor
// runs: the certificate and the keys, the configuration of every feature, and every graph.
// Graphs are checked without decoding anything, so that wrong keys and missing dependencies
// come in one go.
func (c *core) preflight(comp *composition, found *problems) {
	if !c.unreadable {
		c.checkConfig(comp, found)
		c.redactor.Add(c.cfg.Secrets()...) // those that sections of features say are some
	}
	c.checkGraphs(comp, found)
}

// checkConfig reports what is wrong with the configuration besides what found has.
func (c *core) checkConfig(comp *composition, found *problems) {
	known := found.keys()
	add := func(f *feature, err error) {
		for _, err := range config.Problems(err) {
			// A key that several features read is reported once.
			if !config.Covered(err, known...) {
				found.add(f, err)
			}
		}
	}
	add(nil, c.cfg.Locate(c.checkFiles(comp)))
	for _, f := range comp.everything() {
		before := found.keys()
		for _, s := range f.sections() {
			add(f, s.check(c.cfg))
		}
		known = append(known, found.keys()[len(before):]...)
	}
}

// checkFiles reads the files that the configuration names, besides those of $file.
func (c *core) checkFiles(comp *composition) error {
	errs := []error{c.sections.Server.HTTPS.Check()}
	if c.auth != nil {
		errs = append(errs, c.auth.stores.load(comp.find("auth") != nil))
	}
	if dir := c.sections.WorkingDirectory; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			errs = append(errs, config.AtWithFix("backend.workingDirectory", fmt.Errorf("%s is no directory", dir), "create it, or name one that exists"))
		}
	}
	return errors.Join(errs...)
}

// plan runs preflight, and takes out the features whose problems the policy tolerates.
func (c *core) plan(features []*feature, found problems) (*composition, error) {
	comp, grouping := compose(features)
	found.list = append(found.list, grouping.list...)
	c.preflight(comp, &found)
	kept := problems{redact: found.redact}
	for _, p := range found.list {
		f := comp.find(p.Feature)
		if f == nil || f.addedAt != p.AddedAt || !c.sections.Startup.tolerates(f) {
			kept.list = append(kept.list, p)
			continue
		}
		c.log.Error("left out: it cannot start", "feature", f.name(), "error", p.Err)
		comp = comp.without(f.name(), p.Err)
	}
	return comp, kept.err()
}

// construct reports what only constructors know to be wrong, as a name in the configuration
// that means something to a module: it builds the graphs, again without each feature that
// fails, and throws them away. Constructors do no I/O, so that nothing is started.
func (c *core) construct(comp *composition, found *problems) {
	for {
		scope, err := c.build(comp, newHooks())
		if err == nil {
			found.add(nil, c.ensureMounted(comp))
			return
		}
		f := comp.find(scope)
		found.add(f, c.cfg.Locate(err))
		if f == nil {
			return
		}
		comp = comp.without(f.name(), err)
		if err := c.reset(); err != nil {
			found.add(nil, fmt.Errorf("building again without %s: %w", f.name(), err))
			return
		}
	}
}

// assemble builds the graph. A feature that fails and may is left out, and the graph
// is built again without it; constructors have no side effects. So it is with one that
// fails and may not, to see what else does.
func (c *core) assemble(ctx context.Context, comp *composition) (*composition, *hooks, error) {
	failed := problems{redact: c.redactor.Redact}
	for {
		if err := c.openTelemetry(ctx, comp); err != nil {
			failed.add(nil, c.cfg.Locate(err))
			return nil, nil, failed.err()
		}
		h := newHooks()
		scope, err := c.build(comp, h)
		if err == nil && len(failed.list) == 0 {
			return comp, h, c.ensureMounted(comp)
		}
		f := comp.find(scope)
		switch {
		case err == nil:
			return nil, nil, failed.err()
		case f != nil && c.sections.Startup.tolerates(f):
			c.log.Error("left out: it cannot be built", "feature", f.name(), "error", err)
		default:
			failed.add(f, c.cfg.Locate(err))
		}
		if f == nil {
			return nil, nil, failed.err()
		}
		comp = comp.without(f.name(), err)
		c.closeTelemetry()
		if err := c.reset(); err != nil {
			failed.add(nil, fmt.Errorf("building again without %s: %w", f.name(), err))
			return nil, nil, failed.err()
		}
	}
}
