package permission

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

const (
	metadataPath        = "/.well-known/backstage/permissions/metadata"
	applyConditionsPath = "/.well-known/backstage/permissions/apply-conditions"
)

// wellKnown are the routes of a plugin with permissions (contract permission.md 1.3).
type wellKnown struct {
	own      *Extensions
	maxBytes int
}

func (k *wellKnown) mount(r backend.Router) {
	r.Handle("GET "+metadataPath, k.metadata)
	r.Handle("POST "+applyConditionsPath, k.applyConditions)
}

func (k *wellKnown) metadata(w http.ResponseWriter, r *http.Request) error {
	return httpx.JSON(w, http.StatusOK, k.own.Metadata())
}

// An application is one item of a request to apply conditions.
type application struct {
	id, resourceType string
	refs             []string
	many             bool
	criteria         Criteria
}

// applyConditions answers the permission plugin, which asks on behalf of whoever wants a
// decision on single resources. Users who ask themselves could find out what they may
// not see.
func (k *wellKnown) applyConditions(w http.ResponseWriter, r *http.Request) error {
	if user, ok := httpx.CallerOf(r).User(); ok && user.Actor == nil {
		return apierr.NotAllowed.New("")
	}
	var body struct {
		Items *[]json.RawMessage `json:"items"`
	}
	if err := httpx.DecodeJSON(r, &body, httpx.MaxBytes(k.maxBytes)); err != nil {
		return err
	}
	if body.Items == nil {
		return httpx.Missing("", "items")
	}
	list := make([]application, len(*body.Items))
	var unknown []string
	refs := 0
	for i, raw := range *body.Items {
		var err error
		if list[i], err = readApplication(raw); err != nil {
			return apierr.Input.New("item %d: %v", i, err)
		}
		refs += len(list[i].refs)
		t := list[i].resourceType
		if _, ok := k.own.resource(t); !ok && !slices.Contains(unknown, t) {
			unknown = append(unknown, t)
		}
	}
	if len(unknown) > 0 {
		return apierr.Input.New("unexpected resource types: %s", strings.Join(unknown, ", "))
	}
	if refs > MaxCriteriaNodes {
		return apierr.Input.New("expected at most %d references, got %d", MaxCriteriaNodes, refs)
	}
	results, err := k.apply(r, list)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"items": results})
}

// apply loads the resources of each type once.
func (k *wellKnown) apply(r *http.Request, list []application) ([]any, error) {
	items := map[string][]conditioned{}
	for _, one := range list {
		for _, ref := range one.refs {
			items[one.resourceType] = append(items[one.resourceType], conditioned{ref, one.criteria})
		}
	}
	results := map[string][]bool{}
	for name, some := range items {
		resource, _ := k.own.resource(name)
		if !resource.loads() {
			return nil, apierr.NotImplemented.New("resources of type %s cannot be loaded one by one", name)
		}
		var err error
		if results[name], err = resource.apply(r.Context(), some, nil); err != nil {
			return nil, err
		}
	}
	out := make([]any, len(list))
	for i, one := range list {
		each := results[one.resourceType][:len(one.refs)]
		results[one.resourceType] = results[one.resourceType][len(one.refs):]
		out[i] = wireAnswer(one.id, question{many: one.many}, answer{each: each})
	}
	return out, nil
}

func readApplication(raw json.RawMessage) (a application, err error) {
	var item struct {
		ID           *string         `json:"id"`
		ResourceRef  json.RawMessage `json:"resourceRef"`
		ResourceType string          `json:"resourceType"`
		Conditions   json.RawMessage `json:"conditions"`
	}
	if json.Unmarshal(raw, &item) != nil || item.ID == nil || item.ResourceType == "" || item.ResourceRef == nil || item.Conditions == nil {
		return a, apierr.Input.New("expected an object with id, resourceRef, resourceType and conditions")
	}
	a.id, a.resourceType = *item.ID, item.ResourceType
	if a.refs, a.many, err = readRefs(item.ResourceRef); err != nil {
		return a, err
	}
	return a, a.criteria.UnmarshalJSON(item.Conditions)
}
