package backend

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
)

// preflight reports everything that can be known to be wrong before a constructor
// runs: the certificate and the keys, the configuration of every feature, and every graph.
// Graphs are checked without decoding anything, so that wrong keys and missing dependencies
// come in one go.
func (c *core) preflight(comp *composition, found *problems) {
	files := c.sections.Server.HTTPS.Check()
	if c.auth != nil {
		files = errors.Join(files, c.auth.stores.load(comp.find("auth") != nil))
	}
	if dir := c.sections.WorkingDirectory; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			files = errors.Join(files, config.AtWithFix("backend.workingDirectory", fmt.Errorf("%s is no directory", dir), "create it, or name one that exists"))
		}
	}
	for _, err := range config.Problems(c.positioned(files)) {
		found.add(nil, err)
	}
	for _, f := range comp.features() {
		for _, s := range f.sections() {
			for _, err := range config.Problems(s.check(c.cfg)) {
				found.add(f, err)
			}
		}
	}
	c.checkGraphs(comp, found)
}

// plan runs preflight, and takes out the features whose problems the policy tolerates.
func (c *core) plan(features []*feature, found problems) (*composition, error) {
	comp, grouping := compose(features)
	found.list = append(found.list, grouping.list...)
	c.preflight(comp, &found)
	var kept problems
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

// assemble builds the graph. A feature that fails and may is left out, and the graph
// is built again without it; constructors have no side effects.
func (c *core) assemble(ctx context.Context, comp *composition) (*composition, *hooks, *fx.App, error) {
	for {
		if err := c.openTelemetry(ctx, comp); err != nil {
			return nil, nil, nil, bootError(nil, c.positioned(err))
		}
		h := newHooks()
		app, scope, err := c.build(comp, h)
		if err == nil {
			return comp, h, app, c.ensureMounted(comp)
		}
		f := comp.find(scope)
		if f == nil || !c.sections.Startup.tolerates(f) {
			return nil, nil, nil, bootError(f, c.positioned(err))
		}
		c.log.Error("left out: it cannot be built", "feature", f.name(), "error", err)
		comp = comp.without(f.name(), err)
		c.closeTelemetry()
		if err := c.reset(); err != nil {
			return nil, nil, nil, bootError(nil, fmt.Errorf("building again without %s: %w", f.name(), err))
		}
	}
}
