package catalog

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// modelText is what get-catalog-model-description answers.
//
//go:embed model.md
var modelText string

type actionParams struct {
	fx.In

	Actions *backend.Actions
	Clients backend.Clients
	Catalog *catalog
}

// offer registers the actions of contract catalog.md, 1.10. They go through the API as
// whoever invokes them, and do what that caller may.
func offer(p actionParams) {
	a := &actions{p.Clients, p.Catalog.p.Config.Limits.entityLimits()}
	no := false
	p.Actions.Register(
		backend.NewAction(backend.ActionOptions{
			Name: "get-catalog-model-description", Title: "Describe the model of the catalog", ReadOnly: true, Idempotent: true,
			Description: "Describes which kinds of entities the catalog has, what their fields mean, how they relate, and how they are queried. Read it before you write a query or an entity.",
		}, told(a.model)),
		backend.NewAction(backend.ActionOptions{
			Name: "get-catalog-entity", Title: "Get an entity", ReadOnly: true, Idempotent: true,
			Description: "Returns one entity of the catalog by its name. Give kind and namespace, too, when several entities have the name.",
		}, told(a.get)),
		backend.NewAction(backend.ActionOptions{
			Name: "query-catalog-entities", Title: "Query entities", ReadOnly: true, Idempotent: true, Input: json.RawMessage(querySchema),
			Description: "Returns a page of the entities that a query selects, such as {\"kind\": \"Component\", \"spec.type\": \"service\"}. Name the fields that you need, because whole entities are large.",
		}, told(a.query)),
		backend.NewAction(backend.ActionOptions{
			Name: "refresh-catalog-entity", Title: "Refresh an entity", Destructive: &no, Idempotent: true,
			Description: "Makes the catalog read an entity from its source again soon, instead of waiting for the next regular time.",
		}, told(a.refresh)),
		backend.NewAction(backend.ActionOptions{
			Name: "register-entity", Title: "Register a location", Destructive: &no,
			Description: "Registers the URL of a descriptor file, such as a catalog-info.yaml, whose entities then become part of the catalog.",
		}, told(a.register)),
		backend.NewAction(backend.ActionOptions{
			Name: "unregister-entity", Title: "Unregister a location", Idempotent: true,
			Description: "Removes a registered location, by its id or its URL, and with it the entities that only it leads to.",
		}, told(a.unregister)),
		backend.NewAction(backend.ActionOptions{
			Name: "validate-entity", Title: "Validate an entity", ReadOnly: true, Idempotent: true,
			Description: "Says whether the catalog would take an entity that is given as YAML, and what is wrong with it if not.",
		}, told(a.validate)),
	)
}

type actions struct {
	clients backend.Clients
	limits  entity.Limits
}

// told is run, whose errors are those of the API itself: that the action has asked it over
// HTTP is nobody's business.
func told[In, Out any](run func(context.Context, backend.ActionCall[In]) (Out, error)) func(context.Context, backend.ActionCall[In]) (Out, error) {
	return func(ctx context.Context, call backend.ActionCall[In]) (Out, error) {
		out, err := run(ctx, call)
		var answer *apierr.Error
		if errors.As(err, &answer) {
			if inner := answer.Unwrap(); inner != nil {
				if _, ok := apierr.KindOf(inner); ok {
					err = inner
				}
			}
		}
		return out, err
	}
}

// as returns a client that acts as the caller of an action.
func (a *actions) as(ctx context.Context, c backend.Credentials) (*client.Client, error) {
	hc, base, err := a.clients.Client(ctx, c, "catalog")
	if err != nil {
		return nil, err
	}
	return client.At(base, hc), nil
}

type modelOutput struct {
	Description string `json:"description" doc:"the model, as Markdown"`
}

func (a *actions) model(context.Context, backend.ActionCall[struct{}]) (modelOutput, error) {
	return modelOutput{modelText}, nil
}

type entityInput struct {
	Kind      string `json:"kind,omitempty" doc:"the kind, such as Component; any if absent"`
	Namespace string `json:"namespace,omitempty" doc:"the namespace; any if absent"`
	Name      string `json:"name" doc:"the name"`
}

