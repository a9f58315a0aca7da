package notifications_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// largeOrg is a catalog plugin with 5,000 users in 50 groups: a tree of tens whose leaves
// have the root below them again. It counts the requests that it gets.
func largeOrg(requests *atomic.Int64) backend.Feature {
	return backend.NewPlugin("catalog", fx.Invoke(func(r backend.Router) {
		r.Handle("POST /entities/by-refs", func(w http.ResponseWriter, r *http.Request) error {
			requests.Add(1)
			var body struct {
				EntityRefs []string `json:"entityRefs"`
				Fields     []string `json:"fields"`
			}
			if err := httpx.DecodeJSON(r, &body); err != nil {
				return err
			}
			type relation struct {
				Type      string `json:"type"`
				TargetRef string `json:"targetRef"`
			}
			items := []any{}
			for _, ref := range body.EntityRefs {
				var g int
				if n, _ := fmt.Sscanf(ref, "group:default/g%d", &g); n == 0 || g >= 50 {
					items = append(items, nil)
					continue
				}
				relations := []relation{{"parentOf", "group:default/g0"}}
				for i := 1; i <= 10; i++ {
					relations = append(relations, relation{"parentOf", fmt.Sprintf("group:default/g%d", g*10+i)})
				}
				for u := range 100 {
					relations = append(relations, relation{"hasMember", fmt.Sprintf("user:default/u%d", g*100+u)})
				}
				items = append(items, map[string]any{"kind": "Group", "relations": relations})
			}
			return httpx.JSON(w, http.StatusOK, map[string]any{"items": items})
		})
	}))
}

// TestFiveThousandRecipients: one notification for the 5,000 members of a nested group that
// contains itself takes a request to the catalog for each level, and none for each user.
func TestFiveThousandRecipients(t *testing.T) {
	t.Parallel()
	for name, yaml := range map[string]func() string{
		"SQLite": func() string { return "" },
		"PostgreSQL": func() string {
			return fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: %q}}\n", pgtest.New(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if underRace && name == "SQLite" {
				t.Skip("the race detector makes a minute of it, and the other database shows the same")
			}
			var requests atomic.Int64
			var sender *client.Client
			plugin := backend.NewPlugin("sender", fx.Invoke(func(clients backend.Clients, a backend.Auth) { sender = client.New(clients, a.Own()) }))
			mail := &recorder{name: "Email", filter: notifications.Filter{MinSeverity: client.Critical}}
			module := backend.NewModule("notifications", "test", fx.Invoke(func(x *notifications.Extensions) { x.AddProcessor(mail) }))
			b := backendtest.Start(t, yaml(), notifications.Plugin(), module, largeOrg(&requests), plugin)
			p := &portal{t: t, b: b, sender: sender, heard: &heard{}}
			for range 2 {
				r := say("hello", "group:default/g0")
				r.Payload.Scope = "s"
				requests.Store(0)
				sent := p.send(r)
				users := map[string]bool{}
				for _, n := range sent {
					users[n.User] = true
				}
				if len(sent) != 5000 || len(users) != 5000 {
					t.Errorf("%d notifications for %d users", len(sent), len(users))
				}
				if n := requests.Load(); n > 4 {
					t.Errorf("%d requests to the catalog, want one for each of the levels", n)
				}
			}
			code, body := p.ask("user:default/u4999", "GET", "/notifications", "")
			if code != 200 || !strings.HasPrefix(body, `{"totalCount":1,`) {
				t.Errorf("%d %s", code, body)
			}
		})
	}
}
