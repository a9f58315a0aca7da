package backendtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

var alice = backend.Credentials{Principal: principal.User{Ref: "user:default/alice"}}

// A unit test gives what it tests a plugin that is a handler.
func ExampleClients() {
	clients := backendtest.Clients{"catalog": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL.Path, httpx.CallerOf(r))
	})}
	client, base, err := clients.Client(context.Background(), alice, "catalog")
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := client.Get(base + "/entities")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(string(body), err)
	// Output: /entities for user:default/alice <nil>
}

func TestUsers(t *testing.T) {
	t.Parallel()
	users := backendtest.Users{"user:default/alice": {"user:default/alice", "group:default/team"}}
	if id, err := users.UserInfo(t.Context(), alice); err != nil || len(id.OwnershipRefs) != 2 {
		t.Errorf("got %+v, %v", id, err)
	}
	bob := backend.Credentials{Principal: principal.User{Ref: "user:default/bob"}}
	if id, err := users.UserInfo(t.Context(), bob); err != nil || id.OwnershipRefs[0] != "user:default/bob" {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, err := users.UserInfo(t.Context(), principal.Nobody()); err == nil {
		t.Error("nobody owns something")
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	var a backendtest.Audit
	a.CreateEvent(t.Context(), backend.AuditEvent{ID: "one"}).Success(map[string]any{"n": 1})
	failed := a.CreateEvent(t.Context(), backend.AuditEvent{ID: "two"})
	failed.Fail(errors.New("no"), nil)
	failed.Success(nil) // the first outcome counts
	a.CreateEvent(t.Context(), backend.AuditEvent{ID: "three"})
	var got string
	for _, e := range a.Events() {
		got += fmt.Sprintln(e.ID, e.Status, e.Outcome, e.Err)
	}
	if want := "one succeeded map[n:1] <nil>\ntwo failed map[] no\nthree initiated map[] <nil>\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
