package ingest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// released is what became of rows that lost edges.
type released struct {
	restitch []string // became orphans, or were handed over
	orphans  bool     // there are new ones
	woken    bool
	deleted  []int64 // rows that are no more
}

// release looks after rows that lost an edge: the best claim takes over a row that
// nobody holds any more; without one it becomes an orphan, and goes at once if it was
// never processed, because nobody ever saw it.
func release(ctx context.Context, tx *store.Tx, now time.Time, targets []int64) (*released, error) {
	out := &released{}
	if len(targets) == 0 {
		return out, nil
	}
	free, err := unheld(ctx, tx, targets)
	if err != nil {
		return nil, err
	}
	if out.woken, err = restore(ctx, tx, now, targets, free); err != nil || len(free) == 0 {
		return out, err
	}
	states, err := tx.StatesByID(ctx, free)
	if err != nil {
		return nil, err
	}
	promoted, err := promote(ctx, tx, now, states, nil)
	if err != nil {
		return nil, err
	}
	var orphans, unseen []int64
	for _, s := range states {
		switch {
		case promoted[s.ID]:
			out.woken = true
			if s.Orphan {
				out.restitch = append(out.restitch, s.Ref)
			}
		case !s.EverProcessed:
			unseen = append(unseen, s.ID)
		case !s.Orphan:
			orphans = append(orphans, s.ID)
			out.restitch = append(out.restitch, s.Ref)
		}
	}
	out.orphans = len(orphans) > 0
	if err := tx.SetOrphans(ctx, orphans, true); err != nil {
		return nil, err
	}
	gone, err := erase(ctx, tx, now, unseen)
	if err != nil {
		return nil, err
	}
	out.deleted = gone.deleted
	out.woken = out.woken || gone.woken
	return out, nil
}

// restore gives rows that are still held the content of one of their holders, if the
// one whose content stood is gone: then all that are left have a claim.
func restore(ctx context.Context, tx *store.Tx, now time.Time, targets, free []int64) (woken bool, err error) {
	held := slices.DeleteFunc(slices.Clone(targets), func(id int64) bool { return slices.Contains(free, id) })
	states, err := tx.StatesByID(ctx, held)
	if err != nil {
		return false, err
	}
	byRef, claims, err := claimsOn(ctx, tx, states)
	if err != nil || len(claims) == 0 {
		return false, err
	}
	edges, err := tx.EdgesTo(ctx, held)
	if err != nil {
		return false, err
	}
	shadows := map[string][]store.Claim{}
	for _, c := range claims {
		if c.LocationKey == byRef[c.Ref].LocationKey {
			shadows[c.Ref] = append(shadows[c.Ref], c)
		}
	}
	var contents []*store.Content
	var done []int64
	for ref, list := range shadows {
		s := byRef[ref]
		stands := slices.ContainsFunc(edges, func(e store.Edge) bool {
			return e.Target == s.ID && !slices.ContainsFunc(list, func(c store.Claim) bool { return c.Source == e.Source })
		})
		if stands {
			continue
		}
		content := list[0].Content
		content.ID = s.ID
		contents = append(contents, &content)
		for _, c := range list {
			if bytes.Equal(c.Hash, content.Hash) {
				done = append(done, c.ID)
			}
		}
	}
	if err := tx.UpdateContents(ctx, now, contents); err != nil {
		return false, err
	}
	return len(contents) > 0, tx.RemoveClaims(ctx, done)
}

// unheld returns those of targets that no provider and no other entity leads to: they
// have no edge, or only edges from entities that they themselves lead to.
func unheld(ctx context.Context, tx *store.Tx, targets []int64) ([]int64, error) {
	sources := map[int64][]int64{} // by target, entities only
	rooted := map[int64]bool{}     // emitted by a provider, or an orphan of its own
	known := map[int64]bool{}
	for level := targets; len(level) > 0; {
		for _, id := range level {
			known[id] = true
		}
		edges, err := tx.EdgesTo(ctx, level)
		if err != nil {
			return nil, err
		}
		var next []int64
		for _, e := range edges {
			if e.Source.Provider != "" {
				rooted[e.Target] = true
				continue
			}
			sources[e.Target] = append(sources[e.Target], e.Source.Entity)
		}
		for _, id := range level {
			if rooted[id] {
				continue // what is above it does not matter
			}
			for _, s := range sources[id] {
				if !known[s] {
					known[s] = true
					next = append(next, s)
				}
			}
		}
		level = next
	}
	var free []int64
	for _, id := range targets {
		if !reaches(id, sources, rooted) {
			free = append(free, id)
		}
	}
	return free, nil
}

