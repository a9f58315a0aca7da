package api

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
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
	failures, err := a.check(r, b.members["entity"], location)
	if err != nil {
		return err
	}
	if len(failures) > 0 {
		return httpx.JSON(w, http.StatusBadRequest, map[string]any{"errors": failures})
	}
	return httpx.Empty(w, http.StatusOK)
}

func (a *api) check(r *http.Request, doc []byte, location string) ([]ingest.Failure, error) {
	loc, err := entity.ParseLocation(location)
	if err == nil {
		u, parsed := url.Parse(loc.Target)
		if loc.Type != "url" || parsed != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			err = errors.New("location must be url: and a URL, such as url:https://example.com/catalog-info.yaml")
		}
	}
	if err != nil {
		return []ingest.Failure{{Name: "TypeError", Message: err.Error()}}, nil
	}
	e, err := entity.Decode(doc)
	if err != nil {
		return nil, apierr.Input.New("request/body/entity cannot be read: %s", err.Error())
	}
	return a.Engine.Validate(r.Context(), e, loc)
}
