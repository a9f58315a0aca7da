package catalog_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// TestLandingPageListsEntities: by kind, with addresses that answer.
func TestLandingPageListsEntities(t *testing.T) {
	t.Parallel()
	named := func(kind, name string) entity.Entity {
		return entity.Entity{
			"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": map[string]any{"name": name, "title": "Title of " + name},
			"spec": map[string]any{"type": "service", "lifecycle": "production", "owner": "team-a", "children": []any{}},
		}
	}
	b := backendtest.Start(t, "", catalog.Plugin(), catalogtest.Entities(named("Group", "a-team"), named("Component", "Zoo"), named("Component", "ant")))
	read := func(client *http.Client, path string) (int, string) {
		resp, err := client.Get(b.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		doc, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(doc)
	}
	links := []string{"component/default/ant", "component/default/zoo", "group/default/a-team"}
	var page string
	for deadline := time.Now().Add(20 * time.Second); strings.Count(page, "by-name") < len(links); time.Sleep(20 * time.Millisecond) {
		if _, page = read(http.DefaultClient, "/"); time.Now().After(deadline) {
			t.Fatal(page)
		}
	}
	last := 0
	for _, link := range links {
		at := strings.Index(page, `href="/api/catalog/entities/by-name/`+link+`"`)
		if at <= last {
			t.Errorf("%s is not listed, or not in its place:\n%s", link, page)
		}
		last = at
		if status, _ := read(b.As("user:default/alice"), "/api/catalog/entities/by-name/"+link); status != http.StatusOK {
			t.Errorf("%s answers %d", link, status)
		}
	}
	if !strings.Contains(page, "Title of ant") {
		t.Error("titles are missing")
	}
}
