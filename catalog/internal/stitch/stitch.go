// Package stitch makes the entities that are served: the processed entity, with its
// relations, the errors of its latest run and the marks of the catalog (contract
// catalog.md, 2.7 and 3.10), and the rows of the index that filters read.
//
// The queue is a table, so that no crash and no replica loses an entry. An entry is
// taken for a while, its parts are read, and what changed is written in one
// transaction with the removal of the entry. Whoever changes a part replaces the ticket of
// the entry: then it is not removed, but due again. While it is taken, nobody else gets it.
package stitch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/catalog/internal/telemetry"
)

// Options are what a Stitcher needs. Store and Log are required.
type Options struct {
	Store *store.Store
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now

	Telemetry *telemetry.Telemetry // nil: nothing is measured
	// PollInterval is how long work of other replicas may go unnoticed; 0: 1 s.
	PollInterval time.Duration
	// Timeout is after which a stitch that was taken can be taken again; 0: 60 s.
	Timeout time.Duration
	// PutOff is how far in the future entries are that Flush brings forward.
	PutOff time.Duration
	// Batch is how many are taken at once; 0: 250.
	Batch int
	// OnChange is called after entities were stored or found unchanged; nil: not.
	OnChange func(changed, unchanged int)
}

// A Stitcher works the queue off. Wake and Flush may be called from any goroutine.
type Stitcher struct {
	Options
	wake  chan struct{} // holds a token while there may be something to do
	flush atomic.Bool
}

// New returns a Stitcher, which does nothing until Run.
func New(o Options) *Stitcher {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	// What is taken must not look like something that is merely put off.
	o.Timeout = max(o.Timeout, 2*o.PutOff)
	if o.Batch <= 0 {
		o.Batch = 250
	}
	return &Stitcher{Options: o, wake: make(chan struct{}, 1)}
}

// Wake says that entries may be due.
func (s *Stitcher) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Flush makes everything due that was put off.
func (s *Stitcher) Flush() {
	s.flush.Store(true)
	s.Wake()
}

