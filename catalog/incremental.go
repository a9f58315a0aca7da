package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// An IncrementalSource lists all the entities of one place that is too large to be
// listed at once, page by page.
//
// One that also implements EventSource changes entities in between; one that implements
// BurstSource prepares something for the pages of one burst.
type IncrementalSource interface {
	ProviderName() string
	// NextPage returns the page at cursor, which is one that an earlier page gave; nil
	// asks for the first one. An error is tried again with the same cursor, after a
	// pause. It is called by one goroutine of one replica at a time.
	NextPage(ctx context.Context, cursor json.RawMessage) (Page, error)
}

// A Page is a part of an IncrementalSource.
type Page struct {
	Entities []Deferred
	// Cursor is that of the next page, in any form; it is kept across restarts, so that
	// another program version must understand it.
	Cursor json.RawMessage
	// Done says that there is no next page.
	Done bool
}

// BurstSource is implemented by IncrementalSources that need something for all pages of
// a burst, such as a connection: Around gets it, calls burst with a context that NextPage
// sees, and gives it back.
type BurstSource interface {
	Around(ctx context.Context, burst func(context.Context) error) error
}

// IncrementalOptions say how a source is listed. The zero value is ready.
type IncrementalOptions struct {
	// BurstLength is how long pages are asked for before others get a turn; 0: 3 s. A
	// page that takes longer is waited for.
	BurstLength time.Duration
	// BurstInterval is the time between two bursts; 0: 3 s. It is a second at least.
	BurstInterval time.Duration
	// RestLength is the time between the end of a round and the next one; 0: a day.
	RestLength time.Duration
	// Backoff is the pause after each failure in a row; nil: 1 and 5 minutes, half an
	// hour, 3 hours.
	Backoff []time.Duration
	// RejectRemovalsAbovePercentage refuses the removals of a round that would remove
	// more of the set; 0: catalog.massDeletionGuard decides.
	RejectRemovalsAbovePercentage float64
	// RejectEmptySourceCollections refuses the removals of a round that had no entities.
	RejectEmptySourceCollections bool
}

func (o IncrementalOptions) validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{"BurstLength": o.BurstLength, "BurstInterval": o.BurstInterval, "RestLength": o.RestLength} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s is %s; expected none below 0", name, d))
		}
	}
	if o.BurstInterval > 0 && o.BurstInterval < time.Second {
		errs = append(errs, fmt.Errorf("BurstInterval is %s; expected a second at least", o.BurstInterval))
	}
	for i, d := range o.Backoff {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("option Backoff[%d] is %s; expected more than 0", i, d))
		}
	}
	if p := o.RejectRemovalsAbovePercentage; p < 0 || p > 100 {
		errs = append(errs, fmt.Errorf("RejectRemovalsAbovePercentage is %g; expected 0 to 100", p))
	}
	return errors.Join(errs...)
}

// pageTimeout is how much longer than a burst a page may take.
const pageTimeout = 5 * time.Minute

// Incremental returns a provider that lists src in bursts, one round after the other
// (contract catalog.md, 3.13). Where a round is, is kept in the database: a restart, or
// another replica, goes on with the next page. Entities of a page are in the catalog at
// once; what a whole round has not listed is removed at its end. The routes below
// /incremental show and steer it, see docs/catalog.md.
func Incremental(src IncrementalSource, o IncrementalOptions) EntityProvider {
	return &incremental{src, o}
}

type incremental struct {
	src     IncrementalSource
	options IncrementalOptions
}

func (p *incremental) ProviderName() string { return p.src.ProviderName() }

func (p *incremental) Connect(_ context.Context, conn Connection) error {
	own, ok := conn.(*connection)
	if !ok {
		return fmt.Errorf("provider %s is listed in bursts, and needs the connection of a running catalog; this is a %T", p.ProviderName(), conn)
	}
	if err := p.options.validate(); err != nil {
		return fmt.Errorf("options of provider %s: %w", p.ProviderName(), err)
	}
	return own.incremental(p.src, p.options)
}

func (c *connection) incremental(src IncrementalSource, o IncrementalOptions) error {
	with := ingest.IncrementalOptions{
		BurstInterval: or(o.BurstInterval, 3*time.Second), BurstLength: or(o.BurstLength, 3*time.Second), RestLength: or(o.RestLength, 24*time.Hour),
		Backoff: o.Backoff, RejectAbove: o.RejectRemovalsAbovePercentage, RejectEmpty: o.RejectEmptySourceCollections,
		Next: func(ctx context.Context, cursor json.RawMessage) (ingest.Page, error) {
			page, err := src.NextPage(ctx, cursor)
			return ingest.Page{Entities: deferred(page.Entities), Cursor: page.Cursor, Done: page.Done}, err
		},
	}
	if len(with.Backoff) == 0 {
		with.Backoff = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 3 * time.Hour}
	}
	if burst, ok := src.(BurstSource); ok {
		with.Around = burst.Around
	}
	i := c.provider.Incremental(with)
	if events, ok := src.(EventSource); ok {
		err := c.Subscribe(events.Topics(), func(ctx context.Context, e backend.Event) error {
			added, removed, err := events.Change(ctx, e)
			if err != nil || len(added)+len(removed) == 0 {
				return err
			}
			return i.Apply(ctx, deferred(added), refsOf(removed))
		})
		if err != nil {
			return err
		}
	}
	schedule := config.Schedule{Frequency: config.Cadence{Every: config.Duration(with.BurstInterval)}, Timeout: config.Duration(with.BurstLength + pageTimeout), Scope: "global"}
	return c.Schedule("burst", schedule, i.Burst)
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func deferred(list []Deferred) []ingest.Deferred {
	out := make([]ingest.Deferred, len(list))
	for i, d := range list {
		out[i] = ingest.Deferred(d)
	}
	return out
}

func refsOf(list []Deferred) []string {
	refs := make([]string, len(list))
	for i, d := range list {
		refs[i] = d.Entity.Ref().String()
	}
	return refs
}
