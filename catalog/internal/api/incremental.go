package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// The routes below /incremental (contract 1.6.23) show and steer providers that are
// listed in bursts. Their answers say success, also those with an error.

// steered is the provider in the path, if the caller has the permission; what to answer
// otherwise is written already.
func (a *api) steered(w http.ResponseWriter, r *http.Request, p Permission, missing map[string]any) (*ingest.Incremental, error) {
	if err := plain(r); err != nil {
		return nil, err
	}
	if err := a.may(r, p); err != nil {
		return nil, err
	}
	note(r, "provider", r.PathValue("provider"))
	i, err := a.Engine.IncrementalOf(r.PathValue("provider"))
	if errors.Is(err, apierr.NotFound) {
		missing["success"] = false
		return nil, httpx.JSON(w, http.StatusNotFound, missing)
	}
	return i, err
}

// incrementalHealth is GET /incremental/health. A provider has one ingestion, by the key of
// the table, so that there are no duplicates.
func (a *api) incrementalHealth(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	if err := a.may(r, ingestionRead); err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"healthy": true})
}

func purged(p ingest.Purged) map[string]any {
	return map[string]any{"ingestionsDeleted": p.Ingestions, "ingestionMarksDeleted": p.Marks, "markEntitiesDeleted": p.Seen}
}

// cleanIncremental is POST /incremental/cleanup: what is kept of providers that are not
// installed goes.
func (a *api) cleanIncremental(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	if err := a.may(r, ingestionManage); err != nil {
		return err
	}
	gone, err := a.Engine.CleanIngestions(r.Context())
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, purged(gone))
}

// incrementalProviders is GET /incremental/providers.
func (a *api) incrementalProviders(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	if err := a.may(r, ingestionRead); err != nil {
		return err
	}
	names := a.Engine.Incrementals()
	if names == nil {
		names = []string{}
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"success": true, "providers": names})
}

// incrementalProvider is GET /incremental/providers/{provider}.
func (a *api) incrementalProvider(w http.ResponseWriter, r *http.Request) error {
	i, err := a.steered(w, r, ingestionRead, map[string]any{"status": map[string]any{}, "last_error": ""})
	if i == nil {
		return err
	}
	at, err := i.Status(r.Context())
	if err != nil {
		return err
	}
	status := map[string]any{}
	if at.State != "" {
		status["current_action"], status["next_action_at"] = at.State, at.NextActionAt.UTC()
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"success": true, "status": status, "last_error": at.LastError})
}

// steer answers what a change of an ingestion came to.
func (a *api) steer(w http.ResponseWriter, r *http.Request, message string, do func(*ingest.Incremental) error) error {
	i, err := a.steered(w, r, ingestionManage, map[string]any{"message": "no provider of this name is listed in bursts"})
	if i == nil {
		return err
	}
	if err := do(i); err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"success": true, "message": message})
}

// triggerIncremental is POST /incremental/providers/{provider}/trigger.
func (a *api) triggerIncremental(w http.ResponseWriter, r *http.Request) error {
	return a.steer(w, r, "the next action is due now", func(i *ingest.Incremental) error { return i.Trigger(r.Context()) })
}

// startIncremental is POST /incremental/providers/{provider}/start.
func (a *api) startIncremental(w http.ResponseWriter, r *http.Request) error {
	return a.steer(w, r, "a new round begins", func(i *ingest.Incremental) error { return i.Start(r.Context()) })
}

// cancelIncremental is POST /incremental/providers/{provider}/cancel.
func (a *api) cancelIncremental(w http.ResponseWriter, r *http.Request) error {
	return a.steer(w, r, "the round is given up", func(i *ingest.Incremental) error { return i.Cancel(r.Context()) })
}

// purgeIncremental is DELETE /incremental/providers/{provider}.
func (a *api) purgeIncremental(w http.ResponseWriter, r *http.Request) error {
	i, err := a.steered(w, r, ingestionManage, map[string]any{"message": "no provider of this name is listed in bursts"})
	if i == nil {
		return err
	}
	gone, err := a.Engine.PurgeIngestion(r.Context(), r.PathValue("provider"))
	if err != nil {
		return err
	}
	answer := purged(gone)
	answer["provider"] = r.PathValue("provider")
	return httpx.JSON(w, http.StatusOK, answer)
}

// mark is a page of the present round, on the wire.
type mark struct {
	Round     int64           `json:"round"`
	Sequence  int64           `json:"sequence"`
	Cursor    json.RawMessage `json:"cursor"`
	Entities  int             `json:"entities"`
	CreatedAt time.Time       `json:"created_at"`
}

// incrementalMarks is GET /incremental/providers/{provider}/marks.
func (a *api) incrementalMarks(w http.ResponseWriter, r *http.Request) error {
	i, err := a.steered(w, r, ingestionRead, map[string]any{"records": []mark{}})
	if i == nil {
		return err
	}
	rows, err := i.Marks(r.Context())
	if err != nil {
		return err
	}
	records := make([]mark, len(rows))
	for n, m := range rows {
		records[n] = mark{m.Round, m.Sequence, document(m.Cursor, "null"), m.Entities, m.CreatedAt.UTC()}
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"success": true, "records": records})
}

// dropIncrementalMarks is DELETE /incremental/providers/{provider}/marks.
func (a *api) dropIncrementalMarks(w http.ResponseWriter, r *http.Request) error {
	i, err := a.steered(w, r, ingestionManage, map[string]any{"message": "no provider of this name is listed in bursts"})
	if i == nil {
		return err
	}
	n, err := i.DropMarks(r.Context())
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"success": true, "message": "the marks are deleted", "deletions": n})
}
