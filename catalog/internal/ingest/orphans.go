package ingest

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

func stack() string { return string(debug.Stack()) }

// orphanBatch is how many orphans are deleted in one transaction, each with all that
// hangs on it.
const orphanBatch = 200

// DeleteOrphans deletes entities that nothing emits any more, and what only they
// emitted (contract catalog.md, 3.6). It does nothing if orphans are to be kept. Other
// replicas may do the same at the same time.
func (e *Engine) DeleteOrphans(ctx context.Context) (deleted int, err error) {
	if e.KeepOrphans {
		return 0, nil
	}
	for {
		ids, err := e.store.Orphans(ctx, orphanBatch)
		if err != nil || len(ids) == 0 {
			return deleted, err
		}
		gone := 0
		err = e.tx(ctx, func(tx *store.Tx) error {
			gone = 0
			states, err := tx.LockStates(ctx, ids, nil)
			if err != nil {
				return err
			}
			var still []int64
			for _, s := range states {
				if s.Orphan {
					still = append(still, s.ID)
				}
			}
			got, err := erase(ctx, tx, e.now(), still)
			if err != nil {
				return err
			}
			gone = len(got.deleted)
			return nil
		})
		if err != nil {
			return deleted, err
		}
		deleted += gone
		if gone > 0 {
			e.log.InfoContext(ctx, "orphans deleted", "entities", gone)
			e.Wake()
			e.Stitcher.Wake()
		}
		if gone == 0 || len(ids) < orphanBatch {
			return deleted, nil
		}
	}
}

// Delete removes the entity with uid and all that only it emits, whoever emits it
// (contract catalog.md, 1.6.5). Those who do are run again at once, so that what
// still has a source comes back with another uid; so does what the builtin
// providers emit. ref is empty if no entity has the uid, which is no error.
func (e *Engine) Delete(ctx context.Context, uid string) (ref string, err error) {
	var providers []string
	err = e.tx(ctx, func(tx *store.Tx) error {
		ref, providers = "", nil
		s, err := tx.StateByUID(ctx, uid)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		ref = s.Ref
		providers, err = e.deleteState(ctx, tx, s)
		return err
	})
	if err != nil || ref == "" {
		return "", err
	}
	e.log.InfoContext(ctx, "entity deleted", "entity", ref, "uid", uid)
	e.Wake()
	e.Stitcher.Wake()
	return ref, e.restoreSets(ctx, providers)
}

func (e *Engine) deleteState(ctx context.Context, tx *store.Tx, s *store.State) (providers []string, err error) {
	edges, err := lockEmitters(ctx, tx, s.ID)
	if err != nil {
		return nil, err
	}
	claims, err := tx.ClaimsOn(ctx, []string{s.Ref})
	if err != nil {
		return nil, err
	}
	var again, lost []int64
	for _, edge := range edges {
		if edge.Source.Provider != "" {
			providers = append(providers, edge.Source.Provider)
		} else {
			again = append(again, edge.Source.Entity)
		}
	}
	for _, c := range claims {
		lost = append(lost, c.ID)
		if c.Source.Provider != "" {
			providers = append(providers, c.Source.Provider)
		} else {
			again = append(again, c.Source.Entity)
		}
	}
	// Without edges and claims it is unreachable, and so is what hangs on it alone.
	if err := tx.RemoveEdges(ctx, edges); err != nil {
		return nil, err
	}
	if err := tx.RemoveClaims(ctx, lost); err != nil {
		return nil, err
	}
	if err := tx.ForgetResults(ctx, e.now(), again); err != nil {
		return nil, err
	}
	_, err = erase(ctx, tx, e.now(), []int64{s.ID})
	return providers, err
}

// lockEmitters locks a row, so that nobody else can begin to emit it, and the entities that
// emit it, in the order in which those who store their outcomes do, and returns the edges.
func lockEmitters(ctx context.Context, tx *store.Tx, id int64) ([]store.Edge, error) {
	locked := map[int64]bool{}
	for {
		edges, err := tx.EdgesTo(ctx, []int64{id})
		if err != nil {
			return nil, err
		}
		var ids []int64
		for _, source := range append([]store.Edge{{Source: store.Source{Entity: id}}}, edges...) {
			if at := source.Source.Entity; at != 0 && !locked[at] {
				locked[at] = true
				ids = append(ids, at)
			}
		}
		if len(ids) == 0 {
			return edges, nil
		}
		if _, err := tx.LockStates(ctx, ids, nil); err != nil || tx.Alone() {
			return edges, err
		}
	}
}

// Refresh makes the entity due, ahead of the ordinary queue, and with it every
// Location that it comes from, on every path (contract catalog.md, 1.6.11). It says
// false if there is no such entity.
func (e *Engine) Refresh(ctx context.Context, ref string) (found bool, err error) {
	err = e.tx(ctx, func(tx *store.Tx) error {
		states, err := tx.LockStates(ctx, nil, []string{ref})
		if err != nil {
			return err
		}
		if found = len(states) > 0; !found {
			return nil
		}
		ids := []int64{states[0].ID}
		seen := map[int64]bool{states[0].ID: true}
		for level, depth := ids, 0; len(level) > 0 && depth < maxAncestry; depth++ {
			edges, err := tx.EdgesTo(ctx, level)
			if err != nil {
				return err
			}
			level = nil
			for _, edge := range edges {
				if id := edge.Source.Entity; id != 0 && !seen[id] {
					seen[id] = true
					level = append(level, id)
				}
			}
			ids = append(ids, level...)
		}
		return tx.MakeDue(ctx, e.now().Add(-ahead), ids)
	})
	if found && err == nil {
		e.Wake()
	}
	return found, err
}

const (
	// maxAncestry bounds how far up a refresh goes.
	maxAncestry = 32
	// ahead is how much longer due than it is a refresh by a person or an event looks:
	// the oldest are claimed first.
	ahead = 24 * time.Hour
)

// RefreshKeys makes the entities due that have one of the refresh keys, ahead of the
// ordinary queue.
func (e *Engine) RefreshKeys(ctx context.Context, keys ...string) error {
	bounded := make([]string, len(keys))
	for i, key := range keys {
		bounded[i] = boundKey(key)
	}
	n, err := e.store.MakeDueByKey(ctx, e.now().Add(-ahead), bounded)
	if err == nil && n > 0 {
		e.Wake()
	}
	return err
}

// sweepSpan is how many rows one reconciliation looks at.
const sweepSpan = 10_000

// Reconcile looks for entities that were processed, are not served, and wait nowhere,
// and queues them. It goes through the catalog in steps, one for each call. Nothing
// should ever be found: it is the second lock on the door.
func (e *Engine) Reconcile(ctx context.Context) error {
	after := e.sweep.Load()
	refs, last, err := e.store.StaleFinals(ctx, after, sweepSpan)
	if err != nil {
		return err
	}
	next := after + sweepSpan
	if next >= last {
		next = 0
	}
	e.sweep.Store(next)
	if len(refs) == 0 {
		return nil
	}
	e.log.WarnContext(ctx, "entities were processed but not served; they are queued again", "entities", len(refs))
	err = e.store.Tx(ctx, func(tx *store.Tx) error { return tx.QueueStitches(ctx, e.now(), refs) })
	e.Stitcher.Wake()
	return err
}