// Run stitches until ctx ends.
func (s *Stitcher) Run(ctx context.Context) {
	timer := time.NewTimer(s.PollInterval)
	defer timer.Stop()
	failing := false
	for {
		err := s.Drain(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.Log.ErrorContext(ctx, "the stitch queue cannot be worked off", "error", err)
		}
		failing = err != nil
		timer.Reset(s.PollInterval)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// workers is how many batches are worked on at once: one can wait for the database
// while the other computes.
const workers = 2

// Drain stitches what is due, until nothing is.
func (s *Stitcher) Drain(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	horizon := func() time.Time {
		if s.flush.Load() {
			return s.Now().Add(s.PutOff + time.Second)
		}
		return s.Now()
	}
	flushing := s.flush.Load()
	drain := func() error {
		for ctx.Err() == nil {
			n, err := s.batch(ctx, horizon())
			if err != nil || n < s.Batch {
				return err
			}
		}
		return nil
	}
	// Most of the time there is little to do: the second worker joins for full batches.
	n, err := s.batch(ctx, horizon())
	if err == nil && n == s.Batch {
		for i := range workers {
			wg.Go(func() { errs[i] = drain() })
		}
		wg.Wait()
		for _, e := range errs {
			if e != nil {
				err = e
			}
		}
	}
	if flushing && err == nil {
		s.flush.Store(false)
	}
	return err
}

// batch takes one batch of the queue and says how many entries it had.
func (s *Stitcher) batch(ctx context.Context, horizon time.Time) (int, error) {
	now := s.Now()
	claims, err := s.Store.ClaimStitches(ctx, horizon, now.Add(s.Timeout), s.Batch)
	if err != nil || len(claims) == 0 {
		return 0, err
	}
	for _, c := range claims {
		s.Telemetry.StitchClaimed(ctx, now.Sub(c.DueAt))
	}
	err = s.stitch(ctx, claims)
	s.Telemetry.StitchBatch(ctx, s.Now().Sub(now))
	if err != nil && ctx.Err() == nil && db.IsUnavailable(err) {
		s.giveBack(ctx, claims)
		return 0, err
	}
	if err != nil && ctx.Err() == nil {
		// What one entity holds may be something that the database does not take.
		for _, c := range claims {
			if len(claims) > 1 {
				err = s.stitch(ctx, []store.Stitch{c})
			}
			if err != nil && !errors.Is(err, store.ErrClaimLost) && ctx.Err() == nil {
				s.Telemetry.Stitched(ctx, telemetry.Broken, 1)
				s.Log.ErrorContext(ctx, "an entity cannot be stitched; it is tried again later", "entity", c.Ref, "error", err)
				// Who mends it must not wait for the end of the claim.
				if err := s.Store.PutOffStitch(ctx, s.Now(), c); err != nil && ctx.Err() == nil {
					s.Log.WarnContext(ctx, "a claim could not be ended, and ends by itself", "entity", c.Ref, "error", err)
				}
			}
		}
	}
	if ctx.Err() != nil {
		s.giveBack(ctx, claims)
	}
	return len(claims), ctx.Err()
}

// giveBack makes what was taken due again, when the stitcher stops or the database was away. What was finished
// is off the queue, and stays so.
func (s *Stitcher) giveBack(ctx context.Context, claims []store.Stitch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Store.GiveBackStitches(ctx, s.Now(), claims); err != nil {
		s.Log.WarnContext(ctx, "stitches could not be given back; they are taken up again later", "entities", len(claims), "error", err)
	}
}

// stitch makes and stores the final entities of claims.
func (s *Stitcher) stitch(ctx context.Context, claims []store.Stitch) error {
	refs := make([]string, len(claims))
	for i, c := range claims {
		refs[i] = c.Ref
	}
	parts, err := s.Store.Parts(ctx, refs)
	if err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	var finals []store.Final
	var ids []int64
	var keys []string
	unchanged, served := 0, 0
	for _, part := range parts {
		if part.Processed == nil {
			continue
		}
		served++
		f, err := finalOf(part)
		if err != nil {
			s.Telemetry.Stitched(ctx, telemetry.Broken, 1)
			s.Log.ErrorContext(ctx, "an entity cannot be stitched", "entity", part.Ref, "error", err)
			continue
		}
		if f == nil {
			unchanged++
			continue
		}
		finals, ids = append(finals, *f), append(ids, f.ID)
		for _, row := range f.Rows {
			keys = append(keys, row.Key)
		}
	}
	known, err := s.Store.KnowKeys(ctx, keys)
	if err != nil {
		return fmt.Errorf("number keys: %w", err)
	}
	kept, again := 0, false
	err = s.Store.Tx(ctx, func(tx *store.Tx) error {
		present, err := tx.LockPresent(ctx, ids)
		if err != nil {
			return err
		}
		current, err := tx.CurrentStitches(ctx, claims)
		if err != nil {
			return err
		}
		// What has changed since its parts were read may be put together of two
		// versions, and is not written.
		var keep []store.Final
		written := map[string]bool{}
		for _, f := range finals {
			if present[f.ID] && current[f.Ref] {
				keep, written[f.Ref] = append(keep, f), true
			}
		}
		kept = len(keep)
		// Index rows take the longest, so that the entries of the queue, for which all
		// who change something wait, are locked after that. What changes meanwhile is
		// written as it was before, and stitched again.
		if err := tx.SaveRows(ctx, keep, known); err != nil {
			return err
		}
		if again, err = tx.FinishStitches(ctx, s.Now(), claims, written); err != nil {
			return err
		}
		return tx.SaveFinals(ctx, s.Now(), keep)
	})
	if err == nil && again {
		s.Wake()
	}
	if err == nil {
		s.Telemetry.Stitched(ctx, telemetry.Changed, kept)
		s.Telemetry.Stitched(ctx, telemetry.Unchanged, unchanged)
		s.Telemetry.Stitched(ctx, telemetry.Abandoned, len(finals)-kept+len(claims)-served)
	}
	if err == nil && s.OnChange != nil {
		s.OnChange(len(finals), unchanged)
	}
	return err
}

// finalOf makes a final entity; nil if it is what is served already.
func finalOf(part *store.Part) (*store.Final, error) {
	processed, err := entity.Decode(part.Processed)
	if err != nil {
		return nil, err
	}
	var failures []entity.StatusError
	if len(part.Errors) > 0 {
		if err := json.Unmarshal(part.Errors, &failures); err != nil {
			return nil, fmt.Errorf("errors of the latest run: %w", err)
		}
	}
	relations := make([]entity.Relation, len(part.Relations))
	for i, r := range part.Relations {
		relations[i] = entity.Relation{Source: r.Source, Type: r.Type, Target: r.TargetRef}
	}
	final, err := entity.Finalize(processed, entity.Stitch{UID: part.UID, Relations: relations, Orphan: part.Orphan, Errors: failures})
	if err != nil {
		return nil, err
	}
	hash := []byte(final.Hash)
	if bytes.Equal(hash, part.FinalHash) {
		return nil, nil
	}
	rows := entity.Flatten(final.Entity, relations)
	out := &store.Final{ID: part.ID, UID: part.UID, Ref: part.Ref, Entity: final.JSON, ETag: final.ETag(), Hash: hash, Rows: make([]store.SearchRow, len(rows))}
	for i, r := range rows {
		out.Rows[i] = store.SearchRow{Key: r.Key, Value: r.Value, Original: r.Original}
		if v, o := out.Rows[i].Value, out.Rows[i].Original; v != nil && o != nil && *v == *o {
			out.Rows[i].Original = nil
		}
	}
	return out, nil
}
