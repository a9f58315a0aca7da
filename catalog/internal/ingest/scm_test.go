package ingest

import (
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

const repo = "https://host.example/acme/shop"

// TestEventsOfSourceCodeHosts is the list of effects of catalog.md 3.11.
func TestEventsOfSourceCodeHosts(t *testing.T) {
	t.Parallel()
	all := SCMActions{Refresh: true, Unregister: true, Move: true}
	tests := []struct {
		name      string
		event     SCMEvent
		not       SCMActions // what is switched off
		refreshed string     // entities that are due
		targets   string     // registered locations afterwards
	}{
		{name: "a file is updated", event: SCMEvent{Type: LocationUpdated, URL: repo + "/blob/main/a.yaml"}, refreshed: "a s"},
		{name: "a file is updated, by its other name", event: SCMEvent{Type: LocationUpdated, URL: repo + "/tree/main/a.yaml"}, refreshed: "a s"},
		{name: "a file that nobody reads is updated", event: SCMEvent{Type: LocationUpdated, URL: repo + "/blob/main/z.yaml"}},
		{name: "a repository is updated", event: SCMEvent{Type: RepositoryUpdated, URL: repo}, refreshed: "a b s x"},
		{name: "a repository is updated, and that is switched off", event: SCMEvent{Type: RepositoryUpdated, URL: repo}, not: SCMActions{Refresh: true}},
		{name: "a repository of a similar name is updated", event: SCMEvent{Type: RepositoryUpdated, URL: repo + "p"}},
		{name: "a file is deleted", event: SCMEvent{Type: LocationDeleted, URL: repo + "/tree/main/a.yaml"}, targets: "shop/blob/main/b.yaml other/blob/main/c.yaml"},
		{name: "a file is deleted, and that is switched off", event: SCMEvent{Type: LocationDeleted, URL: repo + "/blob/main/a.yaml"}, not: SCMActions{Unregister: true}},
		{name: "a repository is deleted", event: SCMEvent{Type: RepositoryDeleted, URL: repo + "/"}, targets: "other/blob/main/c.yaml"},
		{name: "a repository of a similar name is deleted", event: SCMEvent{Type: RepositoryDeleted, URL: "https://host.example/acme/sho"}},
		{name: "a file is moved", event: SCMEvent{Type: LocationMoved, URL: repo + "/blob/main/a.yaml", To: repo + "/blob/main/d.yaml"},
			targets: "shop/blob/main/d.yaml shop/blob/main/b.yaml other/blob/main/c.yaml"},
		{name: "a file is moved, and that is switched off", event: SCMEvent{Type: LocationMoved, URL: repo + "/blob/main/a.yaml", To: repo + "/blob/main/d.yaml"}, not: SCMActions{Move: true}},
		{name: "a file is moved to where another location leads", event: SCMEvent{Type: LocationMoved, URL: repo + "/blob/main/a.yaml", To: repo + "/blob/main/b.yaml"},
			targets: "shop/blob/main/b.yaml other/blob/main/c.yaml"},
		{name: "a repository is moved", event: SCMEvent{Type: RepositoryMoved, URL: repo, To: "https://host.example/new/store"},
			targets: "https://host.example/new/store/blob/main/a.yaml https://host.example/new/store/blob/main/b.yaml other/blob/main/c.yaml"},
		{name: "a file is created", event: SCMEvent{Type: "location.created", URL: repo + "/blob/main/a.yaml"}},
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				empty(t, d)
				w := newWorld(t, d, Options{})
				names := map[string]string{}
				w.mu.Lock()
				for _, file := range []string{"shop/blob/main/a.yaml", "shop/blob/main/b.yaml", "other/blob/main/c.yaml"} {
					name := file[len(file)-6 : len(file)-5]
					w.files["https://host.example/acme/"+file] = yamlComponent(map[string]string{"a": "s", "b": "x", "c": "y"}[name], name)
				}
				w.mu.Unlock()
				for _, file := range []string{"shop/blob/main/a.yaml", "shop/blob/main/b.yaml", "other/blob/main/c.yaml"} {
					row, _, err := w.engine.Locations().Create(t.Context(), entity.Location{Type: "url", Target: "https://host.example/acme/" + file})
					if err != nil {
						t.Fatal(err)
					}
					names[row.EntityRef] = file[len(file)-6 : len(file)-5]
				}
				w.settle()
				allowed := all
				allowed.Refresh, allowed.Unregister, allowed.Move = !tt.not.Refresh, !tt.not.Unregister, !tt.not.Move
				if _, err := w.engine.ActOn(t.Context(), tt.event, allowed); err != nil {
					t.Fatal(err)
				}
				due, err := w.store.ClaimDue(t.Context(), w.now(), 100, w.engine.IntervalMin, w.engine.IntervalMax)
				if err != nil {
					t.Fatal(err)
				}
				var refreshed []string
				for _, d := range due {
					name := names[d.Ref]
					if name == "" {
						name = strings.TrimPrefix(d.Ref, "component:default/")
					}
					refreshed = append(refreshed, name)
				}
				slices.Sort(refreshed)
				if got := strings.Join(refreshed, " "); tt.targets == "" && got != tt.refreshed {
					t.Errorf("due are %q, want %q", got, tt.refreshed)
				}
				want := strings.Fields(tt.targets)
				if tt.targets == "" {
					want = []string{"shop/blob/main/a.yaml", "shop/blob/main/b.yaml", "other/blob/main/c.yaml"}
				}
				for i, target := range want {
					if !strings.HasPrefix(target, "https:") {
						want[i] = "https://host.example/acme/" + target
					}
				}
				rows, err := w.engine.Locations().List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, row := range rows {
					got = append(got, row.Target)
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("registered are %v, want %v", got, want)
				}
			})
		}
	})
}

// TestSEC35_EventsIngestNothing: only sources ingest, with their filters. An event about
// something that is excluded finds nothing to act upon, whatever it says.
func TestSEC35_EventsIngestNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const excluded = "https://host.example/acme/excluded"
		w.mu.Lock()
		w.files[excluded+"/blob/main/a.yaml"] = yamlComponent("excluded", "")
		w.mu.Unlock()
		w.file("shop.yaml", yamlComponent("shop", ""))
		w.provide("test", location("loc", "shop.yaml"))
		w.settle()
		for _, typ := range []string{
			"location.created", LocationUpdated, LocationDeleted, LocationMoved,
			"repository.created", RepositoryUpdated, RepositoryDeleted, RepositoryMoved,
		} {
			for _, event := range []SCMEvent{
				{Type: typ, URL: excluded, To: excluded + "/blob/main/a.yaml"},
				{Type: typ, URL: excluded + "/blob/main/a.yaml", To: excluded + "/blob/main/a.yaml"},
				{Type: typ, URL: fileURL("shop.yaml"), To: excluded + "/blob/main/a.yaml"}, // which a provider emits, and nobody registered
			} {
				if _, err := w.engine.ActOn(t.Context(), event, SCMActions{Refresh: true, Unregister: true, Move: true}); err != nil {
					t.Fatalf("%v: %v", event, err)
				}
			}
		}
		w.settle()
		w.expect("component:default/shop", "location:default/loc")
		rows, err := w.engine.Locations().List(t.Context())
		if err != nil || len(rows) != 0 {
			t.Errorf("registered are %v (%v)", rows, err)
		}
	})
}
