package ingest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

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
	rows, err := l.engine.store.Locations(ctx)
	if err != nil {
		return fmt.Errorf("list registered locations: %w", err)
	}
	return l.provider.Replace(ctx, func(yield func(Deferred, error) bool) {
		for _, r := range rows {
			if !yield(registeredDeferred(r), nil) {
				return
			}
		}
	})
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
func (l *Locations) Create(ctx context.Context, loc entity.Location) (_ store.Location, created bool, err error) {
	if err := checkLocation(loc); err != nil {
		return store.Location{}, false, err
	}
	row := store.Location{ID: uuid.NewString(), Type: loc.Type, Target: loc.Target, EntityRef: LocationDeferred(loc, "").Entity.Ref().String()}
	// Another location may have been registered with this type and target, and been
	// given others since: the reference stayed with it.
	switch other, err := l.engine.store.LocationByEntityRef(ctx, row.EntityRef); {
	case err == nil && (other.Type != loc.Type || other.Target != loc.Target):
		row.EntityRef = "location:default/generated-" + strings.ReplaceAll(row.ID, "-", "")
	case err != nil && !errors.Is(err, db.ErrNoRows):
		return row, false, err
	}
	d := registeredDeferred(row)
	err = l.change(ctx, []Deferred{d}, nil, func(tx *store.Tx) (bool, error) {
		created, err = tx.AddLocation(ctx, row)
		return created, err
	})
	if err != nil {
		return store.Location{}, false, fmt.Errorf("register location %s: %w", loc, err)
	}
	if created {
		return row, true, nil
	}
	row, err = l.engine.store.LocationByTarget(ctx, loc.Type, loc.Target)
	if errors.Is(err, db.ErrNoRows) {
		return row, false, apierr.Conflict.New("location %s was deleted at this moment; register it again", loc)
	}
	return row, false, err
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
	old, err := l.Get(ctx, id)
	if err != nil {
		return store.Location{}, err
	}
	row = store.Location{ID: id, Type: loc.Type, Target: loc.Target, EntityRef: old.EntityRef}
	err = l.change(ctx, []Deferred{registeredDeferred(row)}, nil, func(tx *store.Tx) (bool, error) {
		if _, err := tx.Location(ctx, id); err != nil {
			return false, notFound(err, id)
		}
		return true, tx.UpdateLocation(ctx, row)
	})
	if db.IsUniqueViolation(err) {
		return store.Location{}, apierr.Conflict.New("location %s is registered already", loc)
	}
	return row, err
}

// Delete removes the location with id, and what came from it. The error is
// apierr.NotFound if there is none.
func (l *Locations) Delete(ctx context.Context, id string) error {
	old, err := l.Get(ctx, id)
	if err != nil {
		return err
	}
	return l.change(ctx, nil, []string{old.EntityRef}, func(tx *store.Tx) (bool, error) {
		ok, err := tx.DeleteLocation(ctx, id)
		if err == nil && !ok {
			err = notFound(db.ErrNoRows, id)
		}
		return ok, err
	})
}

// change changes the table and the provider's set in one transaction.
func (l *Locations) change(ctx context.Context, added []Deferred, removed []string, table func(*store.Tx) (bool, error)) error {
	list := &listing{provider: l.provider, seen: map[string]string{}}
	defer list.spool.close()
	for _, d := range added {
		if err := list.add(ctx, d); err != nil {
			return err
		}
	}
	if err := list.flush(ctx); err != nil {
		return err
	}
	sum := &summary{}
	err := l.engine.tx(ctx, func(tx *store.Tx) error {
		sum = &summary{}
		changed, err := table(tx)
		if err != nil || !changed {
			return err
		}
		sum, err = l.provider.apply(ctx, tx, list, removed)
		return err
	})
	if err != nil {
		return err
	}
	l.provider.tell(ctx, sum, nil, 0)
	return nil
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