func (a *actions) get(ctx context.Context, call backend.ActionCall[entityInput]) (backend.OpenObject, error) {
	c, err := a.as(ctx, call.Credentials)
	if err != nil {
		return nil, err
	}
	e, err := only(ctx, c, call.Input)
	return backend.OpenObject(e), err
}

// only finds the one entity that is meant.
func only(ctx context.Context, c *client.Client, in entityInput) (entity.Entity, error) {
	query := client.Predicate{"metadata.name": in.Name}
	what := "the name " + in.Name
	if in.Kind != "" {
		query["kind"] = in.Kind
		what += ", kind " + in.Kind
	}
	if in.Namespace != "" {
		query["metadata.namespace"] = in.Namespace
		what += ", namespace " + in.Namespace
	}
	page, err := c.Query(ctx, client.QueryRequest{Query: query, Limit: 10})
	switch {
	case err != nil:
		return nil, err
	case len(page.Items) == 0:
		return nil, apierr.Input.New("no entity has %s", what)
	case len(page.Items) > 1:
		var refs []string
		for _, e := range page.Items {
			refs = append(refs, e.Ref().String())
		}
		return nil, apierr.Input.New("%d entities have %s; say which kind and namespace: %s", page.Total, what, strings.Join(refs, ", "))
	}
	return page.Items[0], nil
}

type queryInput struct {
	Query          json.RawMessage  `json:"query"`
	Fields         []string         `json:"fields"`
	Limit          int              `json:"limit"`
	Offset         int              `json:"offset"`
	OrderFields    orderFields      `json:"orderFields"`
	FullTextFilter *client.FullText `json:"fullTextFilter"`
	Cursor         string           `json:"cursor"`
}

// orderFields is one order, or a list of them.
type orderFields []client.Order

// UnmarshalJSON implements json.Unmarshaler.
func (o *orderFields) UnmarshalJSON(text []byte) error {
	type one struct{ Field, Order string }
	var list []one
	if json.Unmarshal(text, &list) != nil {
		list = make([]one, 1)
		if err := json.Unmarshal(text, &list[0]); err != nil {
			return err
		}
	}
	for _, l := range list {
		*o = append(*o, client.Order{Field: l.Field, Desc: l.Order == "desc"})
	}
	return nil
}

type queryOutput struct {
	Items           []backend.OpenObject `json:"items" doc:"the entities of this page"`
	TotalItems      float64              `json:"totalItems" doc:"how many entities the query selects"`
	HasMoreEntities bool                 `json:"hasMoreEntities" doc:"whether there are more pages"`
	NextPageCursor  string               `json:"nextPageCursor,omitempty" doc:"what to give as cursor for the next page"`
}

func (a *actions) query(ctx context.Context, call backend.ActionCall[queryInput]) (queryOutput, error) {
	in := call.Input
	r := client.QueryRequest{OrderBy: in.OrderFields, Text: in.FullTextFilter, Fields: in.Fields, Limit: in.Limit, Offset: in.Offset, Cursor: in.Cursor}
	if len(in.Query) > 0 {
		if err := json.Unmarshal(in.Query, &r.Query); err != nil {
			return queryOutput{}, apierr.Input.New("query is a value and not an object of paths and conditions")
		}
	}
	c, err := a.as(ctx, call.Credentials)
	if err != nil {
		return queryOutput{}, err
	}
	page, err := c.Query(ctx, r)
	if err != nil {
		return queryOutput{}, err
	}
	out := queryOutput{Items: []backend.OpenObject{}, TotalItems: float64(page.Total), HasMoreEntities: page.Next != "", NextPageCursor: page.Next}
	for _, e := range page.Items {
		out.Items = append(out.Items, backend.OpenObject(e))
	}
	return out, nil
}

type refreshInput struct {
	Kind      string `json:"kind,omitempty" doc:"the kind, such as Component; any if absent" minLength:"1"`
	Namespace string `json:"namespace,omitempty" doc:"the namespace; any if absent" minLength:"1"`
	Name      string `json:"name" doc:"the name" minLength:"1"`
}

type refreshOutput struct {
	EntityRef string `json:"entityRef" doc:"the reference of the entity that is read again"`
}

