package catalogtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Start boots a backend with a catalog that has entities, waits until it serves them, and
// returns a client that acts as user:default/guest. It is what tests of plugins that read
// the catalog run against: the real one, on SQLite, until the test ends.
//
// features are added to the backend, such as modules of the catalog; yaml is its
// configuration, and may be empty. An entity that the catalog does not take fails the
// test.
func Start(t testing.TB, yaml string, entities []entity.Entity, features ...backend.Feature) *client.Client {
	t.Helper()
	b := backendtest.Start(t, yaml, append(slices.Clone(features), catalog.Plugin(), Entities(entities...))...)
	c := client.At(b.URL+"/api/catalog", b.As("user:default/guest"))
	refs := make([]string, len(entities))
	for i, e := range entities {
		refs[i] = e.Ref().String()
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		served, err := c.ByRefs(t.Context(), refs, "kind")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(served, func(e entity.Entity) bool { return e == nil }) {
			return c
		}
		failed, err := c.Failed(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if len(failed) > 0 || time.Now().After(deadline) {
			t.Fatalf("the catalog does not serve the entities: %s", reasons(failed))
		}
	}
}

func reasons(failed []client.Unprocessed) string {
	if len(failed) == 0 {
		return "they are still not processed"
	}
	var out []string
	for _, f := range failed {
		for _, p := range f.Errors {
			out = append(out, f.Ref+": "+p.Message)
		}
	}
	return strings.Join(out, "; ")
}
