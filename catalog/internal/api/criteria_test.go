package api_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/api"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/permission"
)

// relationsOf are the relations that an entity of a test says of itself.
func relationsOf(e entity.Entity) (out []entity.Relation) {
	list, _ := e["relations"].([]any)
	for _, one := range list {
		r := one.(map[string]any)
		out = append(out, entity.Relation{Source: e.Ref().String(), Type: r["type"].(string), Target: r["targetRef"].(string)})
	}
	return out
}

// A criterion is a recorded evaluation of permission/rbac/testdata/vectors.json.
type criterion struct {
	ID, Resource, Result string
	Criteria             json.RawMessage
	Error                *struct{ Name string }
}

// criteriaDiffer are the recorded evaluations that Callboard decides otherwise, and how.
var criteriaDiffer = map[string]string{
	"crit-004": "ALLOW", // permission.md 1.4: claims are lower-cased in memory, as they are for lists
	"crit-044": "error", // permission.md 1.3, [H]: the whole tree is checked before any of it is evaluated
}

// TestSEC52_RecordedCriteria has the recorded evaluations about entities, in memory and
// as conditions of lists on both databases: both forms agree.
func TestSEC52_RecordedCriteria(t *testing.T) {
	t.Parallel()
	var v struct {
		Criteria struct {
			Resources map[string]entity.Entity
			Vectors   []criterion
		}
	}
	data, err := os.ReadFile("../../../permission/rbac/testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	x := &permission.Extensions{}
	permission.AddResource(x, api.Resource(nil))
	both := permission.Combiner[filter.Predicate]{All: filter.AllOf, Any: filter.AnyOf, Not: filter.NotOf}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		ask := serve(t, d, false, v.Criteria.Resources["entity"], v.Criteria.Resources["bare"])
		checked := 0
		for _, one := range v.Criteria.Vectors {
			e, ok := v.Criteria.Resources[one.Resource]
			if !ok || !strings.Contains(string(one.Criteria), "catalog-entity") {
				continue // of the scaffolder
			}
			checked++
			want := one.Result
			if one.Error != nil {
				want = "error"
			}
			if differs, ok := criteriaDiffer[one.ID]; ok {
				want = differs
			}
			var c permission.Criteria
			if err := c.UnmarshalJSON(one.Criteria); err != nil {
				t.Errorf("%s: %v", one.ID, err)
				continue
			}
			verdict := func(ok bool, err error) string {
				return map[bool]string{true: "ALLOW", false: "DENY"}[ok] + map[bool]string{true: " error"}[err != nil]
			}
			memory := "DENY" // what does not exist matches nothing
			if e != nil {
				memory = verdict(permission.Match(x, "catalog-entity", c, e))
			}
			where, err := permission.QueryOf(x, "catalog-entity", c, both)
			list := verdict(false, err)
			if err == nil {
				var names []string
				var got []struct{ Metadata struct{ Name string } }
				ask(policy{auth: query.Auth{Where: &where}}, "GET /entities", "").json(t, &got)
				for _, g := range got {
					names = append(names, g.Metadata.Name)
				}
				list = verdict(e != nil && slices.Contains(names, e.Ref().Name), nil)
			}
			for form, got := range map[string]string{"in memory": memory, "as a list": list} {
				if got != want && !(want == "error" && strings.HasSuffix(got, "error")) {
					t.Errorf("%s, %s: %s, want %s", one.ID, form, got, want)
				}
			}
		}
		if checked != 46 {
			t.Errorf("%d evaluations, want 46", checked)
		}
	})
}
