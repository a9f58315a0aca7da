package api

import (
	"errors"
	"net/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// deleteEntity is DELETE /entities/by-uid/{uid} (contract 1.6.5): 204 also for a uid that
// nobody has.
func (a *api) deleteEntity(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	uid := r.PathValue("uid")
	note(r, "uid", uid)
	auth, err := a.Authorizer.Entities(r.Context(), httpx.CallerOf(r), entityDelete)
	if err != nil {
		return err
	}
	if auth.Deny {
		return notAllowed(entityDelete)
	}
	if !db.IsText(uid) {
		return httpx.Empty(w, http.StatusNoContent)
	}
	if auth.Where != nil {
		// A caller who may delete some entities only must not learn which others exist.
		if _, err := a.Query.ByUID(r.Context(), uid, auth); errors.Is(err, apierr.NotFound) {
			return notAllowed(entityDelete)
		} else if err != nil {
			return err
		}
	}
	ref, err := a.Engine.Delete(r.Context(), uid)
	if err != nil {
		return err
	}
	if ref != "" {
		note(r, "entityRef", ref)
		a.Log.InfoContext(r.Context(), "an entity was deleted by request", "entity", ref, "uid", uid, "by", httpx.CallerOf(r).String())
	}
	return httpx.Empty(w, http.StatusNoContent)
}

// refresh is POST /refresh (contract 1.6.11).
func (a *api) refresh(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	text := b.text("entityRef", true)
	// Old clients repeat their token here. It is the header that counts: whoever has a
	// token can send it there.
	b.text("authorizationToken", false)
	b.closed()
	if b.err != nil {
		return b.err
	}
	note(r, "entityRef", text)
	auth, err := a.Authorizer.Entities(r.Context(), httpx.CallerOf(r), entityRefresh)
	if err != nil {
		return err
	}
	if auth.Deny {
		return notAllowed(entityRefresh)
	}
	ref, err := entity.ParseRef(text)
	if err != nil || !db.IsText(text) {
		return apierr.NotFound.New("no entity %q", text)
	}
	if auth.Where != nil {
		if _, err := a.Query.ByRef(r.Context(), ref, auth); errors.Is(err, apierr.NotFound) {
			return notAllowed(entityRefresh)
		} else if err != nil {
			return err
		}
	}
	found, err := a.Engine.Refresh(r.Context(), ref.String())
	if err != nil {
		return err
	}
	if !found {
		return apierr.NotFound.New("no entity %s", ref)
	}
	return httpx.Empty(w, http.StatusOK)
}
