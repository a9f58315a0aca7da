package catalog_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// oneFile is a scm.Reader that has one file at every URL.
type oneFile struct{ scm.Reader }

func (oneFile) Search(_ context.Context, url string, opts scm.SearchOptions) (*scm.SearchResult, error) {
	if opts.ETag == "v1" {
		return nil, apierr.NotModified.New("still v1")
	}
	file := scm.NewSearchFile(url, time.Time{}, func(context.Context) ([]byte, error) { return []byte(component("found", "")), nil })
	return &scm.SearchResult{ETag: "v1", Files: []scm.SearchFile{file}}, nil
}

func TestBuiltinProcessorsConform(t *testing.T) {
	t.Parallel()
	integrations, err := scm.NewIntegrations(scm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), component("found", ""))
	at := func(typ, target string) entity.Entity {
		loc := entity.Location{Type: typ, Target: target}
		return entity.NewLocationEntity(loc, entity.Location{}, entity.Location{}, "")
	}
	samples := map[string][]entity.Entity{
		"FileReaderProcessor": {at("file", filepath.Join(dir, "a.yaml")), at("file", filepath.Join(dir, "*.yaml"))},
		"url-reader":          {at("url", "https://github.com/acme/shop/blob/main/catalog-info.yaml")},
	}
	own := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "c"},
		"spec": map[string]any{"type": "service", "lifecycle": "production", "owner": "team", "dependsOn": []any{"component:x"}}}
	for i, p := range catalog.Builtin(integrations, oneFile{}) {
		name := p.ProcessorName()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := samples[name]
			if list == nil {
				list = []entity.Entity{own}
			}
			catalogtest.RunProcessor(t, func(*testing.T) catalog.Processor { return catalog.Builtin(integrations, oneFile{})[i] }, list...)
			if samples[name] == nil {
				return
			}
			first := catalog.Try(t.Context(), list[0], nil, p)
			again := catalog.Try(t.Context(), list[0], first.Again, p)
			if len(first.Found) != 1 || len(again.Found) != 1 || len(again.Errors) != 0 {
				t.Errorf("first %+v, again %+v", first.Found, again)
			}
			if again.Found[0].Entity != nil {
				t.Error("an unchanged location was read again")
			}
		})
	}
}

func TestPolledSourceConforms(t *testing.T) {
	t.Parallel()
	catalogtest.RunProvider(t, func(*testing.T) catalog.EntityProvider {
		return catalog.Poll(&shelf{[]string{"one", "two"}}, config.Schedule{})
	})
}

func TestEntitiesOfATestAreServed(t *testing.T) {
	t.Parallel()
	r := start(t, "", catalogtest.Entities(entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": "team"},
		"spec": map[string]any{"type": "team", "children": []any{}},
	}))
	r.until("the group", has("group:default/team"))
}
