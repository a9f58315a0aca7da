package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
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

// FindLocations yields the registered locations that a predicate over id, type, target
// and entityRef selects, by id; nil selects all.
func (c *Client) FindLocations(ctx context.Context, query Predicate) iter.Seq2[Location, error] {
	return func(yield func(Location, error) bool) {
		body := map[string]any{"limit": 500}
		if query != nil {
			body["query"] = query
		}
		for {
			var answer struct {
				Items    []Location `json:"items"`
				PageInfo struct {
					Next string `json:"nextCursor"`
				} `json:"pageInfo"`
			}
			if err := c.call(ctx, http.MethodPost, "/locations/by-query", nil, body, http.StatusOK, &answer); err != nil {
				yield(Location{}, err)
				return
			}
			for _, loc := range answer.Items {
				if !yield(loc, nil) {
					return
				}
			}
			if answer.PageInfo.Next == "" {
				return
			}
			body = map[string]any{"cursor": answer.PageInfo.Next}
		}
	}
}

// An Analysis says what a repository has, or, if it has nothing, what it could have.
type Analysis struct {
	Existing  []Existing
	Proposals []Proposal
}

// An Existing entity is in a descriptor file of the repository.
type Existing struct {
	Location   entity.Location // the file
	Registered bool            // the file is a registered location
	Entity     entity.Entity
}

// A Proposal is an entity that the repository could have.
type Proposal struct {
	Entity entity.Entity
	Fields []FieldHint
}

// A FieldHint says where the value of a field comes from.
type FieldHint struct {
	Field       string  `json:"field"`
	State       string  `json:"state"` // analysisSuggestedValue, analysisSuggestedNoValue or needsUserInput
	Value       *string `json:"value"`
	Description string  `json:"description"`
}

// Analyze says what the repository at loc has. filename is what descriptors are called;
// empty: catalog-info.yaml.
func (c *Client) Analyze(ctx context.Context, loc entity.Location, filename string) (Analysis, error) {
	body := map[string]any{"location": loc}
	if filename != "" {
		body["catalogFilename"] = filename
	}
	var answer struct {
		Existing []struct {
			Location   entity.Location `json:"location"`
			Registered bool            `json:"isRegistered"`
			Entity     json.RawMessage `json:"entity"`
		} `json:"existingEntityFiles"`
		Generated []struct {
			Entity json.RawMessage `json:"entity"`
			Fields []FieldHint     `json:"fields"`
		} `json:"generateEntities"`
	}
	if err := c.call(ctx, http.MethodPost, "/analyze-location", nil, body, http.StatusOK, &answer); err != nil {
		return Analysis{}, err
	}
	var out Analysis
	for _, one := range answer.Existing {
		e, err := entity.Decode(one.Entity)
		if err != nil {
			return Analysis{}, fmt.Errorf("catalog: analysis of %s: %w", loc, err)
		}
		out.Existing = append(out.Existing, Existing{one.Location, one.Registered, e})
	}
	for _, one := range answer.Generated {
		e, err := entity.Decode(one.Entity)
		if err != nil {
			return Analysis{}, fmt.Errorf("catalog: analysis of %s: %w", loc, err)
		}
		out.Proposals = append(out.Proposals, Proposal{e, one.Fields})
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