func (a *actions) refresh(ctx context.Context, call backend.ActionCall[refreshInput]) (refreshOutput, error) {
	c, err := a.as(ctx, call.Credentials)
	if err != nil {
		return refreshOutput{}, err
	}
	e, err := only(ctx, c, entityInput(call.Input))
	if err != nil {
		return refreshOutput{}, err
	}
	return refreshOutput{e.Ref().String()}, c.Refresh(ctx, e.Ref())
}

type registerInput struct {
	LocationURL string `json:"locationUrl" doc:"the URL of a descriptor file"`
}

type registerOutput struct {
	LocationID string `json:"locationId" doc:"the id of the registered location"`
}

func (a *actions) register(ctx context.Context, call backend.ActionCall[registerInput]) (registerOutput, error) {
	loc, err := urlLocation(call.Input.LocationURL)
	if err != nil {
		return registerOutput{}, err
	}
	c, err := a.as(ctx, call.Credentials)
	if err != nil {
		return registerOutput{}, err
	}
	made, err := c.AddLocation(ctx, loc)
	return registerOutput{made.ID}, err
}

func urlLocation(text string) (entity.Location, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return entity.Location{}, apierr.Input.New("%q is not an http or https URL", text)
	}
	return entity.Location{Type: "url", Target: text}, nil
}

type unregisterInput struct {
	Type unregistered `json:"type" doc:"which location, by its id or by its URL"`
}

// unregistered has one of the two.
type unregistered struct {
	LocationID  string `json:"locationId"`
	LocationURL string `json:"locationUrl"`
}

// JSONSchema implements the interface that schemas are made by.
func (unregistered) JSONSchema() json.RawMessage {
	return json.RawMessage(`{"anyOf":[
		{"type":"object","properties":{"locationId":{"type":"string","description":"the id of the location"}},"required":["locationId"],"additionalProperties":false},
		{"type":"object","properties":{"locationUrl":{"type":"string","description":"the URL that was registered"}},"required":["locationUrl"],"additionalProperties":false}]}`)
}

func (a *actions) unregister(ctx context.Context, call backend.ActionCall[unregisterInput]) (struct{}, error) {
	c, err := a.as(ctx, call.Credentials)
	if err != nil {
		return struct{}{}, err
	}
	which := call.Input.Type
	if which.LocationID != "" {
		return struct{}{}, c.RemoveLocation(ctx, which.LocationID)
	}
	all, err := c.Locations(ctx)
	if err != nil {
		return struct{}{}, err
	}
	for _, l := range all {
		if l.Type == "url" && l.Target == which.LocationURL {
			return struct{}{}, c.RemoveLocation(ctx, l.ID)
		}
	}
	return struct{}{}, apierr.NotFound.New("no location is registered with the URL %q", which.LocationURL)
}

type validateInput struct {
	Entity   string `json:"entity" doc:"the entity as YAML"`
	Location string `json:"location,omitempty" doc:"the URL that the entity would be read from; some URL if absent" format:"uri"`
}

type validateOutput struct {
	IsValid     bool           `json:"isValid" doc:"whether the catalog would take the entity"`
	IsValidYAML bool           `json:"isValidYaml" doc:"whether the text is YAML at all"`
	Errors      []string       `json:"errors" doc:"what is wrong"`
	Entity      map[string]any `json:"entity,omitempty" doc:"the entity as it was read, if it is valid"`
}

// someLocation is where an entity is taken to come from that says nothing of it.
const someLocation = "https://example.com/catalog-info.yaml"

