package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// An inventory is a source of many Resources, which it has in pages.
type inventory struct{ size, page int }

func (inventory) ProviderName() string { return "inventory" }

func (s inventory) NextPage(_ context.Context, cursor json.RawMessage) (catalog.Page, error) {
	from := 0
	if cursor != nil {
		if err := json.Unmarshal(cursor, &from); err != nil {
			return catalog.Page{}, err
		}
	}
	to := min(from+s.page, s.size)
	page := catalog.Page{Cursor: json.RawMessage(strconv.Itoa(to)), Done: to == s.size}
	for i := from; i < to; i++ {
		e := entity.Entity{
			"apiVersion": "backstage.io/v1alpha1", "kind": "Resource",
			"metadata": map[string]any{"name": fmt.Sprintf("host-%d", i)},
			"spec":     map[string]any{"type": "host", "owner": "ops"},
		}
		e.SetAnnotation(entity.AnnotationManagedBy, "inventory:acme")
		e.SetAnnotation(entity.AnnotationManagedByOrigin, "inventory:acme")
		page.Entities = append(page.Entities, catalog.Deferred{Entity: e, LocationKey: "inventory"})
	}
	return page, nil
}

// A source that is too large for one listing is read page by page, in bursts.
func ExampleIncremental() {
	module := backend.NewModule("catalog", "inventory", fx.Invoke(func(x *catalog.Extensions) {
		x.AddEntityProvider(catalog.Incremental(inventory{size: 250_000, page: 500}, catalog.IncrementalOptions{
			RestLength: 6 * time.Hour, RejectEmptySourceCollections: true,
		}))
	}))
	b := backend.New()
	b.Add(catalog.Plugin(), module)
	fmt.Println(inventory{}.ProviderName())
	// Output: inventory
}

func TestIncrementalProviderIsServedAndSteered(t *testing.T) {
	t.Parallel()
	module := backend.NewModule("catalog", "inventory", fx.Invoke(func(x *catalog.Extensions) {
		x.AddEntityProvider(catalog.Incremental(inventory{size: 25, page: 10}, catalog.IncrementalOptions{BurstInterval: time.Second}))
	}))
	b := backendtest.Start(t, `catalog: {rules: [{allow: [Resource]}]}`, catalog.Plugin(), module)
	ask := func(method, path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, b.URL+"/api/catalog"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.As("user:default/alice").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(body)))
	}
	await := func(path, want string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got := ask("GET", path)
			if strings.Contains(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, want %s", path, got, want)
			}
		}
	}
	await("/entities/by-query?limit=0", `"totalItems":25`)
	await("/incremental/providers/inventory", `"current_action":"rest"`)
	if got := ask("GET", "/incremental/providers"); got != `200 {"providers":["inventory"],"success":true}` {
		t.Error(got)
	}
	if got := ask("GET", "/incremental/providers/inventory/marks"); strings.Count(got, `"round":1`) != 3 {
		t.Error(got)
	}
	for _, verb := range []string{"start", "trigger"} {
		if got := ask("POST", "/incremental/providers/inventory/"+verb); !strings.HasPrefix(got, `200 {"message":`) {
			t.Errorf("%s: %s", verb, got)
		}
	}
	await("/incremental/providers/inventory/marks", `"round":2,"sequence":3`)
	if got := ask("DELETE", "/incremental/providers/inventory/marks"); !strings.Contains(got, `"deletions":3`) {
		t.Error(got)
	}
	if got := ask("POST", "/incremental/providers/inventory/cancel"); !strings.Contains(got, `"success":true`) {
		t.Error(got)
	}
	if got := ask("GET", "/incremental/providers/inventory"); !strings.Contains(got, `"current_action":"cancel"`) {
		t.Error(got)
	}
	if got := ask("DELETE", "/incremental/providers/inventory"); !strings.Contains(got, `"ingestionsDeleted":1`) {
		t.Error(got)
	}
}

func TestIncrementalRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	o := catalog.IncrementalOptions{BurstInterval: time.Millisecond, RestLength: -1, Backoff: []time.Duration{0}, RejectRemovalsAbovePercentage: 101}
	_, err := backendtest.Boot(t, ``, catalog.Plugin(), backend.NewModule("catalog", "inventory", fx.Invoke(func(x *catalog.Extensions) {
		x.AddEntityProvider(catalog.Incremental(inventory{}, o))
	})))
	for _, want := range []string{"BurstInterval is 1ms", "RestLength is -1ns", "Backoff[0] is 0s", "RejectRemovalsAbovePercentage is 101"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := catalog.Incremental(inventory{}, catalog.IncrementalOptions{}).Connect(t.Context(), &catalogtest.Recorder{}); err == nil || !strings.Contains(err.Error(), "running catalog") {
		t.Errorf("connected to a recorder: %v", err)
	}
}
