package ingest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/catalog/internal/telemetry"
)

// linger is how long an outcome waits for others to be committed with it.
const linger = 15 * time.Millisecond

// Run claims, processes and commits until ctx ends. Any number of replicas may run on
// one database. It returns when all its goroutines have; what was claimed and not
// committed is due again at once.
func (e *Engine) Run(ctx context.Context) {
	claimed := make(chan *store.Due)
	outcomes := make(chan *finished)
	var workers, committer sync.WaitGroup
	for range e.Concurrency {
		workers.Go(func() {
			for due := range claimed {
				outcomes <- e.process(ctx, due)
			}
		})
	}
	committer.Go(func() { e.commitAll(ctx, outcomes) })
	e.claimAll(ctx, claimed)
	close(claimed)
	workers.Wait()
	close(outcomes)
	committer.Wait()
}

// claimAll hands due entities to the workers.
func (e *Engine) claimAll(ctx context.Context, claimed chan<- *store.Due) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := func() bool {
		timer.Reset(e.PollInterval)
		select {
		case <-ctx.Done():
			return false
		case <-e.wake:
		case <-timer.C:
		}
		return true
	}
	var failing bool
	for ctx.Err() == nil {
		batch, err := e.store.ClaimDue(ctx, e.now(), e.Batch, e.IntervalMin, e.IntervalMax)
		if err != nil {
			if ctx.Err() == nil && !failing {
				e.log.ErrorContext(ctx, "entities that are due cannot be claimed", "error", err)
			}
			failing = true
			if !wait() {
				return
			}
			continue
		}
		failing = false
		if len(batch) == 0 {
			if e.inFlight.Load() == 0 {
				e.Stitcher.Flush()
			}
			if !wait() {
				return
			}
			continue
		}
		e.inFlight.Add(int64(len(batch)))
		if !e.handOut(ctx, batch, claimed) {
			return
		}
	}
}

// handOut gives a batch to the workers; it says false if ctx ended before.
func (e *Engine) handOut(ctx context.Context, batch []*store.Due, claimed chan<- *store.Due) bool {
	defer e.Telemetry.Loop(ctx, len(batch))()
	now := e.now()
	for i, due := range batch {
		e.Telemetry.Claimed(ctx, now.Sub(due.DueAt))
		select {
		case claimed <- due:
		case <-ctx.Done():
			e.giveBack(ctx, batch[i:])
			return false
		}
	}
	return true
}

// giveBack makes claimed entities due again, when the engine stops or the database was away.
func (e *Engine) giveBack(ctx context.Context, batch []*store.Due) {
	if len(batch) == 0 {
		return
	}
	e.inFlight.Add(-int64(len(batch)))
	ids := make([]int64, len(batch))
	for i, due := range batch {
		ids[i] = due.ID
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := e.store.MakeDue(ctx, e.now(), ids); err != nil {
		e.log.WarnContext(ctx, "claimed entities could not be given back; they are due again in a few minutes", "entities", len(ids), "error", err)
	}
}

// process runs one entity through the pipeline. A panic in a processor is an error
// of the entity.
func (e *Engine) process(ctx context.Context, due *store.Due) (f *finished) {
	run, end := e.Telemetry.Run(ctx)
	out := e.processSafely(run, due)
	end(len(out.failures) > 0)
	f, err := finish(due, out)
	if err != nil {
		out.parking.close()
		out = outcome{ref: due.Ref, fatal: true, failures: failuresOf(CodeEntity, err)}
		f, _ = finish(due, out) // failures are texts and always encode
	}
	return f
}

func (e *Engine) processSafely(ctx context.Context, due *store.Due) (out outcome) {
	defer func() {
		if v := recover(); v != nil {
			e.log.ErrorContext(ctx, "a processor panicked", "entity", due.Ref, "panic", fmt.Sprint(v), "stack", stack())
			out = outcome{ref: due.Ref, fatal: true, failures: []Failure{{Name: "Error", Message: fmt.Sprintf("a processor panicked: %v", v)}}}
		}
	}()
	unprocessed, err := entity.Decode(due.Unprocessed)
	if err != nil {
		return outcome{ref: due.Ref, fatal: true, failures: failuresOf(CodeEntity, err)}
	}
	return e.Pipeline.Process(ctx, unprocessed, due.Places, decodeCache(due.Cache))
}

// commitAll commits outcomes in batches: those that are there, and those that come
// within a moment, so that one slow read does not hold up the others.
func (e *Engine) commitAll(ctx context.Context, outcomes <-chan *finished) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for first := range outcomes {
		batch := []*finished{first}
		timer.Reset(linger)
	gather:
		for len(batch) < e.Batch && e.inFlight.Load() > int64(len(batch)) {
			select {
			case f, ok := <-outcomes:
				if !ok {
					break gather
				}
				batch = append(batch, f)
			case <-timer.C:
				break gather
			}
		}
		e.settle(ctx, batch)
	}
}

