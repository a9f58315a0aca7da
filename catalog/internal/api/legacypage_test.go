package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/api"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A limit over the greatest one is cut to it, and the link leads on from where the page
// really ends.
func TestSEC11_LimitsAreCut(t *testing.T) {
	t.Parallel()
	const n = query.MaxLimit + 3
	d := dbtest.SQLite(t, store.Migrations())
	var states, finals [][]any
	for i := range n {
		ref, doc := fmt.Sprintf("component:default/c%05d", i), fmt.Appendf(nil, `{"metadata":{"name":"c%05d"}}`, i)
		states = append(states, []any{i + 1, ref, ref, []byte("{}"), []byte("h"), db.At(time.Unix(0, 0))})
		finals = append(finals, []any{i + 1, ref, ref, doc, "e", []byte("h"), i + 1, db.At(time.Unix(0, 0))})
	}
	for _, in := range []struct {
		insert db.Insert
		rows   [][]any
	}{
		{db.Insert{Table: "refresh_state", Columns: []string{"id", "uid", "ref", "unprocessed", "unprocessed_hash", "last_discovery_at"}}, states},
		{db.Insert{Table: "final_entities", Columns: []string{"id", "uid", "ref", "entity", "etag", "hash", "seq", "updated_at"}}, finals},
	} {
		if _, err := db.InsertRows(t.Context(), d, in.insert, in.rows); err != nil {
			t.Fatal(err)
		}
	}
	ask := serve(t, d, false)
	var names []string
	read := func(path string) answer {
		t.Helper()
		a := ask(api.AllowAll{}, "GET "+path, "")
		var list []struct{ Metadata struct{ Name string } }
		if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != 200 {
			t.Fatalf("%s: %d, %v", path, a.status, err)
		}
		for _, e := range list {
			names = append(names, e.Metadata.Name)
		}
		return a
	}
	link := read("/entities?limit=20000&fields=metadata.name").header.Get("Link")
	if len(names) != query.MaxLimit || link == "" {
		t.Fatalf("%d entities for a limit of 20,000, link %q", len(names), link)
	}
	next, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if link := read(next).header.Get("Link"); link != "" || len(names) != n || names[n-1] != fmt.Sprintf("c%05d", n-1) {
		t.Errorf("%d entities after the second page, the last one %s; link %q", len(names), names[len(names)-1], link)
	}
	var page struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(ask(api.AllowAll{}, "GET /entities/by-query?limit=20000", "").body), &page); err != nil || len(page.Items) != query.MaxLimit {
		t.Errorf("by-query: %d entities for a limit of 20,000, %v", len(page.Items), err)
	}
	// A page without a limit has everything behind its offset, and is not buffered.
	names = nil
	if a := read("/entities?offset=2"); len(names) != n-2 || a.header.Get("Content-Length") != "" || a.header.Get("ETag") != "" || a.header.Get("Link") != "" {
		t.Errorf("from the third on: %d entities, %v", len(names), a.header)
	}
}
