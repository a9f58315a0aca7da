package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// The states of an ingestion (contract catalog.md, 3.13).
const (
	StateIngest  = "ingest"
	StateRest    = "rest"
	StateBackoff = "backoff"
	StateCancel  = "cancel"
)

// A Page is a part of a source.
type Page struct {
	Entities []Deferred
	Cursor   json.RawMessage // of the next page
	Done     bool            // there is none
}

// IncrementalOptions say how an Incremental proceeds. All durations are required.
type IncrementalOptions struct {
	BurstInterval, BurstLength, RestLength time.Duration
	// Backoff is the pause after each failure in a row, the last one for all further ones.
	Backoff []time.Duration
	// RejectAbove is the percentage of the set above which a removal is refused; 0: the
	// engine's guard decides.
	RejectAbove float64
	// RejectEmpty refuses a round that saw nothing.
	RejectEmpty bool
	// Next returns the page at cursor; nil: the first one.
	Next func(ctx context.Context, cursor json.RawMessage) (Page, error)
	// Around calls burst within whatever a burst needs, such as a connection; nil: burst
	// is called as it is.
	Around func(ctx context.Context, burst func(context.Context) error) error
}

// An Incremental lists a source in bursts: pages until it is over, then a rest, and again.
// What a round has not seen is removed at its end. Where it is, is in the database, so
// that any replica goes on where another one stopped.
type Incremental struct {
	IncrementalOptions
	provider *Provider
}

// Incremental registers the provider's source as one that is listed in bursts.
func (p *Provider) Incremental(o IncrementalOptions) *Incremental {
	e, i := p.engine, &Incremental{o, p}
	e.restoreMu.Lock()
	defer e.restoreMu.Unlock()
	if e.incrementals == nil {
		e.incrementals = map[string]*Incremental{}
	}
	e.incrementals[p.Name] = i
	return i
}

// Incrementals lists the providers that are listed in bursts.
func (e *Engine) Incrementals() []string {
	e.restoreMu.Lock()
	defer e.restoreMu.Unlock()
	return sortedKeys(e.incrementals)
}

// IncrementalOf returns the one of a provider, an apierr.NotFound error if it has none.
func (e *Engine) IncrementalOf(provider string) (*Incremental, error) {
	e.restoreMu.Lock()
	defer e.restoreMu.Unlock()
	if i := e.incrementals[provider]; i != nil {
		return i, nil
	}
	return nil, apierr.NotFound.New("no provider %q is listed in bursts", provider)
}

// Status says where it is; the zero value before its first burst.
func (i *Incremental) Status(ctx context.Context) (store.Ingestion, error) {
	at, err := i.provider.engine.store.Ingestion(ctx, i.provider.Name)
	if errors.Is(err, db.ErrNoRows) {
		return store.Ingestion{Provider: i.provider.Name}, nil
	}
	return at, err
}

// errOvertaken says that somebody else changed where the ingestion is.
var errOvertaken = errors.New("another replica, or a request, moved the ingestion on")

