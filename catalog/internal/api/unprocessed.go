package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// unprocessed is an entity that is not served, on the wire.
type unprocessed struct {
	EntityID          string          `json:"entity_id"`
	EntityRef         string          `json:"entity_ref"`
	UnprocessedEntity json.RawMessage `json:"unprocessed_entity"`
	UnprocessedHash   string          `json:"unprocessed_hash"`
	ProcessedEntity   json.RawMessage `json:"processed_entity"` // null: it would be served
	ResultHash        string          `json:"result_hash"`
	Cache             json.RawMessage `json:"cache"`
	Errors            json.RawMessage `json:"errors"`
	NextUpdateAt      time.Time       `json:"next_update_at"`
	LastDiscoveryAt   time.Time       `json:"last_discovery_at"`
	LocationKey       *string         `json:"location_key"`
}

func unprocessedOf(u store.Unprocessed) unprocessed {
	return unprocessed{
		EntityID: u.UID, EntityRef: u.Ref,
		UnprocessedEntity: u.Unprocessed, UnprocessedHash: hex.EncodeToString(u.UnprocessedHash),
		ResultHash: hex.EncodeToString(u.ResultHash), Cache: document(u.Cache, "{}"), Errors: document(u.Errors, "[]"),
		NextUpdateAt: u.NextUpdateAt.Truncate(time.Millisecond), LastDiscoveryAt: u.LastDiscoveryAt.Truncate(time.Millisecond),
		LocationKey: u.LocationKey,
	}
}

func document(doc []byte, otherwise string) json.RawMessage {
	if len(doc) == 0 {
		return json.RawMessage(otherwise)
	}
	return doc
}

// pendingEntities is GET /entities/unprocessed/pending (contract 1.6.21): those that
// were never processed.
func (a *api) pendingEntities(w http.ResponseWriter, r *http.Request) error {
	return a.listUnprocessed(w, r, "pending", a.Store.Pending)
}

// failedEntities is GET /entities/unprocessed/failed: those that were processed with
// errors and never served.
func (a *api) failedEntities(w http.ResponseWriter, r *http.Request) error {
	return a.listUnprocessed(w, r, "failed", a.Store.Failed)
}

func (a *api) listUnprocessed(w http.ResponseWriter, r *http.Request, typ string, list func(context.Context) ([]store.Unprocessed, error)) error {
	q := httpx.Query(r)
	owner := q.String("owner", "")
	limit, offset := optional(q, "limit", 0), q.Int("offset", 0, httpx.Between(0, maxCount))
	if err := q.Err(); err != nil {
		return err
	}
	if err := a.may(r, unprocessedRead); err != nil {
		return err
	}
	rows, err := list(r.Context())
	if err != nil {
		return err
	}
	out := []unprocessed{}
	for _, row := range rows {
		if owner != "" && ownerOf(row.Unprocessed) != owner {
			continue
		}
		if limit != nil && len(out) == *limit {
			break
		}
		if offset > 0 {
			offset--
			continue
		}
		out = append(out, unprocessedOf(row))
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"type": typ, "entities": out})
}

// ownerOf is spec.owner as the source wrote it.
func ownerOf(doc []byte) string {
	e, err := entity.Decode(doc)
	if err != nil {
		return ""
	}
	return e.SpecString("owner")
}

// deleteUnprocessed is DELETE /entities/unprocessed/delete/{entity_id}.
func (a *api) deleteUnprocessed(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	if err := a.may(r, unprocessedDelete); err != nil {
		return err
	}
	uid := r.PathValue("entity_id")
	note(r, "uid", uid)
	if !db.IsText(uid) {
		return apierr.NotFound.New("no entity with uid %q", uid)
	}
	ref, err := a.Engine.Delete(r.Context(), uid)
	if err != nil {
		return err
	}
	if ref != "" {
		note(r, "entityRef", ref)
		a.Log.InfoContext(r.Context(), "an unprocessed entity was deleted by request", "entity", ref, "uid", uid, "by", httpx.CallerOf(r).String())
	}
	return httpx.Empty(w, http.StatusNoContent)
}
