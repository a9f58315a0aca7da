package rbac

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

const (
	watchEvery = 500 * time.Millisecond
	// settleAfter is for files that are written in place with pauses. What ends with a whole
	// line looks like a whole file; that something of it is gone tells them apart.
	settleAfter = 5 * time.Second
	// hashEvery is for changes that keep the time and size of the file.
	hashEvery = 60 * time.Second
)

// A watcher remembers between two looks at the files.
type watcher struct {
	*files
	seen   [2]sighting
	hashed time.Time
}

// A sighting is a file that is another one than was read last.
type sighting struct {
	info  fs.FileInfo
	since time.Time // it has been so
	// written is set for a file that has changed without being replaced by another one:
	// whoever writes it may not be done. One that has been written beside and renamed is whole.
	written bool
}

// watch reloads files that have changed, until ctx ends. It looks at what the path leads
// to, so that it does not matter whether a file is rewritten, replaced, or swapped
// by a symbolic link above it, as Kubernetes does with mounted ConfigMaps.
func (f *files) watch(ctx context.Context) {
	w := &watcher{files: f, hashed: f.now()}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// A change is a file that is to be read, as it was when that was found out. The zero value is
// none.
type change struct {
	info    fs.FileInfo
	settled bool // it is certain that it is written to its end
}

// look takes over what has changed and settled.
func (w *watcher) look(ctx context.Context) {
	hash := w.now().Sub(w.hashed) >= hashEvery
	if hash {
		w.hashed = w.now()
	}
	var changes [2]change
	for i, path := range w.paths() {
		if path != "" {
			changes[i] = w.changed(i, path, hash)
		}
	}
	if changes != [2]change{} {
		w.reload(ctx, changes)
	}
}

// changed returns a file that is another one than was read last, and has been so for one
// round.
func (w *watcher) changed(which int, path string, hash bool) change {
	have, seen := w.have[which], &w.seen[which]
	now, err := os.Stat(path)
	if err != nil {
		*seen = sighting{written: true} // what it said stays; whoever makes it again may write it slowly
		return change{}
	}
	if have.info != nil && same(have.info, now) {
		*seen = sighting{}
		if !hash {
			return change{}
		}
		text, err := w.readFile(path)
		if err != nil || sha256.Sum256(text) == have.sum {
			return change{}
		}
		return change{now, true}
	}
	if seen.info != nil && same(seen.info, now) {
		return change{now, !seen.written || w.now().Sub(seen.since) >= w.settle}
	}
	written := seen.info == nil && seen.written || slices.ContainsFunc([]fs.FileInfo{have.info, seen.info}, func(was fs.FileInfo) bool { return was != nil && os.SameFile(was, now) })
	*seen = sighting{now, w.now(), written}
	return change{}
}

// reload takes over what has changed, whole or not at all. Here a line that is wrong
// keeps the file from being taken over: it may be one that is not written to its end. A file
// that has changed once more, or has lost something and is not settled, is left for a
// later look.
func (f *files) reload(ctx context.Context, changes [2]change) {
	was, wasConditions, had := f.csv, f.conditions, f.have
	early := func(which int, loses bool) bool {
		if same(f.have[which].info, changes[which].info) && (changes[which].settled || !loses) {
			return false
		}
		f.have[which] = had[which]
		return true
	}
	changed := [2]bool{changes[0].info != nil, changes[1].info != nil}
	if changed[0] {
		p, err := f.readCSV()
		if err == nil {
			err = broken(p, f.config.PoliciesCSVFile)
		}
		switch {
		case err != nil:
			f.failed(ctx, f.config.PoliciesCSVFile, err)
			changed[0] = false
		case early(0, losesRows(f.live.state(), p)):
			changed[0] = false
		default:
			f.csv = p
		}
	}
	if changed[1] {
		list, err := f.readConditions(func(c engine.Condition) error {
			if f.check == nil {
				return nil
			}
			return f.check(ctx, c)
		})
		switch {
		case err != nil:
			f.failed(ctx, f.config.ConditionalPoliciesFile, err)
			changed[1] = false
		case early(1, losesConditions(f.live.state(), list)):
			changed[1] = false
		default:
			f.conditions, f.known = list, true
		}
	}
	if !changed[0] && !changed[1] {
		return
	}
	// New roles may be what conditions had been waiting for.
	if err := f.apply(ctx, changed[0], f.known); err != nil {
		f.csv, f.conditions = was, wasConditions
		f.have = [2]content{} // it is tried again
		f.log.ErrorContext(ctx, "a changed policy file cannot be stored; it is tried again", "error", err)
		return
	}
	f.log.InfoContext(ctx, "policy files have changed", "version", f.live.state().Version)
	if changed[1] {
		f.auditor.CreateEvent(ctx, backend.AuditEvent{ID: "conditional-policies-file-change", Severity: backend.AuditMedium, Meta: map[string]any{
			"source": engine.SourceCSV, "actionType": "create_or_update", "file": f.config.ConditionalPoliciesFile,
		}}).Success(nil)
	}
}

// losesRows says whether a rule or member of policy files that is in force is not in p. A
// rule that has become a denial is still there.
func losesRows(s *engine.State, p *policyfile.Policy) bool {
	rules, members := map[[3]string]bool{}, map[[2]string]bool{}
	key := func(r engine.Rule) [3]string { return [3]string{r.Subject, r.Permission, r.Action} }
	for _, r := range p.Rules {
		rules[key(r)] = true
	}
	for _, m := range p.Members {
		members[memberKey(m)] = true
	}
	return slices.ContainsFunc(s.Rules, func(r engine.Rule) bool { return r.Source == engine.SourceCSV && !rules[key(r)] }) ||
		slices.ContainsFunc(s.Members, func(m engine.Member) bool { return m.Source == engine.SourceCSV && !members[memberKey(m)] })
}

// losesConditions says whether a condition of a role of policy files is not in list.
func losesConditions(s *engine.State, list []engine.Condition) bool {
	return slices.ContainsFunc(s.Conditions, func(have engine.Condition) bool {
		r, ok := s.Role(have.Role)
		return ok && r.Source == engine.SourceCSV && !slices.ContainsFunc(list, func(next engine.Condition) bool { return policyfile.Overlap(have, next) != "" })
	})
}
