package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// RestoredEntities is the set of what came back from the trash and has no other source.
const RestoredEntities = "CallboardRestoredEntities"

// TrashKept is how long a deleted entity can come back.
const TrashKept = 7 * 24 * time.Hour

// Undelete brings back the entity with a reference that was deleted less than TrashKept
// ago: as its source gave it, with the uid that it had. It belongs to nobody's file then,
// and stays until it is deleted again, or until a source emits the reference and
// takes it over. The entity of a registered location is registered again. The error is
// apierr.NotFound if no such entity is in the trash, and apierr.Conflict if the
// reference exists.
func (e *Engine) Undelete(ctx context.Context, ref string) (uid string, err error) {
	start := time.Now()
	locations := e.Locations()
	restored := &Provider{Name: RestoredEntities, Deliberate: true, engine: e}
	var sum *summary
	p := restored
	err = e.tx(ctx, func(tx *store.Tx) error {
		t, err := tx.Trashed(ctx, ref)
		if errors.Is(err, db.ErrNoRows) || err == nil && t.DeletedAt.Before(e.now().Add(-TrashKept)) {
			return apierr.NotFound.New("no entity %s was deleted in the last %d days", ref, int(TrashKept.Hours()/24))
		}
		if err != nil {
			return err
		}
		d, err := deferredOf(t)
		if err != nil {
			return err
		}
		if p = restored; t.Registered {
			p = locations.provider
		}
		if err := tx.LockProvider(ctx, p.Name); err != nil {
			return err
		}
		states, err := tx.LockStates(ctx, nil, []string{ref})
		if err != nil {
			return err
		}
		if len(states) > 0 {
			return apierr.Conflict.New("entity %s exists; delete it before the earlier one comes back", ref)
		}
		if t.Registered {
			if err := registerAgain(ctx, tx, d, ref); err != nil {
				return err
			}
		}
		list := &listing{provider: p, seen: map[string]string{}, members: tx, uid: t.UID}
		defer list.spool.close()
		if err := list.add(ctx, d); err != nil {
			return err
		}
		if err := list.flush(ctx); err != nil {
			return err
		}
		if sum, err = p.apply(ctx, tx, list, nil); err != nil {
			return err
		}
		uid = t.UID
		return tx.DropTrashed(ctx, ref)
	})
	if err != nil {
		return "", fmt.Errorf("restore %s: %w", ref, err)
	}
	p.tell(ctx, sum, nil, time.Since(start))
	return uid, nil
}

// deferredOf is a deleted entity as a provider emits it. What has no location key is
// taken over by whoever has one.
func deferredOf(t store.Trashed) (Deferred, error) {
	e, err := entity.Decode(t.Unprocessed)
	if err != nil {
		return Deferred{}, err
	}
	d := Deferred{Entity: e}
	if t.Registered {
		d.LocationKey = e.Annotation(entity.AnnotationManagedBy)
	}
	return d, nil
}

// registerAgain gives a Location entity its row in the table of registered locations.
func registerAgain(ctx context.Context, tx *store.Tx, d Deferred, ref string) error {
	row := store.Location{ID: uuid.NewString(), Type: d.Entity.SpecString("type"), Target: d.Entity.SpecString("target"), EntityRef: ref}
	added, err := tx.AddLocation(ctx, row)
	if err == nil && !added {
		err = apierr.Conflict.New("location %s:%s is registered already", row.Type, row.Target)
	}
	return err
}

// LetGoOfRestored ends the hold on restored entities that have a source again.
func (e *Engine) LetGoOfRestored(ctx context.Context) error {
	p := &Provider{Name: RestoredEntities, Deliberate: true, engine: e}
	return e.tx(ctx, func(tx *store.Tx) error {
		find := func() (ids []int64, claimed []string, err error) {
			if ids, err = tx.OwnedByOthersToo(ctx, p.Name); err != nil {
				return nil, nil, err
			}
			claimed, err = tx.ClaimRefs(ctx, p.Name)
			return ids, claimed, err
		}
		ids, claimed, err := find()
		if err != nil || len(ids)+len(claimed) == 0 {
			return err
		}
		if err := tx.LockProvider(ctx, p.Name); err != nil {
			return err
		}
		if _, err := tx.LockStates(ctx, ids, claimed); err != nil {
			return err
		}
		if ids, claimed, err = find(); err != nil {
			return err
		}
		return p.remove(ctx, tx, ids, claimed, &summary{})
	})
}