// reaches walks upwards from id, looking for a provider's entity or for an orphan that
// was one before: an orphan that is kept holds what it emits.
func reaches(id int64, sources map[int64][]int64, rooted map[int64]bool) bool {
	seen := map[int64]bool{id: true}
	stack := []int64{id}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if rooted[at] {
			return true
		}
		if at != id && len(sources[at]) == 0 {
			return true
		}
		for _, s := range sources[at] {
			if !seen[s] {
				seen[s] = true
				stack = append(stack, s)
			}
		}
	}
	return false
}

// claimsOn returns the claims on rows, and the rows by reference.
func claimsOn(ctx context.Context, tx *store.Tx, states []*store.State) (map[string]*store.State, []store.Claim, error) {
	refs := make([]string, len(states))
	byRef := make(map[string]*store.State, len(states))
	for i, s := range states {
		refs[i], byRef[s.Ref] = s.Ref, s
	}
	claims, err := tx.ClaimsOn(ctx, refs)
	return byRef, claims, err
}

// promote hands rows over to their best claims: the oldest one with a key, else the
// oldest. Claims whose source is in dying do not count.
func promote(ctx context.Context, tx *store.Tx, now time.Time, states []*store.State, dying map[int64]bool) (map[int64]bool, error) {
	byRef, claims, err := claimsOn(ctx, tx, states)
	if err != nil || len(claims) == 0 {
		return nil, err
	}
	best := map[string]store.Claim{}
	for _, c := range claims {
		if dying[c.Source.Entity] {
			continue
		}
		if b, ok := best[c.Ref]; !ok || b.LocationKey == "" && c.LocationKey != "" {
			best[c.Ref] = c
		}
	}
	promoted := map[int64]bool{}
	var contents []*store.Content
	var edges []store.Edge
	var done []int64
	for _, c := range claims {
		b, ok := best[c.Ref]
		if !ok || c.LocationKey != b.LocationKey || dying[c.Source.Entity] {
			continue
		}
		s := byRef[c.Ref]
		edges = append(edges, store.Edge{Source: c.Source, Target: s.ID, Via: c.Via})
		if bytes.Equal(c.Hash, b.Hash) {
			done = append(done, c.ID)
		}
		if c.ID == b.ID {
			content := c.Content
			content.ID = s.ID
			contents = append(contents, &content)
			promoted[s.ID] = true
		}
	}
	if err := tx.UpdateContents(ctx, now, contents); err != nil {
		return nil, err
	}
	if err := tx.AddEdges(ctx, edges); err != nil {
		return nil, err
	}
	return promoted, tx.RemoveClaims(ctx, done)
}

type erased struct {
	deleted []int64
	woken   bool
}

// erase deletes roots and everything that only they lead to (contract catalog.md, 3.4).
// A row stays while anything outside emits it, or claims it; a claim takes over.
func erase(ctx context.Context, tx *store.Tx, now time.Time, roots []int64) (*erased, error) {
	out := &erased{}
	for len(roots) > 0 {
		doomed, alive, states, err := lockReachable(ctx, tx, roots)
		if err != nil {
			return nil, err
		}
		if len(doomed) == 0 {
			return out, out.restore(ctx, tx, now, alive)
		}
		dying := make(map[int64]bool, len(doomed))
		for _, id := range doomed {
			dying[id] = true
		}
		promoted, err := promote(ctx, tx, now, states, dying)
		if err != nil {
			return nil, err
		}
		if len(promoted) > 0 {
			// They stay, and so may what they lead to: look again. Their edges from
			// what goes have the old key.
			out.woken = true
			if err := cutFrom(ctx, tx, promoted, dying); err != nil {
				return nil, err
			}
			continue
		}
		refs := make([]string, len(states))
		ids := make([]int64, len(states))
		for i, s := range states {
			refs[i], ids[i] = s.Ref, s.ID
		}
		if err := tx.DeleteStates(ctx, now, now.Add(PeerDelay), ids, refs); err != nil {
			return nil, err
		}
		out.deleted = append(out.deleted, ids...)
		return out, out.restore(ctx, tx, now, alive)
	}
	return out, nil
}

