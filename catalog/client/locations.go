package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Location is one that a user registered.
type Location struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Target string `json:"target"`
	// EntityRef is the reference of its Location entity.
	EntityRef string `json:"entityRef"`
}

func orError(resp *http.Response, want int, path string) error {
	if resp.StatusCode == want {
		return nil
	}
	return fmt.Errorf("catalog: %s: %w", path, apierr.FromResponse(resp))
}

type createAnswer struct {
	Exists   bool              `json:"exists"`
	Location Location          `json:"location"`
	Entities []json.RawMessage `json:"entities"`
}

// AddLocation registers a location. One that is registered already is an
// apierr.Conflict.
func (c *Client) AddLocation(ctx context.Context, loc entity.Location) (Location, error) {
	var answer createAnswer
	err := c.call(ctx, http.MethodPost, "/locations", nil, loc, http.StatusCreated, &answer)
	return answer.Location, err
}

// EnsureLocation registers a location, or refreshes it if it is registered already.
func (c *Client) EnsureLocation(ctx context.Context, loc entity.Location) (Location, error) {
	var answer createAnswer
	err := c.call(ctx, http.MethodPost, "/locations", url.Values{"onConflict": {"refresh"}}, loc, http.StatusCreated, &answer)
	return answer.Location, err
}

// A Preview is what registering a location would lead to.
type Preview struct {
	Exists   bool            // the location is registered already
	Entities []entity.Entity // the Location first
}

// PreviewLocation processes a location without registering it. Whatever is wrong with
// what it leads to is an apierr.Input.
func (c *Client) PreviewLocation(ctx context.Context, loc entity.Location) (Preview, error) {
	var answer createAnswer
	if err := c.call(ctx, http.MethodPost, "/locations", url.Values{"dryRun": {"true"}}, loc, http.StatusCreated, &answer); err != nil {
		return Preview{}, err
	}
	entities, err := decodeAll(answer.Entities)
	return Preview{answer.Exists, entities}, err
}

// Locations returns all registered locations.
func (c *Client) Locations(ctx context.Context) ([]Location, error) {
	var answer []struct {
		Data Location `json:"data"`
	}
	if err := c.call(ctx, http.MethodGet, "/locations", nil, nil, http.StatusOK, &answer); err != nil {
		return nil, err
	}
	out := make([]Location, len(answer))
	for i, one := range answer {
		out[i] = one.Data
	}
	return out, nil
}

// Location returns the location with an id; the error is an apierr.NotFound if there is
// none.
func (c *Client) Location(ctx context.Context, id string) (out Location, err error) {
	err = c.call(ctx, http.MethodGet, "/locations"+segments(id), nil, nil, http.StatusOK, &out)
	return out, err
}

// LocationOf returns the registered location that an entity comes from; the error is an
// apierr.NotFound if it comes from elsewhere.
func (c *Client) LocationOf(ctx context.Context, ref entity.Ref) (out Location, err error) {
	ref = ref.Lower()
	err = c.call(ctx, http.MethodGet, "/locations/by-entity"+segments(ref.Kind, ref.Namespace, ref.Name), nil, nil, http.StatusOK, &out)
	return out, err
}

// UpdateLocation gives a registered location another type and target. Its id and its
// entity stay.
func (c *Client) UpdateLocation(ctx context.Context, id string, loc entity.Location) (out Location, err error) {
	err = c.call(ctx, http.MethodPut, "/locations"+segments(id), nil, loc, http.StatusOK, &out)
	return out, err
}

// RemoveLocation deletes a registered location, and what only it leads to.
func (c *Client) RemoveLocation(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/locations"+segments(id), nil, nil, http.StatusNoContent, nil)
}
