package permission

import (
	"encoding/json"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// maxItems bounds a batch (contract permission.md 1.2). References in arrays count one by
// one: each is an entity to look at.
const maxItems = 2000

// wireItem is one question of POST /authorize.
type wireItem struct {
	ID          string     `json:"id"`
	Permission  Permission `json:"permission"`
	ResourceRef any        `json:"resourceRef,omitempty"` // a text, or an array of them
}

// authorize is POST /authorize.
func (p *plugin) authorize(w http.ResponseWriter, r *http.Request) error {
	creds := httpx.CallerOf(r)
	if _, ok := creds.Service(); ok {
		return httpx.Refuse(creds)
	}
	var body struct {
		Items *[]json.RawMessage `json:"items"`
	}
	if err := httpx.DecodeJSON(r, &body, httpx.MaxBytes(p.config.Limits.AuthorizeBytes), httpx.SyntaxErrors()); err != nil {
		return err
	}
	if body.Items == nil {
		return apierr.Input.New("items is missing")
	}
	if len(*body.Items) > maxItems {
		return apierr.Input.New("expected at most %d items, got %d", maxItems, len(*body.Items))
	}
	ids := make([]string, len(*body.Items))
	questions := make([]question, len(*body.Items))
	refs := 0
	for i, raw := range *body.Items {
		var err error
		if ids[i], questions[i], err = readItem(raw); err != nil {
			return apierr.Input.New("item %d: %v", i, err)
		}
		if refs += len(questions[i].refs); refs > maxItems {
			return apierr.Input.New("expected at most %d resources in all items, got more", maxItems)
		}
	}
	if !p.mayAskWithoutRef(creds) {
		for _, q := range questions {
			if q.permission.ResourceType != "" && len(q.refs) == 0 {
				return apierr.Input.New("permission %s is about resources: name one as resourceRef", q.permission.Name)
			}
		}
	}
	answers, err := p.host.answer(r.Context(), creds, questions)
	if err != nil {
		return err
	}
	out := make([]any, len(answers))
	for i, a := range answers {
		out[i] = wireAnswer(ids[i], questions[i], a)
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"items": out})
}

// mayAskWithoutRef: conditions say how the policy decides, which is for plugins, and not
// for users to read (SEC-18).
func (p *plugin) mayAskWithoutRef(creds backend.Credentials) bool {
	if user, ok := creds.User(); ok {
		return user.Actor != nil
	}
	return p.switches.DangerouslyDisableDefaultAuthPolicy
}

func readItem(raw json.RawMessage) (id string, q question, err error) {
	var item struct {
		ID          *string         `json:"id"`
		Permission  json.RawMessage `json:"permission"`
		ResourceRef json.RawMessage `json:"resourceRef"`
	}
	if json.Unmarshal(raw, &item) != nil || item.ID == nil {
		return "", q, apierr.Input.New("expected an object with id, permission and resourceRef")
	}
	if item.Permission == nil {
		return "", q, apierr.Input.New("permission is missing")
	}
	if err := q.permission.UnmarshalJSON(item.Permission); err != nil {
		return "", q, err
	}
	if item.ResourceRef == nil {
		return *item.ID, q, nil
	}
	if q.permission.ResourceType == "" {
		return "", q, apierr.Input.New("permission %s is not about resources: leave out resourceRef", q.permission.Name)
	}
	q.refs, q.many, err = readRefs(item.ResourceRef)
	if err == nil && len(q.refs) == 0 {
		err = apierr.Input.New("resourceRef must not be an empty array")
	}
	return *item.ID, q, err
}

// readRefs reads a text, or an array of them.
func readRefs(raw json.RawMessage) (refs []string, many bool, err error) {
	var one *string
	if json.Unmarshal(raw, &one) == nil && one != nil {
		return []string{*one}, false, nil
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, false, apierr.Input.New("resourceRef must be a text, or an array of texts")
	}
	for _, ref := range list {
		if ref == nil {
			return nil, false, apierr.Input.New("resourceRef must not have null in it")
		}
		refs = append(refs, *ref)
	}
	return refs, true, nil
}

func wireAnswer(id string, q question, a answer) any {
	type result struct {
		ID     string `json:"id"`
		Result any    `json:"result"`
	}
	switch {
	case a.each == nil:
		return struct {
			ID string `json:"id"`
			wireDecision
		}{id, a.decision.wire()}
	case q.many:
		return result{id, texts(a.each)}
	}
	return result{id, decided(a.each[0]).String()}
}

func texts(allowed []bool) []string {
	out := make([]string, len(allowed))
	for i, one := range allowed {
		out[i] = decided(one).String()
	}
	return out
}