// restore looks after rows that stay: they may have lost the holder whose content
// stood.
func (out *erased) restore(ctx context.Context, tx *store.Tx, now time.Time, alive []int64) error {
	woken, err := restore(ctx, tx, now, alive, nil)
	out.woken = out.woken || woken
	return err
}

// cutFrom removes the edges from dying rows to promoted ones.
func cutFrom(ctx context.Context, tx *store.Tx, promoted, dying map[int64]bool) error {
	ids := make([]int64, 0, len(promoted))
	for id := range promoted {
		ids = append(ids, id)
	}
	edges, err := tx.EdgesTo(ctx, ids)
	if err != nil {
		return err
	}
	var cut []store.Edge
	for _, e := range edges {
		if dying[e.Source.Entity] && !promoted[e.Source.Entity] {
			cut = append(cut, e)
		}
	}
	return tx.RemoveEdges(ctx, cut)
}

// lockReachable locks roots and all that they lead to, and splits them as unreachable
// does; states are those of the doomed. Who emits what may change until the locks are
// there, also for what is reached: another transaction may be ending what holds it.
func lockReachable(ctx context.Context, tx *store.Tx, roots []int64) (doomed, reached []int64, states []*store.State, err error) {
	if doomed, reached, err = unreachable(ctx, tx, roots); err != nil {
		return nil, nil, nil, err
	}
	for {
		all, err := tx.LockDoomed(ctx, slices.Concat(doomed, reached))
		if err != nil {
			return nil, nil, nil, err
		}
		locked := make(map[int64]*store.State, len(all))
		for _, s := range all {
			locked[s.ID] = s
		}
		if tx.Alone() {
			return doomed, reached, slices.DeleteFunc(all, func(s *store.State) bool { return !slices.Contains(doomed, s.ID) }), nil
		}
		roots = slices.DeleteFunc(slices.Clone(roots), func(id int64) bool { return locked[id] == nil }) // gone
		if doomed, reached, err = unreachable(ctx, tx, roots); err != nil {
			return nil, nil, nil, err
		}
		missing := slices.ContainsFunc(reached, func(id int64) bool { return locked[id] == nil })
		states = states[:0]
		for _, id := range doomed {
			if s := locked[id]; s != nil {
				states = append(states, s)
			} else {
				missing = true
			}
		}
		if !missing {
			return doomed, reached, states, nil
		}
	}
}

// unreachable splits roots, and all that they lead to, into what nothing outside of
// that set leads to, and the rest.
func unreachable(ctx context.Context, tx *store.Tx, roots []int64) (doomed, reached []int64, err error) {
	within := map[int64]bool{}
	var all []int64
	for level := roots; len(level) > 0; {
		var fresh []int64
		for _, id := range level {
			if !within[id] {
				within[id] = true
				fresh = append(fresh, id)
			}
		}
		all = append(all, fresh...)
		edges, err := tx.EdgesFrom(ctx, fresh)
		if err != nil {
			return nil, nil, err
		}
		level = level[:0:0]
		for _, e := range edges {
			level = append(level, e.Target)
		}
	}
	edges, err := tx.EdgesTo(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	leadsTo := map[int64][]int64{}
	alive := map[int64]bool{}
	var stack []int64
	for _, e := range edges {
		if e.Source.Provider == "" && within[e.Source.Entity] {
			leadsTo[e.Source.Entity] = append(leadsTo[e.Source.Entity], e.Target)
		} else if !alive[e.Target] {
			alive[e.Target] = true
			stack = append(stack, e.Target)
		}
	}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, id := range leadsTo[at] {
			if !alive[id] {
				alive[id] = true
				stack = append(stack, id)
			}
		}
	}
	for _, id := range all {
		if alive[id] {
			reached = append(reached, id)
		} else {
			doomed = append(doomed, id)
		}
	}
	return doomed, reached, nil
}
