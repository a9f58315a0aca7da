package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// What follows is not upstream's; it is described in docs/catalog-api.md.

// trashed is a deleted entity on the wire.
type trashed struct {
	EntityRef string          `json:"entityRef"`
	UID       string          `json:"uid"`
	DeletedAt time.Time       `json:"deletedAt"`
	ExpiresAt time.Time       `json:"expiresAt"`
	Entity    json.RawMessage `json:"entity"`
}

// maxTrash bounds a page of the trash.
const maxTrash = 1000

// trash is GET /callboard/v1/trash: the deleted entities that the caller could delete
// again, and that do not exist at present.
func (a *api) trash(w http.ResponseWriter, r *http.Request) error {
	q := httpx.Query(r)
	limit, after := q.Int("limit", 100, httpx.Between(1, maxTrash)), q.String("after", "")
	if err := q.Err(); err != nil {
		return err
	}
	auth, err := a.Authorizer.Entities(r.Context(), httpx.CallerOf(r), entityDelete)
	if err != nil {
		return err
	}
	if auth.Deny {
		return notAllowed(entityDelete)
	}
	if !db.IsText(after) {
		return apierr.Input.New("after: must be an entity reference")
	}
	rows, err := a.Store.Trash(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	answer := struct {
		Items []trashed `json:"items"`
		After string    `json:"after,omitempty"` // for the next page
	}{Items: []trashed{}}
	if len(rows) > limit {
		rows = rows[:limit]
		answer.After = rows[limit-1].Ref
	}
	for _, row := range rows {
		holds, err := holdsFor(auth, row.Entity)
		if err != nil {
			return err
		}
		if expires := row.DeletedAt.Add(ingest.TrashKept); holds && time.Now().Before(expires) {
			answer.Items = append(answer.Items, trashed{row.Ref, row.UID, row.DeletedAt.UTC(), expires.UTC(), row.Entity})
		}
	}
	return httpx.JSON(w, http.StatusOK, answer)
}

// holdsFor evaluates a conditional decision on an entity that is not served any more.
func holdsFor(auth query.Auth, doc []byte) (bool, error) {
	if auth.Where == nil {
		return !auth.Deny, nil
	}
	e, err := entity.Decode(doc)
	if err != nil {
		return false, err
	}
	lower := auth.Where.Lower()
	return lower.Match(entity.Flatten(e, relationsIn(e))), nil
}

// relationsIn are those that a served entity carries.
func relationsIn(e entity.Entity) []entity.Relation {
	list, _ := e["relations"].([]any)
	out := make([]entity.Relation, 0, len(list))
	for _, item := range list {
		if r, ok := item.(map[string]any); ok {
			typ, _ := r["type"].(string)
			target, _ := r["targetRef"].(string)
			out = append(out, entity.Relation{Source: e.Ref().String(), Type: typ, Target: target})
		}
	}
	return out
}

// restore is POST /callboard/v1/trash/restore: a deleted entity comes back.
func (a *api) restore(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	text := b.text("entityRef", true)
	b.closed()
	if b.err != nil {
		return b.err
	}
	note(r, "entityRef", text)
	auth, err := a.Authorizer.Entities(r.Context(), httpx.CallerOf(r), entityDelete)
	if err != nil {
		return err
	}
	if auth.Deny {
		return notAllowed(entityDelete)
	}
	ref, err := entity.ParseRef(text)
	if err != nil || !db.IsText(text) {
		return apierr.NotFound.New("no entity %q was deleted", text)
	}
	if auth.Where != nil {
		row, err := a.Store.Trashed(r.Context(), ref.String())
		if errors.Is(err, db.ErrNoRows) {
			return notAllowed(entityDelete) // as for a uid that nobody has
		}
		if err != nil {
			return err
		}
		holds, err := holdsFor(auth, row.Entity)
		if err != nil {
			return err
		}
		if !holds {
			return notAllowed(entityDelete)
		}
	}
	uid, err := a.Engine.Undelete(r.Context(), ref.String())
	if err != nil {
		return err
	}
	a.Log.InfoContext(r.Context(), "a deleted entity was restored by request", "entity", ref.String(), "uid", uid, "by", httpx.CallerOf(r).String())
	return httpx.JSON(w, http.StatusOK, map[string]string{"entityRef": ref.String(), "uid": uid})
}

// heldRemoval is a shrink of a provider's set that waits, on the wire.
type heldRemoval struct {
	Provider string `json:"provider"`
	// Removed of Total entities would go.
	Removed int `json:"removed"`
	Total   int `json:"total"`
	// Answers equal listings came so far; the removal happens with the Needed one.
	Answers     int       `json:"answers"`
	Needed      int       `json:"needed"`
	EntityRefs  []string  `json:"entityRefs"` // the first hundred
	FirstHeldAt time.Time `json:"firstHeldAt"`
	LastHeldAt  time.Time `json:"lastHeldAt"`
}

// heldRefs is how many references of a held removal are listed.
const heldRefs = 100

// heldRemovals is GET /callboard/v1/held-removals.
func (a *api) heldRemovals(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	if err := a.may(r, ingestionRead); err != nil {
		return err
	}
	rows, err := a.Store.HeldRemovals(r.Context())
	if err != nil {
		return err
	}
	items := make([]heldRemoval, len(rows))
	for i, row := range rows {
		items[i] = heldRemoval{Provider: row.Provider, Removed: row.Removed, Total: row.Total, Answers: row.Times, Needed: ingest.Confirmations,
			FirstHeldAt: row.FirstAt.UTC(), LastHeldAt: row.LastAt.UTC()}
		if err := json.Unmarshal(row.Refs, &items[i].EntityRefs); err != nil {
			return err
		}
		items[i].EntityRefs = items[i].EntityRefs[:min(heldRefs, len(items[i].EntityRefs))]
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"items": items})
}

// releaseHeldRemoval is POST /callboard/v1/held-removals/release: what waits happens now.
func (a *api) releaseHeldRemoval(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	provider := b.text("provider", true)
	b.closed()
	if b.err != nil {
		return b.err
	}
	note(r, "provider", provider)
	if err := a.may(r, ingestionManage); err != nil {
		return err
	}
	removed, err := a.Engine.ReleaseHeld(r.Context(), provider)
	if err != nil {
		return err
	}
	note(r, "removed", removed)
	a.Log.InfoContext(r.Context(), "a held removal was released by request", "provider", provider, "removed", removed, "by", httpx.CallerOf(r).String())
	return httpx.JSON(w, http.StatusOK, map[string]any{"provider": provider, "removed": removed})
}
