package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// location is a registered location on the wire.
type location struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Target    string `json:"target"`
	EntityRef string `json:"entityRef"`
}

func locationOf(row store.Location) location { return location(row) }

// may asks for a basic permission on behalf of the caller.
func (a *api) may(r *http.Request, p Permission) error {
	return a.Authorizer.Allowed(r.Context(), httpx.CallerOf(r), p)
}

// createLocation is POST /locations (contract 1.6.12).
func (a *api) createLocation(w http.ResponseWriter, r *http.Request) error {
	q := httpx.Query(r)
	_ = q.String("dryRun", "")
	dry := dryRunOf(r)
	otherwise := "reject"
	if a.RefreshOnConflict {
		otherwise = "refresh"
	}
	onConflict := q.Enum("onConflict", otherwise, "reject", "refresh")
	if err := q.Err(); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	loc := b.location()
	b.enum("presence", "required", "optional") // accepted, and of no consequence
	b.closed()
	if b.err != nil {
		return b.err
	}
	note(r, "location", loc.String())
	if a.ReadOnly && !dry {
		return errReadOnly
	}
	if err := a.may(r, locationCreate); err != nil {
		return err
	}
	if err := a.checkType(loc); err != nil {
		return err
	}
	if dry {
		return a.dryRun(w, r, loc)
	}
	row, created, err := a.Engine.Locations().Create(r.Context(), loc)
	switch {
	case err != nil:
		return err
	case created:
		a.Log.InfoContext(r.Context(), "a location was registered", "location", loc.String(), "id", row.ID, "by", httpx.CallerOf(r).String())
	case onConflict == "reject":
		return apierr.Conflict.New("location %s is registered already", loc)
	default:
		if _, err := a.Engine.Refresh(r.Context(), row.EntityRef); err != nil {
			return err
		}
	}
	return httpx.JSON(w, http.StatusCreated, struct {
		Location location          `json:"location"`
		Entities []json.RawMessage `json:"entities"`
	}{locationOf(row), []json.RawMessage{}})
}

// dryRunOf says whether a registration is to be tried only.
func dryRunOf(r *http.Request) bool {
	return slices.Contains([]string{"true", "yes", "y", "on", "1"}, strings.ToLower(r.URL.Query().Get("dryRun")))
}

var errReadOnly = apierr.NotAllowed.New("registered locations cannot be changed, because catalog.readonly is set")

func (a *api) checkType(loc entity.Location) error {
	if !slices.Contains(a.LocationTypes, loc.Type) {
		return apierr.Input.New("locations of type %q cannot be registered; allowed: %s", loc.Type, strings.Join(a.LocationTypes, ", "))
	}
	return nil
}

// dryRun answers with what registering a location would lead to.
func (a *api) dryRun(w http.ResponseWriter, r *http.Request, loc entity.Location) error {
	exists, err := a.isRegistered(r.Context(), loc)
	if err != nil {
		return err
	}
	entities, err := a.Engine.DryRun(r.Context(), loc)
	if err != nil {
		return err
	}
	ref := ingest.LocationDeferred(loc, "").Entity.Ref().String()
	return httpx.JSON(w, http.StatusCreated, struct {
		Exists   bool            `json:"exists"`
		Location location        `json:"location"`
		Entities []entity.Entity `json:"entities"`
	}{exists, location{loc.String(), loc.Type, loc.Target, ref}, entities})
}

