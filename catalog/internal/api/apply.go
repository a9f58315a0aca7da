package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// applied is one item of a request to apply conditions.
type applied struct {
	id        string
	refs      []string
	many      bool // refs were an array, and so is the result
	condition Condition
}

// applyConditions is POST /.well-known/backstage/permissions/apply-conditions (contract
// 1.6.22). The permission backend calls it on behalf of whoever asks for a decision on
// single entities.
func (a *api) applyConditions(w http.ResponseWriter, r *http.Request) error {
	b := readBody(r, maxBody)
	b.require("items")
	var items []applied
	var refs []string
	for _, item := range b.objects("items", maxRefs) {
		one, err := readApplied(item)
		if b.err == nil {
			b.err = err
		}
		items = append(items, one)
		refs = append(refs, one.refs...)
	}
	if b.err != nil {
		return b.err
	}
	if len(refs) > maxRefs {
		return apierr.Input.New("expected at most %d references, got %d", maxRefs, len(refs))
	}
	// Whether the caller may see the entities does not matter: the answer is what the
	// policy says of them.
	found, err := a.Query.ByRefs(r.Context(), refs, nil, query.Auth{})
	if err != nil {
		return err
	}
	type result struct {
		ID     string `json:"id"`
		Result any    `json:"result"`
	}
	results := make([]result, len(items))
	for i, item := range items {
		decisions := make([]string, len(item.refs))
		for j := range item.refs {
			if decisions[j], err = decide(item.condition, found[j]); err != nil {
				return fmt.Errorf("apply conditions to %s: %w", item.refs[j], err)
			}
		}
		found = found[len(item.refs):]
		results[i] = result{item.id, decisions}
		if !item.many {
			results[i].Result = decisions[0]
		}
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"items": results})
}

// decide denies what is not there, also where the condition is a negation.
func decide(c Condition, doc json.RawMessage) (string, error) {
	if doc == nil {
		return "DENY", nil
	}
	e, err := entity.Decode(doc)
	if err != nil {
		return "", err
	}
	if c.Match(e) {
		return "ALLOW", nil
	}
	return "DENY", nil
}

func readApplied(b *body) (out applied, err error) {
	out.id = b.text("id", true)
	if typ := b.text("resourceType", true); b.err == nil && typ != resourceEntity {
		return out, apierr.Input.New("resources of type %q are not known here", typ)
	}
	b.require("conditions")
	conditions := b.raw("conditions")
	b.require("resourceRef")
	if raw := b.raw("resourceRef"); len(raw) > 0 && raw[0] == '[' {
		out.many, out.refs = true, b.texts("resourceRef", maxRefs)
	} else {
		out.refs = []string{b.text("resourceRef", true)}
	}
	if b.err != nil {
		return out, b.err
	}
	for i, ref := range out.refs {
		if !db.IsText(ref) {
			out.refs[i] = ""
		}
	}
	out.condition, err = ParseCondition(conditions)
	return out, err
}
