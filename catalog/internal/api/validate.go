package api

import (
	"net/http"
	"net/url"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A problem is one element of the error body that only POST /validate-entity has.
type problem struct {
	Name    string   `json:"name"`
	Message string   `json:"message"`
	Cause   *problem `json:"cause,omitempty"`
}

// Names of problems, which editors show.
const (
	inputProblem = "InputError"
	typeProblem  = "TypeError" // a member is missing, or not what it must be
	ruleProblem  = "Error"     // a member breaks a rule of all entities
)

// validateEntity is POST /validate-entity (contract 1.6.20). What is wrong with the
// request is an ordinary error; what is wrong with the entity, or with where it would
// come from, is a list.
func (a *api) validateEntity(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxEntityBody)
	doc := b.child("entity")
	location := b.text("location", true)
	if b.err == nil {
		b.err = doc.err
	}
	if b.err != nil {
		return b.err
	}
	if err := a.may(r, entityValidate); err != nil {
		return err
	}
	problems, err := a.problems(r, b.members["entity"], location)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return httpx.JSON(w, http.StatusBadRequest, map[string]any{"errors": problems})
	}
	return httpx.Empty(w, http.StatusOK)
}

func (a *api) problems(r *http.Request, doc []byte, location string) ([]problem, error) {
	loc, err := entity.ParseLocation(location)
	if err == nil {
		u, parsed := url.Parse(loc.Target)
		if loc.Type != "url" || parsed != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return []problem{{Name: typeProblem, Message: "location must be url: and a URL, such as url:https://example.com/catalog-info.yaml"}}, nil
		}
	} else {
		return []problem{{Name: typeProblem, Message: err.Error()}}, nil
	}
	e, err := entity.Decode(doc)
	if err != nil {
		return nil, apierr.Input.New("request/body/entity cannot be read: %s", err.Error())
	}
	if e, err = entity.Normalize(e); err != nil {
		return nil, apierr.Input.New("request/body/entity cannot be read: %s", err.Error())
	}
	if missing := a.unnamed(e); missing != nil {
		return []problem{{Name: typeProblem, Message: missing.Error()}}, nil
	}
	err = a.Engine.Validate(r.Context(), e, loc)
	if ended := r.Context().Err(); ended != nil {
		return nil, ended
	}
	var out []problem
	for _, one := range parts(err) {
		out = append(out, a.classify(e, one))
	}
	return out, nil
}

// unnamed says what is missing for an entity to be one at all.
func (a *api) unnamed(e entity.Entity) error {
	if e.APIVersion() != "" && e.Kind() != "" && e.Name() != "" {
		return nil
	}
	return a.Engine.Pipeline.Model.CheckIdentity(e)
}

// classify says which part of the checks an error comes from.
func (a *api) classify(e entity.Entity, err error) problem {
	model := a.Engine.Pipeline.Model
	named := entity.WithDefaultNamespace(e)
	for _, check := range []func(entity.Entity) error{model.CheckIdentity, model.CheckEnvelope, model.CheckRootFields, model.CheckFormats} {
		if check(named) != nil {
			return caused(e.Ref().String()+" breaks a rule of all entities", ruleProblem, err)
		}
	}
	if known, wrong := model.CheckKind(named); known && wrong != nil {
		return caused(e.Ref().String()+" is not a well-formed "+e.Kind(), typeProblem, err)
	}
	return problem{Name: inputProblem, Message: err.Error()}
}

func caused(message, name string, err error) problem {
	return problem{Name: inputProblem, Message: message + ": " + err.Error(), Cause: &problem{Name: name, Message: err.Error()}}
}

// parts takes joined errors apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	if _, list := err.(entity.ValidationErrors); !list {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			return joined.Unwrap()
		}
	}
	return []error{err}
}