// settle commits what changed, and tells about it.
func (e *Engine) settle(ctx context.Context, batch []*finished) {
	defer func() {
		for _, f := range batch {
			f.parking.close()
		}
	}()
	if ctx.Err() != nil {
		// Outcomes of a context that ended may only say that it ended.
		dues := make([]*store.Due, len(batch))
		for i, f := range batch {
			dues[i] = f.due
		}
		e.giveBack(ctx, dues)
		return
	}
	var changed []*finished
	var failed, recovered []int64
	var cacheIDs []int64
	var caches [][]byte
	for _, f := range batch {
		e.Telemetry.Processed(ctx, f.came())
		switch {
		case !f.unchanged():
			changed = append(changed, f)
		case !f.fatal && !bytes.Equal(f.cache, f.due.Cache):
			cacheIDs, caches = append(cacheIDs, f.due.ID), append(caches, f.cache)
		}
		if f.backsOff() {
			failed = append(failed, f.due.ID)
		} else if f.due.Failures > 0 {
			recovered = append(recovered, f.due.ID)
		}
	}
	e.commitChanged(ctx, changed)
	if err := e.settleUnchanged(ctx, cacheIDs, caches, failed, recovered); err != nil && ctx.Err() == nil {
		e.log.ErrorContext(ctx, "the schedule of processed entities could not be stored", "error", err)
	}
	for _, f := range batch {
		e.report(ctx, f)
	}
	if e.inFlight.Add(-int64(len(batch))) == 0 {
		e.Wake() // so that the claimer sees that the round is over
	}
}

func (e *Engine) settleUnchanged(ctx context.Context, cacheIDs []int64, caches [][]byte, failed, recovered []int64) error {
	if len(cacheIDs) > 0 {
		if err := e.store.Tx(ctx, func(tx *store.Tx) error { return tx.SaveCaches(ctx, cacheIDs, caches) }); err != nil {
			return err
		}
	}
	return e.store.CountFailures(ctx, failed, recovered)
}

// commitChanged commits a batch, or, if that fails, each outcome on its own: what one
// entity holds may be something that the database does not take.
func (e *Engine) commitChanged(ctx context.Context, batch []*finished) {
	if len(batch) == 0 {
		return
	}
	done, err := e.commit(ctx, batch)
	if err == nil {
		e.committed(ctx, done)
		return
	}
	if ctx.Err() != nil || db.IsUnavailable(err) {
		if ctx.Err() == nil {
			e.log.WarnContext(ctx, "outcomes of processing could not be stored, because the database is away; the entities are processed again", "entities", len(batch), "error", err)
		}
		dues := make([]*store.Due, len(batch))
		for i, f := range batch {
			dues[i] = f.due
		}
		e.inFlight.Add(int64(len(dues))) // giveBack counts them off, and so does settle
		e.giveBack(ctx, dues)
		return
	}
	if len(batch) > 1 {
		for _, f := range batch {
			e.commitChanged(ctx, []*finished{f})
		}
		return
	}
	f := batch[0]
	e.Telemetry.Processed(ctx, telemetry.Failed)
	e.log.ErrorContext(ctx, "the outcome of processing could not be stored", "entity", f.due.Ref, "error", err)
	if f.fatal {
		return
	}
	refused, err := finish(f.due, outcome{ref: f.due.Ref, fatal: true, failures: []Failure{{Name: "Error", Message: "the result could not be stored; the log of the catalog says why"}}})
	if err == nil && !refused.unchanged() {
		if done, err := e.commit(ctx, []*finished{refused}); err == nil {
			e.committed(ctx, done)
		}
	}
}

func (e *Engine) committed(ctx context.Context, done *committed) {
	e.reportConflicts(ctx, done.conflicts)
	if done.woken {
		e.Wake()
	}
	e.Stitcher.Wake()
	if done.orphans && !e.KeepOrphans {
		if _, err := e.DeleteOrphans(ctx); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "orphans could not be deleted; the next cleanup will", "error", err)
		}
	}
}

// report tells about failures: to the hook and the topic after every run, to the log
// when they differ from those of the run before.
func (e *Engine) report(ctx context.Context, f *finished) {
	if !bytes.Equal(f.errors, f.due.Errors) {
		if len(f.failures) == 0 {
			e.log.DebugContext(ctx, "an entity is processed without errors again", "entity", f.due.Ref)
		}
		for _, failure := range f.failures {
			e.log.WarnContext(ctx, "processing an entity failed", "entity", f.due.Ref, "kind", failure.Name, "error", failure.Message)
		}
	}
	if len(f.failures) == 0 || e.Publisher == nil && e.OnFailure == nil {
		return
	}
	unprocessed, err := entity.Decode(f.due.Unprocessed)
	if err != nil {
		return
	}
	e.publish(ctx, TopicErrors, errorEvent{f.due.Ref, unprocessed.Annotation(entity.AnnotationManagedBy), f.failures})
	if e.OnFailure != nil {
		e.OnFailure(ctx, unprocessed, f.failures)
	}
}