// Burst does what is due. It is called every BurstInterval, by one replica at a time. A
// failure of the source is no error: it is noted, and the next attempt waits.
func (i *Incremental) Burst(ctx context.Context) error {
	now := i.provider.engine.now()
	at, due, err := i.begin(ctx, now)
	if err != nil || !due {
		return err
	}
	around := i.Around
	if around == nil {
		around = func(ctx context.Context, burst func(context.Context) error) error { return burst(ctx) }
	}
	until := now.Add(i.BurstLength)
	err = around(ctx, func(ctx context.Context) error {
		for first := true; at.State == StateIngest && (first || i.provider.engine.now().Before(until)); first = false {
			if err := i.page(ctx, &at); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err == nil && at.State == StateIngest:
		return i.update(ctx, at, func(at *store.Ingestion) { at.NextActionAt = i.provider.engine.now().Add(i.BurstInterval) })
	case err == nil || errors.Is(err, errOvertaken):
		return nil
	case ctx.Err() != nil || db.IsUnavailable(err):
		return err
	}
	pause := i.Backoff[min(at.Attempts, len(i.Backoff)-1)]
	i.provider.engine.log.WarnContext(ctx, "a burst failed; the source is asked again later", "provider", i.provider.Name, "after", pause, "error", err)
	return i.update(ctx, at, func(at *store.Ingestion) {
		at.State, at.Attempts, at.LastError = StateBackoff, at.Attempts+1, err.Error()
		at.NextActionAt = i.provider.engine.now().Add(pause)
	})
}

// begin finds out whether something is due, and begins a round if it is.
func (i *Incremental) begin(ctx context.Context, now time.Time) (at store.Ingestion, due bool, err error) {
	p := i.provider
	started := false
	err = p.engine.tx(ctx, func(tx *store.Tx) error {
		due, started = false, false
		if err := tx.LockProvider(ctx, p.Name); err != nil {
			return err
		}
		at, err = tx.Ingestion(ctx, p.Name)
		if errors.Is(err, db.ErrNoRows) {
			at, err = store.Ingestion{Provider: p.Name, State: StateRest, NextActionAt: now}, nil
		}
		if err != nil || at.NextActionAt.After(now) {
			return err
		}
		due = true
		switch at.State {
		case StateIngest:
			return nil
		case StateBackoff:
			at.State = StateIngest
			return tx.SaveIngestion(ctx, at)
		}
		started = true
		return i.restart(ctx, tx, &at, now)
	})
	if started {
		p.engine.Telemetry.IngestionStarted(ctx, p.Name)
	}
	return at, due, err
}

// restart begins a round.
func (i *Incremental) restart(ctx context.Context, tx *store.Tx, at *store.Ingestion, now time.Time) error {
	if _, err := tx.DropMarks(ctx, i.provider.Name); err != nil {
		return err
	}
	if _, err := tx.DropSeen(ctx, i.provider.Name); err != nil {
		return err
	}
	*at = store.Ingestion{Provider: i.provider.Name, Round: at.Round + 1, State: StateIngest, NextActionAt: now, LastError: at.LastError, StartedAt: now}
	return tx.SaveIngestion(ctx, *at)
}

// page asks for one page and stores it; after the last one the round is over.
func (i *Incremental) page(ctx context.Context, at *store.Ingestion) error {
	p, start := i.provider, time.Now()
	page, err := i.Next(ctx, at.Cursor)
	if err != nil {
		return fmt.Errorf("provider %s: page %d: %w", p.Name, at.Sequence+1, err)
	}
	if !page.Done && len(page.Cursor) == 0 {
		return fmt.Errorf("provider %s: page %d has no cursor, and is not the last one", p.Name, at.Sequence+1)
	}
	l := &listing{provider: p, seen: map[string]string{}, members: p.engine.store}
	defer l.spool.close()
	for _, d := range page.Entities {
		if err := l.add(ctx, d); err != nil {
			return err
		}
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	now := p.engine.now()
	var sum *summary
	next := *at
	err = i.move(ctx, *at, func(tx *store.Tx) error {
		next = *at
		next.Sequence, next.Cursor, next.Attempts, next.LastError = at.Sequence+1, page.Cursor, 0, ""
		var err error
		if sum, err = p.apply(ctx, tx, l, nil); err != nil {
			return err
		}
		if err := tx.AddSeen(ctx, p.Name, sortedKeys(l.seen)); err != nil {
			return err
		}
		if err := tx.AddMark(ctx, p.Name, store.Mark{Round: at.Round, Sequence: next.Sequence, Cursor: page.Cursor, Entities: len(page.Entities), CreatedAt: now}); err != nil {
			return err
		}
		if page.Done {
			if err := i.complete(ctx, tx, &next, sum); err != nil {
				return err
			}
		}
		return tx.SaveIngestion(ctx, next)
	})
	if err != nil {
		return err
	}
	*at = next
	p.tell(ctx, sum, l.duplicates, time.Since(start))
	if page.Done {
		p.engine.Telemetry.IngestionCompleted(ctx, p.Name)
	}
	return nil
}

// complete removes what the round has not seen, unless that is too much to be believed.
func (i *Incremental) complete(ctx context.Context, tx *store.Tx, at *store.Ingestion, sum *summary) error {
	p := i.provider
	at.State, at.NextActionAt, at.Cursor = StateRest, p.engine.now().Add(i.RestLength), nil
	seen, total, err := tx.CountSeen(ctx, p.Name)
	if err != nil {
		return err
	}
	rows, claimed, err := tx.Unseen(ctx, p.Name)
	if err != nil {
		return err
	}
	if _, err := tx.DropSeen(ctx, p.Name); err != nil {
		return err
	}
	ids, refs := make([]int64, len(rows)), make([]string, len(rows))
	for n, m := range rows {
		ids[n], refs[n] = m.ID, m.Ref
	}
	share := 0.0
	if total > 0 {
		share = 100 * float64(len(ids)) / float64(total)
	}
	switch {
	case i.RejectEmpty && seen == 0 && total > 0:
		at.LastError = fmt.Sprintf("the source had no entities at all; its %d entities are kept", total)
	case i.RejectAbove > 0 && share > i.RejectAbove:
		at.LastError = fmt.Sprintf("the source lacks %d of %d entities, which is more than %g percent; they are kept", len(ids), total, i.RejectAbove)
	}
	if at.LastError != "" {
		p.engine.log.WarnContext(ctx, "the removals of a round are refused", "provider", p.Name, "error", at.LastError)
		return nil
	}
	if i.RejectAbove == 0 {
		if hold, err := p.guard(ctx, tx, sum, slices.Clone(refs), total); err != nil || hold {
			return err
		}
	}
	if _, err := tx.LockStates(ctx, ids, claimed); err != nil {
		return err
	}
	return p.remove(ctx, tx, ids, claimed, sum)
}

// move runs fn in a transaction, provided that the ingestion is where it was.
func (i *Incremental) move(ctx context.Context, from store.Ingestion, fn func(*store.Tx) error) error {
	return i.provider.engine.tx(ctx, func(tx *store.Tx) error {
		if err := tx.LockProvider(ctx, i.provider.Name); err != nil {
			return err
		}
		now, err := tx.Ingestion(ctx, i.provider.Name)
		if errors.Is(err, db.ErrNoRows) || err == nil && (now.Round != from.Round || now.Sequence != from.Sequence || now.State != from.State) {
			return errOvertaken
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// update changes where the ingestion is, if it is still at from.
func (i *Incremental) update(ctx context.Context, from store.Ingestion, change func(*store.Ingestion)) error {
	err := i.move(ctx, from, func(tx *store.Tx) error {
		to := from
		change(&to)
		return tx.SaveIngestion(ctx, to)
	})
	if errors.Is(err, errOvertaken) {
		return nil
	}
	return err
}

// Apply is Provider.Apply for what an event says: what it adds counts as seen by the
// round that is under way.
func (i *Incremental) Apply(ctx context.Context, added []Deferred, removed []string) error {
	p, start := i.provider, time.Now()
	l := &listing{provider: p, seen: map[string]string{}, members: p.engine.store}
	defer l.spool.close()
	for _, d := range added {
		if err := l.add(ctx, d); err != nil {
			return err
		}
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	var sum *summary
	err := p.engine.tx(ctx, func(tx *store.Tx) (err error) {
		if sum, err = p.apply(ctx, tx, l, removed); err != nil {
			return err
		}
		at, err := tx.Ingestion(ctx, p.Name)
		if errors.Is(err, db.ErrNoRows) || err == nil && at.State != StateIngest && at.State != StateBackoff {
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.ForgetSeen(ctx, p.Name, removed); err != nil {
			return err
		}
		return tx.AddSeen(ctx, p.Name, sortedKeys(l.seen))
	})
	if err != nil {
		return fmt.Errorf("provider %s: store entities: %w", p.Name, err)
	}
	p.tell(ctx, sum, l.duplicates, time.Since(start))
	return nil
}

// Trigger makes the next action due now: the next burst, or the end of a rest.
func (i *Incremental) Trigger(ctx context.Context) error {
	return i.change(ctx, func(tx *store.Tx, at *store.Ingestion) error {
		at.NextActionAt = i.provider.engine.now()
		return tx.SaveIngestion(ctx, *at)
	})
}

// Start begins a new round now; one that is under way is given up, and removes nothing.
func (i *Incremental) Start(ctx context.Context) error {
	return i.change(ctx, func(tx *store.Tx, at *store.Ingestion) error {
		return i.restart(ctx, tx, at, i.provider.engine.now())
	})
}

// Cancel gives the round up that is under way, which removes nothing. The next one begins
// after a rest.
func (i *Incremental) Cancel(ctx context.Context) error {
	return i.change(ctx, func(tx *store.Tx, at *store.Ingestion) error {
		if _, err := tx.DropSeen(ctx, i.provider.Name); err != nil {
			return err
		}
		at.State, at.NextActionAt, at.Attempts = StateCancel, i.provider.engine.now().Add(i.RestLength), 0
		return tx.SaveIngestion(ctx, *at)
	})
}

func (i *Incremental) change(ctx context.Context, fn func(*store.Tx, *store.Ingestion) error) error {
	return i.provider.engine.tx(ctx, func(tx *store.Tx) error {
		if err := tx.LockProvider(ctx, i.provider.Name); err != nil {
			return err
		}
		at, err := tx.Ingestion(ctx, i.provider.Name)
		if errors.Is(err, db.ErrNoRows) {
			at, err = store.Ingestion{Provider: i.provider.Name, State: StateRest}, nil
		}
		if err != nil {
			return err
		}
		return fn(tx, &at)
	})
}

// Purged says how many rows of each sort were deleted.
type Purged struct{ Ingestions, Marks, Seen int64 }

// PurgeIngestion forgets where the ingestion of a provider is; entities stay. Its next
// burst begins a first round.
func (e *Engine) PurgeIngestion(ctx context.Context, provider string) (out Purged, err error) {
	err = e.tx(ctx, func(tx *store.Tx) error {
		if err := tx.LockProvider(ctx, provider); err != nil {
			return err
		}
		if out.Marks, err = tx.DropMarks(ctx, provider); err != nil {
			return err
		}
		if out.Seen, err = tx.DropSeen(ctx, provider); err != nil {
			return err
		}
		out.Ingestions, err = tx.DropIngestion(ctx, provider)
		return err
	})
	return out, err
}

// CleanIngestions purges the ingestions of providers that are not installed.
func (e *Engine) CleanIngestions(ctx context.Context) (out Purged, err error) {
	names, err := e.store.Ingestions(ctx)
	if err != nil {
		return out, err
	}
	for _, name := range names {
		if _, err := e.IncrementalOf(name); err == nil {
			continue
		}
		one, err := e.PurgeIngestion(ctx, name)
		if err != nil {
			return out, err
		}
		out.Ingestions, out.Marks, out.Seen = out.Ingestions+one.Ingestions, out.Marks+one.Marks, out.Seen+one.Seen
	}
	return out, nil
}

// DropMarks deletes the marks of the present round, which only people look at.
func (i *Incremental) DropMarks(ctx context.Context) (n int64, err error) {
	err = i.provider.engine.tx(ctx, func(tx *store.Tx) error {
		n, err = tx.DropMarks(ctx, i.provider.Name)
		return err
	})
	return n, err
}

// Marks lists the pages of the present round.
func (i *Incremental) Marks(ctx context.Context) ([]store.Mark, error) {
	return i.provider.engine.store.Marks(ctx, i.provider.Name)
}
