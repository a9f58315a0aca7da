package permission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/permission"
)

// A policy in Go: everybody who is signed in may read the entities whose
// spec.lifecycle is experimental, and nothing else.
func ExamplePolicy() {
	experimental := permission.PolicyFunc(func(_ context.Context, q permission.Query) (permission.Decision, error) {
		if q.User == nil || q.Permission.Name != "catalog.entity.read" {
			return permission.Deny, nil
		}
		return permission.If("catalog", "catalog-entity",
			permission.Is("HAS_SPEC", "catalog-entity", map[string]any{"key": "lifecycle", "value": "experimental"})), nil
	})
	// In a portal it is a module:
	module := backend.NewModule("permission", "experimental-only",
		fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(experimental) }))
	_ = module // backend.Add(permission.Plugin(), module)

	alice := &permission.User{Ref: "user:default/alice", Ownership: []string{"user:default/alice"}}
	for _, p := range []permission.Permission{
		{Name: "catalog.entity.read", Action: permission.Read, ResourceType: "catalog-entity"},
		{Name: "catalog.entity.delete", Action: permission.Delete, ResourceType: "catalog-entity"},
	} {
		d, err := experimental.Decide(context.Background(), permission.Query{Permission: p, User: alice})
		text, _ := json.Marshal(d)
		fmt.Println(string(text), err == nil)
	}
	// Output:
	// {"result":"CONDITIONAL","pluginId":"catalog","resourceType":"catalog-entity","conditions":{"rule":"HAS_SPEC","resourceType":"catalog-entity","params":{"key":"lifecycle","value":"experimental"}}} true
	// {"result":"DENY"} true
}

// A Note is what the plugin of ExampleExtensions protects.
type Note struct{ Author, Text string }

type writtenBy struct {
	Authors []string `json:"authors" doc:"References of the authors"`
}

// A plugin of an adopter registers its permissions, a rule, and how notes are loaded, and
// asks on every request.
func ExampleExtensions() {
	notes := map[string]Note{
		"note:1": {"user:default/alice", "buy milk"},
		"note:2": {"user:default/bob", "sell bread"},
	}
	readNote := permission.Permission{Name: "notes.note.read", Action: permission.Read, ResourceType: "note"}
	isAuthor := permission.Rule[Note, writtenBy, string]{
		Name: "IS_AUTHOR", Description: "Notes that one of some authors has written", ResourceType: "note",
		Apply: func(n Note, p writtenBy) bool { return strings.Contains(strings.Join(p.Authors, " "), n.Author) },
		Query: func(p writtenBy) string { return "author IN ('" + strings.Join(p.Authors, "','") + "')" },
	}
	register := func(x *permission.Extensions, may *permission.Authorizer, r backend.Router) {
		permission.AddResource(x, permission.Resource[Note]{
			Type: "note", Permissions: []permission.Permission{readNote},
			Load: func(_ context.Context, refs []string) (map[string]Note, error) {
				out := map[string]Note{}
				for _, ref := range refs {
					if n, ok := notes[ref]; ok {
						out[ref] = n
					}
				}
				return out, nil
			},
			Rules: []permission.AnyRule[Note]{isAuthor},
			Lists: "", // conditions on them are texts
		})
		r.Handle("GET /notes/{ref}", func(w http.ResponseWriter, r *http.Request) error {
			if err := may.Require(r.Context(), httpx.CallerOf(r), readNote, r.PathValue("ref")); err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, notes[r.PathValue("ref")].Text)
		})
		r.Handle("GET /notes", func(w http.ResponseWriter, r *http.Request) error {
			d, err := may.Decide(r.Context(), httpx.CallerOf(r), readNote)
			if err != nil {
				return err
			}
			_, _, criteria, conditional := d[0].Conditional()
			if !conditional {
				return httpx.JSON(w, http.StatusOK, d[0].String())
			}
			where, err := permission.QueryOf(x, "note", criteria, permission.Combiner[string]{
				All: func(of ...string) string { return "(" + strings.Join(of, " AND ") + ")" },
				Any: func(of ...string) string { return "(" + strings.Join(of, " OR ") + ")" },
				Not: func(of string) string { return "NOT " + of },
			})
			if err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, "SELECT text FROM notes WHERE "+where)
		})
	}
	plugin := backend.NewPlugin("notes", permission.Use(), fx.Invoke(register))
	ownNotes := backend.NewModule("permission", "own-notes", fx.Invoke(func(x *permission.Extensions) {
		x.SetPolicy(permission.PolicyFunc(func(_ context.Context, q permission.Query) (permission.Decision, error) {
			if q.User == nil {
				return permission.Deny, nil
			}
			return permission.If("notes", "note", isAuthor.With(writtenBy{q.User.Ownership})), nil
		}))
	}))

	b := start("permission: {enabled: true}", permission.Plugin(), ownNotes, plugin)
	defer b.stop()
	for _, path := range []string{"/notes/note:1", "/notes/note:2", "/notes"} {
		fmt.Println(path, b.get("user:default/alice", "/api/notes"+path))
	}
	// Output:
	// /notes/note:1 200 "buy milk"
	// /notes/note:2 403 NotAllowedError
	// /notes 200 "SELECT text FROM notes WHERE author IN ('user:default/alice')"
}