func (a *api) isRegistered(ctx context.Context, loc entity.Location) (bool, error) {
	_, err := a.Store.LocationByTarget(ctx, loc.Type, loc.Target)
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// registered lists what the caller may see of the registered locations, by id.
func (a *api) registered(r *http.Request) ([]store.Location, error) {
	err := a.may(r, locationRead)
	if errors.Is(err, apierr.NotAllowed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := a.Engine.Locations().List(r.Context())
	slices.SortFunc(rows, func(a, b store.Location) int { return strings.Compare(a.ID, b.ID) })
	return rows, err
}

// locations is GET /locations (contract 1.6.13).
func (a *api) locations(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	rows, err := a.registered(r)
	if err != nil {
		return err
	}
	type wrapped struct {
		Data location `json:"data"`
	}
	out := make([]wrapped, len(rows))
	for i, row := range rows {
		out[i].Data = locationOf(row)
	}
	return httpx.JSON(w, http.StatusOK, out)
}

// oneLocation finds what the caller may see, by whatever find looks for.
func (a *api) oneLocation(w http.ResponseWriter, r *http.Request, find func(context.Context) (store.Location, error)) error {
	if err := plain(r); err != nil {
		return err
	}
	if err := a.may(r, locationRead); errors.Is(err, apierr.NotAllowed) {
		return apierr.NotFound.New("no such location")
	} else if err != nil {
		return err
	}
	row, err := find(r.Context())
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, locationOf(row))
}

// locationID is the id in the path, or an apierr.NotFound where it is none.
func locationID(r *http.Request) (string, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil || len(r.PathValue("id")) != len(id.String()) {
		return "", apierr.NotFound.New("no location with id %q", r.PathValue("id"))
	}
	return id.String(), nil
}

// location is GET /locations/{id} (contract 1.6.15).
func (a *api) location(w http.ResponseWriter, r *http.Request) error {
	return a.oneLocation(w, r, func(ctx context.Context) (store.Location, error) {
		id, err := locationID(r)
		if err != nil {
			return store.Location{}, err
		}
		return a.Engine.Locations().Get(ctx, id)
	})
}

// updateLocation is PUT /locations/{id} (contract 1.6.16).
func (a *api) updateLocation(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	loc := b.location()
	b.closed()
	if b.err != nil {
		return b.err
	}
	note(r, "location", loc.String())
	id, err := a.changeable(r, locationCreate)
	if err != nil {
		return err
	}
	if err := a.checkType(loc); err != nil {
		return err
	}
	row, err := a.Engine.Locations().Update(r.Context(), id, loc)
	if err != nil {
		return err
	}
	a.Log.InfoContext(r.Context(), "a registered location was changed", "location", loc.String(), "id", id, "by", httpx.CallerOf(r).String())
	return httpx.JSON(w, http.StatusOK, locationOf(row))
}

// changeable is the id in the path, if the caller may change what it stands for.
func (a *api) changeable(r *http.Request, p Permission) (id string, err error) {
	note(r, "id", r.PathValue("id"))
	if a.ReadOnly {
		return "", errReadOnly
	}
	if err := a.may(r, p); err != nil {
		return "", err
	}
	return locationID(r)
}

// deleteLocation is DELETE /locations/{id} (contract 1.6.17).
func (a *api) deleteLocation(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	id, err := a.changeable(r, locationDelete)
	if err != nil {
		return err
	}
	if err := a.Engine.Locations().Delete(r.Context(), id); err != nil {
		return err
	}
	a.Log.InfoContext(r.Context(), "a registered location was deleted", "id", id, "by", httpx.CallerOf(r).String())
	return httpx.Empty(w, http.StatusNoContent)
}

// locationOfEntity is GET /locations/by-entity/{kind}/{namespace}/{name} (contract
// 1.6.18). Whether the caller may see the entity does not matter: the location is
// what the permission is about.
func (a *api) locationOfEntity(w http.ResponseWriter, r *http.Request) error {
	return a.oneLocation(w, r, func(ctx context.Context) (row store.Location, err error) {
		ref := refOf(r)
		doc, err := a.Query.ByRef(ctx, ref, query.Auth{})
		if err != nil {
			return row, err
		}
		e, err := entity.Decode(doc)
		if err != nil {
			return row, err
		}
		typ, target, _ := strings.Cut(e.Annotation(entity.AnnotationManagedByOrigin), ":")
		row, err = a.Store.LocationByTarget(ctx, typ, target)
		if errors.Is(err, db.ErrNoRows) {
			err = apierr.NotFound.New("%s does not come from a registered location", ref)
		}
		return row, err
	})
}
