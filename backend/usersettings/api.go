package usersettings

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/usersettings/internal/store"
)

// maxName is how many bytes a bucket and a key may have. Both are part of an index, which
// on PostgreSQL holds 2700 bytes.
const maxName = 512

// maxMultiget bounds the answer to one multiget: one that is asked for the same large
// value again and again would be larger than what the user has.
const maxMultiget = 16 << 20

type api struct {
	store   *store.Store
	limits  Limits
	signals signals
}

// setting is what GET and PUT answer.
type setting struct {
	store.Name

	Value json.RawMessage `json:"value"`
}

func (a *api) get(w http.ResponseWriter, r *http.Request) error {
	user, name, err := address(r)
	if err != nil {
		return err
	}
	value, ok, err := a.store.Get(r.Context(), user, name)
	if err != nil {
		return err
	}
	if !ok {
		return apierr.NotFound.New("no setting %q in bucket %q", name.Key, name.Bucket)
	}
	return httpx.JSON(w, http.StatusOK, setting{name, value})
}

func (a *api) put(w http.ResponseWriter, r *http.Request) error {
	user, name, err := address(r)
	if err != nil {
		return err
	}
	var body struct {
		Value json.RawMessage `json:"value"`
	}
	if err := httpx.DecodeJSON(r, &body, httpx.MaxBytes(a.limits.ValueBytes+envelope), httpx.SyntaxErrors()); err != nil {
		return err
	}
	switch value := body.Value; {
	case value == nil:
		return apierr.Input.New(`required property "value" is missing`)
	case len(value) > a.limits.ValueBytes:
		return apierr.Input.New("the value has %d bytes, %d are allowed (userSettings.limits.valueBytes)", len(value), a.limits.ValueBytes)
	case !db.IsText(string(value)):
		return apierr.Input.New("the value is not UTF-8")
	}
	err = a.store.Put(r.Context(), user, name, body.Value, store.Limits{Settings: a.limits.SettingsPerUser, Bytes: a.limits.BytesPerUser})
	if errors.Is(err, store.ErrFull) {
		return apierr.Input.New("you have too many settings: there may be %d, with %d bytes together (userSettings.limits)", a.limits.SettingsPerUser, a.limits.BytesPerUser)
	}
	if err != nil {
		return err
	}
	a.signals.send(r.Context(), user, keyChanged, name.Key)
	return httpx.JSON(w, http.StatusOK, setting{name, body.Value})
}

// envelope is what a body may have beside the value.
const envelope = 1 << 10

func (a *api) delete(w http.ResponseWriter, r *http.Request) error {
	user, name, err := address(r)
	if err != nil {
		return err
	}
	deleted, err := a.store.Delete(r.Context(), user, name)
	if err != nil {
		return err
	}
	if deleted {
		a.signals.send(r.Context(), user, keyDeleted, name.Key)
	}
	return httpx.Empty(w, http.StatusNoContent)
}

// address returns whose setting is asked for, and which.
func address(r *http.Request) (user string, name store.Name, err error) {
	u, err := httpx.UserOf(r)
	if err != nil {
		return "", name, err
	}
	name = store.Name{Bucket: r.PathValue("bucket"), Key: r.PathValue("key")}
	return u.Ref, name, check(name)
}

func check(n store.Name) error {
	for _, part := range []struct{ what, text string }{{"bucket", n.Bucket}, {"key", n.Key}} {
		switch {
		case part.text == "":
			return apierr.Input.New("the %s is empty", part.what)
		case len(part.text) > maxName:
			return apierr.Input.New("the %s has %d bytes, %d are allowed", part.what, len(part.text), maxName)
		case !db.IsText(part.text):
			return apierr.Input.New("the %s %q is not text", part.what, part.text)
		}
	}
	return nil
}

// item is the answer about one setting of a multiget; null if it is not set.
type item struct {
	Value json.RawMessage `json:"value"`
}

func (a *api) multiget(w http.ResponseWriter, r *http.Request) error {
	user, err := httpx.UserOf(r)
	if err != nil {
		return err
	}
	names, err := a.names(r)
	if err != nil {
		return err
	}
	values, err := a.store.Values(r.Context(), user.Ref, names)
	if err != nil {
		return err
	}
	items, size := make([]*item, len(names)), 0
	for i, n := range names {
		if v, ok := values[n]; ok {
			items[i] = &item{v}
			size += len(v)
		}
	}
	if size > maxMultiget {
		return apierr.Input.New("the answer would have %d bytes, %d are allowed: ask for fewer settings at a time", size, maxMultiget)
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"items": items})
}

// names reads what a multiget asks for.
func (a *api) names(r *http.Request) ([]store.Name, error) {
	var body struct {
		Items *[]struct {
			Bucket *string `json:"bucket"`
			Key    *string `json:"key"`
		} `json:"items"`
	}
	// A name may be written with six bytes for every one of it.
	most := a.limits.MultigetItems*(2*6*maxName+64) + envelope
	if err := httpx.DecodeJSON(r, &body, httpx.MaxBytes(min(most, httpx.DefaultMaxBody)), httpx.SyntaxErrors()); err != nil {
		return nil, err
	}
	if body.Items == nil {
		return nil, httpx.Missing("", "items")
	}
	if n := len(*body.Items); n > a.limits.MultigetItems {
		return nil, apierr.Input.New("request/body/items has %d elements, %d are allowed (userSettings.limits.multigetItems)", n, a.limits.MultigetItems)
	}
	names := make([]store.Name, len(*body.Items))
	for i, n := range *body.Items {
		place := fmt.Sprintf("items/%d", i)
		switch {
		case n.Bucket == nil:
			return nil, httpx.Missing(place, "bucket")
		case n.Key == nil:
			return nil, httpx.Missing(place, "key")
		}
		names[i] = store.Name{Bucket: *n.Bucket, Key: *n.Key}
		if err := check(names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}
