package ingest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// Names of the builtin providers, as upstream has them: entities in the database
// belong to them.
const (
	ConfigLocations     = "ConfigLocationProvider"
	RegisteredLocations = "DefaultLocationStore"
)

// LocationDeferred is the Location entity of a root location, as builtin providers
// emit it.
func LocationDeferred(loc entity.Location, presence string) Deferred {
	return Deferred{
		Entity:      entity.NewLocationEntity(loc, entity.Location{}, entity.Location{}, presence),
		LocationKey: loc.String(),
	}
}

// AbsoluteTarget makes the target of a file location absolute against the working
// directory.
func AbsoluteTarget(loc entity.Location, workingDirectory string) entity.Location {
	if loc.Type == "file" && !filepath.IsAbs(loc.Target) {
		loc.Target = filepath.Join(workingDirectory, loc.Target)
	}
	return loc
}

// Locations are those that users registered. Its methods may be called from any
// goroutine, and where the engine does not run: other replicas go on with the work.
type Locations struct {
	engine   *Engine
	provider *Provider
}

// Locations returns the registered locations.
func (e *Engine) Locations() *Locations {
	return &Locations{e, &Provider{Name: RegisteredLocations, Deliberate: true, engine: e}}
}

// Restore makes the provider's set what the table says. It is called at start, and
// after somebody deleted an entity of the set.
func (l *Locations) Restore(ctx context.Context) error {
	start := time.Now()
	err := l.change(ctx, start, func(tx *store.Tx, list *listing) (*summary, error) {
		rows, err := tx.Locations(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if err := list.add(ctx, registeredDeferred(r)); err != nil {
				return nil, err
			}
		}
		if err := list.flush(ctx); err != nil {
			return nil, err
		}
		return l.provider.replace(ctx, tx, list)
	})
	if err != nil {
		return fmt.Errorf("restore registered locations: %w", err)
	}
	return nil
}

// registeredDeferred is the Location entity of a row, whose reference stays the one that
// the location was registered with.
func registeredDeferred(row store.Location) Deferred {
	d := LocationDeferred(entity.Location{Type: row.Type, Target: row.Target}, "")
	if ref, err := entity.ParseRef(row.EntityRef); err == nil {
		d.Entity.Set(ref.Name, "metadata", "name")
	}
	return d
}

// Create registers a location. If there is one with the same type and target already,
// it returns that and false.
func (l *Locations) Create(ctx context.Context, loc entity.Location) (row store.Location, created bool, err error) {
	if err := checkLocation(loc); err != nil {
		return store.Location{}, false, err
	}
	id := uuid.NewString()
	err = l.change(ctx, time.Now(), func(tx *store.Tx, list *listing) (*summary, error) {
		created = false
		row, err = tx.LocationByTarget(ctx, loc.Type, loc.Target)
		if !errors.Is(err, db.ErrNoRows) {
			return nil, err
		}
		row = store.Location{ID: id, Type: loc.Type, Target: loc.Target, EntityRef: LocationDeferred(loc, "").Entity.Ref().String()}
		// Another location may have been registered with this type and target, and been
		// given others since: the reference stayed with it.
		switch _, err := tx.LocationByEntityRef(ctx, row.EntityRef); {
		case err == nil:
			row.EntityRef = "location:default/generated-" + strings.ReplaceAll(id, "-", "")
		case !errors.Is(err, db.ErrNoRows):
			return nil, err
		}
		if created, err = tx.AddLocation(ctx, row); err != nil {
			return nil, err
		}
		return l.put(ctx, tx, list, row)
	})
	if err != nil {
		return store.Location{}, false, fmt.Errorf("register location %s: %w", loc, err)
	}
	return row, created, nil
}

// put makes the entity of a row part of the provider's set.
func (l *Locations) put(ctx context.Context, tx *store.Tx, list *listing, row store.Location) (*summary, error) {
	if err := list.add(ctx, registeredDeferred(row)); err != nil {
		return nil, err
	}
	if err := list.flush(ctx); err != nil {
		return nil, err
	}
	return l.provider.apply(ctx, tx, list, nil)
}

