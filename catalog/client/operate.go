package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// What operators ask for: entities that are not served, deleted ones, and removals that
// wait. All but Failed and Pending are Callboard's own; other catalogs answer with an
// apierr.NotFound.

// An Unprocessed entity is not served.
type Unprocessed struct {
	UID         string
	Ref         string
	Entity      entity.Entity // as its source gave it
	Errors      []Problem     // why it is not served; none if it was not processed yet
	LocationKey string        // who holds it; empty: nobody
	Discovered  time.Time     // when its source last gave it
	NextRun     time.Time
}

// Failed lists the entities that were processed with errors and never served, of an
// owner as their spec.owner says it; empty: of all.
func (c *Client) Failed(ctx context.Context, owner string) ([]Unprocessed, error) {
	return c.unprocessed(ctx, "failed", owner)
}

// Pending lists the entities that were not processed yet.
func (c *Client) Pending(ctx context.Context, owner string) ([]Unprocessed, error) {
	return c.unprocessed(ctx, "pending", owner)
}

func (c *Client) unprocessed(ctx context.Context, which, owner string) ([]Unprocessed, error) {
	q := url.Values{}
	if owner != "" {
		q.Set("owner", owner)
	}
	var answer struct {
		Entities []struct {
			UID         string          `json:"entity_id"`
			Ref         string          `json:"entity_ref"`
			Entity      json.RawMessage `json:"unprocessed_entity"`
			Errors      []Problem       `json:"errors"`
			LocationKey *string         `json:"location_key"`
			Discovered  time.Time       `json:"last_discovery_at"`
			NextRun     time.Time       `json:"next_update_at"`
		} `json:"entities"`
	}
	if err := c.call(ctx, http.MethodGet, "/entities/unprocessed/"+which, q, nil, http.StatusOK, &answer); err != nil {
		return nil, err
	}
	out := make([]Unprocessed, len(answer.Entities))
	for i, one := range answer.Entities {
		e, err := entity.Decode(one.Entity)
		if err != nil {
			return nil, fmt.Errorf("catalog: %s entity %s: %w", which, one.Ref, err)
		}
		out[i] = Unprocessed{UID: one.UID, Ref: one.Ref, Entity: e, Errors: one.Errors, Discovered: one.Discovered, NextRun: one.NextRun}
		if one.LocationKey != nil {
			out[i].LocationKey = *one.LocationKey
		}
	}
	return out, nil
}

// RemoveUnprocessed deletes an entity that is not served, by its uid.
func (c *Client) RemoveUnprocessed(ctx context.Context, uid string) error {
	return c.call(ctx, http.MethodDelete, "/entities/unprocessed/delete"+segments(uid), nil, nil, http.StatusNoContent, nil)
}

// A Deleted entity can come back until it expires.
type Deleted struct {
	Ref       string
	UID       string
	DeletedAt time.Time
	ExpiresAt time.Time
	Entity    entity.Entity // as it was served
}

// Trash lists one page of deleted entities that the caller may delete, and that do not
// exist at present, by reference: those after the given one. next is where the page
// after it begins, empty after the last one.
func (c *Client) Trash(ctx context.Context, after string) (page []Deleted, next string, err error) {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	var answer struct {
		Items []struct {
			Ref       string          `json:"entityRef"`
			UID       string          `json:"uid"`
			DeletedAt time.Time       `json:"deletedAt"`
			ExpiresAt time.Time       `json:"expiresAt"`
			Entity    json.RawMessage `json:"entity"`
		} `json:"items"`
		After string `json:"after"`
	}
	if err := c.call(ctx, http.MethodGet, "/callboard/v1/trash", q, nil, http.StatusOK, &answer); err != nil {
		return nil, "", err
	}
	for _, one := range answer.Items {
		e, err := entity.Decode(one.Entity)
		if err != nil {
			return nil, "", fmt.Errorf("catalog: deleted entity %s: %w", one.Ref, err)
		}
		page = append(page, Deleted{one.Ref, one.UID, one.DeletedAt, one.ExpiresAt, e})
	}
	return page, answer.After, nil
}

// Restore brings a deleted entity back; the error is an apierr.NotFound if it is not in
// the trash.
func (c *Client) Restore(ctx context.Context, ref entity.Ref) error {
	return c.call(ctx, http.MethodPost, "/callboard/v1/trash/restore", nil, map[string]string{"entityRef": ref.String()}, http.StatusOK, nil)
}

// A HeldRemoval is a listing of a provider that would remove so much that the catalog
// waits.
type HeldRemoval struct {
	Provider string `json:"provider"`
	// Removed of the provider's Total entities would go.
	Removed int `json:"removed"`
	Total   int `json:"total"`
	// Answers equal listings have come; with the Needed one the catalog believes it.
	Answers     int       `json:"answers"`
	Needed      int       `json:"needed"`
	EntityRefs  []string  `json:"entityRefs"` // the first hundred
	FirstHeldAt time.Time `json:"firstHeldAt"`
	LastHeldAt  time.Time `json:"lastHeldAt"`
}

// HeldRemovals lists the removals that wait.
func (c *Client) HeldRemovals(ctx context.Context) ([]HeldRemoval, error) {
	var answer struct {
		Items []HeldRemoval `json:"items"`
	}
	err := c.call(ctx, http.MethodGet, "/callboard/v1/held-removals", nil, nil, http.StatusOK, &answer)
	return answer.Items, err
}

// ReleaseHeldRemoval lets the removal of a provider happen now, and returns how many
// entities went; the error is an apierr.NotFound if none waits.
func (c *Client) ReleaseHeldRemoval(ctx context.Context, provider string) (removed int, err error) {
	var answer struct {
		Removed int `json:"removed"`
	}
	err = c.call(ctx, http.MethodPost, "/callboard/v1/held-removals/release", nil, map[string]string{"provider": provider}, http.StatusOK, &answer)
	return answer.Removed, err
}
