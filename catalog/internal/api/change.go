package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
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

// withTokenOfBody makes who asks of the token that old clients send as authorizationToken
// in the body, instead of the header (contract 1.6.11).
func (a *api) withTokenOfBody(next httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil {
			return err
		}
		asking := r
		var sent struct {
			AuthorizationToken string `json:"authorizationToken"`
		}
		if json.Unmarshal(text, &sent) == nil && sent.AuthorizationToken != "" {
			asking = httpx.WithCaller(r, backend.Credentials{})
			asking.Header = r.Header.Clone()
			asking.Header.Set("Authorization", "Bearer "+sent.AuthorizationToken)
		}
		caller, err := a.Authenticate(asking)
		if err != nil {
			return err
		}
		again := httpx.WithCaller(r, caller)
		again.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), r.Body))
		return next(w, again)
	}
}

// refresh is POST /refresh (contract 1.6.11).
func (a *api) refresh(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	text := b.text("entityRef", true)
	b.text("authorizationToken", false) // withTokenOfBody has read it
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