// Get returns the location with id, an apierr.NotFound error if there is none.
func (l *Locations) Get(ctx context.Context, id string) (store.Location, error) {
	row, err := l.engine.store.Location(ctx, id)
	return row, notFound(err, id)
}

// List returns all, by id.
func (l *Locations) List(ctx context.Context) ([]store.Location, error) {
	return l.engine.store.Locations(ctx)
}

// Update gives the location with id another type and target (contract catalog.md,
// 1.6.16). Its entity keeps the reference. What came from the old target goes, unless
// something else emits it. The error is apierr.NotFound, or
// apierr.Conflict if another location has the type and target.
func (l *Locations) Update(ctx context.Context, id string, loc entity.Location) (row store.Location, err error) {
	if err := checkLocation(loc); err != nil {
		return store.Location{}, err
	}
	err = l.change(ctx, time.Now(), func(tx *store.Tx, list *listing) (*summary, error) {
		old, err := tx.Location(ctx, id)
		if err != nil {
			return nil, notFound(err, id)
		}
		switch other, err := tx.LocationByTarget(ctx, loc.Type, loc.Target); {
		case err == nil && other.ID != id:
			return nil, apierr.Conflict.New("location %s is registered already", loc)
		case err != nil && !errors.Is(err, db.ErrNoRows):
			return nil, err
		}
		row = store.Location{ID: id, Type: loc.Type, Target: loc.Target, EntityRef: old.EntityRef}
		if err := tx.UpdateLocation(ctx, row); err != nil {
			return nil, err
		}
		return l.put(ctx, tx, list, row)
	})
	if err != nil {
		return store.Location{}, fmt.Errorf("change location %s: %w", id, err)
	}
	return row, nil
}

// Delete removes the location with id, and what came from it. The error is
// apierr.NotFound if there is none.
func (l *Locations) Delete(ctx context.Context, id string) error {
	err := l.change(ctx, time.Now(), func(tx *store.Tx, list *listing) (*summary, error) {
		row, err := tx.Location(ctx, id)
		if err != nil {
			return nil, notFound(err, id)
		}
		// While the row is there, the trash learns that the entity is a registered one's.
		sum, err := l.provider.apply(ctx, tx, list, []string{row.EntityRef})
		if err != nil {
			return nil, err
		}
		_, err = tx.DeleteLocation(ctx, id)
		return sum, err
	})
	if err != nil {
		return fmt.Errorf("delete location %s: %w", id, err)
	}
	return nil
}

// change changes the table and the provider's set in one transaction. Changes wait for
// each other from their first look at the table on: two that look at the same time
// could both find a target or a reference free. do returns nil if there is nothing
// to change.
func (l *Locations) change(ctx context.Context, start time.Time, do func(*store.Tx, *listing) (*summary, error)) error {
	var sum *summary
	err := l.engine.tx(ctx, func(tx *store.Tx) error {
		if err := tx.LockProvider(ctx, l.provider.Name); err != nil {
			return err
		}
		list := &listing{provider: l.provider, seen: map[string]string{}, members: tx}
		defer list.spool.close()
		var err error
		sum, err = do(tx, list)
		return err
	})
	if err == nil && sum != nil {
		l.provider.tell(ctx, sum, nil, time.Since(start))
	}
	return err
}

func notFound(err error, id string) error {
	if errors.Is(err, db.ErrNoRows) {
		return apierr.NotFound.New("no location with id %q", id)
	}
	return err
}

// checkLocation lets blank targets pass, as upstream does: processing says what is wrong
// with them.
func checkLocation(loc entity.Location) error {
	if loc.Target != "" && strings.TrimSpace(loc.Target) == "" {
		loc.Target = "blank"
	}
	if _, err := entity.ParseLocation(loc.String()); err != nil {
		return apierr.Input.Wrap(err, "location cannot be registered")
	}
	if strings.IndexByte(loc.String(), 0) >= 0 {
		return apierr.Input.New("location %q cannot be registered: it has a NUL character", loc)
	}
	return nil
}