func (a *actions) validate(ctx context.Context, call backend.ActionCall[validateInput]) (validateOutput, error) {
	if call.Input.Location == "" {
		call.Input.Location = someLocation
	}
	from, err := urlLocation(call.Input.Location)
	if err != nil {
		return validateOutput{}, err
	}
	var found []entity.Entity
	for doc, err := range entity.ParseDocuments("entity.yaml", []byte(call.Input.Entity), a.limits) {
		if err != nil {
			return validateOutput{Errors: []string{err.Error()}}, nil
		}
		found = append(found, doc.Entity)
	}
	if len(found) != 1 {
		return validateOutput{IsValidYAML: true, Errors: []string{fmt.Sprintf("expected one entity, found %d", len(found))}}, nil
	}
	c, err := a.as(ctx, call.Credentials)
	if err != nil {
		return validateOutput{}, err
	}
	err = c.Validate(ctx, found[0], from)
	out := validateOutput{IsValid: err == nil, IsValidYAML: true, Errors: []string{}}
	var invalid *client.InvalidError
	switch {
	case err == nil:
		out.Entity = found[0]
	case errors.As(err, &invalid):
		for _, p := range invalid.Problems {
			out.Errors = append(out.Errors, p.Message)
		}
	case apierr.StatusOf(err) == http.StatusBadRequest: // it cannot even be asked about
		out.Errors = append(out.Errors, err.Error())
	default:
		return validateOutput{}, err
	}
	return out, nil
}

// querySchema is the input of query-catalog-entities: the predicates of contract
// catalog.md, 1.3.
const querySchema = `{
	"$schema": "http://json-schema.org/draft-07/schema#",
	"type": "object",
	"additionalProperties": false,
	"properties": {
		"query": {
			"description": "which entities: an object of paths and conditions, or $all, $any or $not of such; all if absent",
			"anyOf": [
				{"anyOf": [
					{
						"type": "object",
						"propertyNames": {"pattern": "^(?:[^$\\n\\r].*)?$"},
						"additionalProperties": {"anyOf": [
							{"type": ["string", "number", "boolean"]},
							{"type": "object", "properties": {"$exists": {"type": "boolean"}}, "required": ["$exists"], "additionalProperties": false},
							{"type": "object", "properties": {"$in": {"type": "array", "items": {"$ref": "#/properties/query/anyOf/0/anyOf/0/additionalProperties/anyOf/0"}}}, "required": ["$in"], "additionalProperties": false},
							{"type": "object", "properties": {"$contains": {"$ref": "#/properties/query"}}, "required": ["$contains"], "additionalProperties": false},
							{"type": "object", "properties": {"$hasPrefix": {"type": "string"}}, "required": ["$hasPrefix"], "additionalProperties": false}
						]}
					},
					{"type": "object", "propertyNames": {"pattern": "^\\$"}, "additionalProperties": {"not": {}}}
				]},
				{"$ref": "#/properties/query/anyOf/0/anyOf/0/additionalProperties/anyOf/0"},
				{"type": "object", "properties": {"$all": {"type": "array", "items": {"$ref": "#/properties/query"}}}, "required": ["$all"], "additionalProperties": false},
				{"type": "object", "properties": {"$any": {"type": "array", "items": {"$ref": "#/properties/query"}}}, "required": ["$any"], "additionalProperties": false},
				{"type": "object", "properties": {"$not": {"$ref": "#/properties/query"}}, "required": ["$not"], "additionalProperties": false}
			]
		},
		"fields": {"description": "the paths to return, such as metadata.name; all if absent", "type": "array", "items": {"type": "string"}},
		"limit": {"description": "how many entities a page has at most", "type": "integer", "exclusiveMinimum": 0},
		"offset": {"description": "how many entities to skip", "type": "integer", "minimum": 0},
		"orderFields": {
			"description": "what to order by; entities without the field are left out",
			"anyOf": [
				{"type": "object", "properties": {"field": {"type": "string", "description": "a path, such as metadata.name"}, "order": {"type": "string", "enum": ["asc", "desc"], "description": "the direction"}}, "required": ["field", "order"], "additionalProperties": false},
				{"type": "array", "items": {"type": "object", "properties": {"field": {"type": "string", "description": "a path, such as metadata.name"}, "order": {"type": "string", "enum": ["asc", "desc"], "description": "the direction"}}, "required": ["field", "order"], "additionalProperties": false}}
			]
		},
		"fullTextFilter": {
			"description": "a text that the entities contain",
			"type": "object",
			"properties": {
				"term": {"description": "the text", "type": "string"},
				"fields": {"description": "the paths that are searched", "type": "array", "items": {"type": "string"}}
			},
			"required": ["term"],
			"additionalProperties": false
		},
		"cursor": {"description": "nextPageCursor of the page before; then only limit and fields count besides", "type": "string"}
	}
}`
