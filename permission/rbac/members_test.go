package rbac

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// directoryOf is a catalog that counts how often it is read.
type directoryOf struct {
	mu          sync.Mutex
	parents     map[string][]string
	users       map[string][]string
	err         error
	reads, asks int
}

func (d *directoryOf) groups(context.Context) (map[string][]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	return d.parents, d.err
}

func (d *directoryOf) groupsOf(_ context.Context, user string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asks++
	return d.users[user], d.err
}

// TestMembersAreNotOlderThanFifteenSeconds: what the catalog says is remembered, for a
// while; whoever is no member any more has lost the role after it.
func TestMembersAreNotOlderThanFifteenSeconds(t *testing.T) {
	t.Parallel()
	d := &directoryOf{parents: map[string][]string{"group:default/a": {"group:default/b"}, "group:default/b": nil}, users: map[string][]string{"user:default/u": {"group:default/a"}}}
	now := time.Unix(0, 0)
	m := newMembers(d, engine.Unlimited, discard())
	m.now = func() time.Time { return now }
	groups := func() []string {
		w, err := m.who(t.Context(), &permission.User{Ref: "User:default/U"})
		if err != nil {
			t.Fatal(err)
		}
		return w.Groups
	}
	both := []string{"group:default/a", "group:default/b"}
	for range 100 {
		if got := groups(); !slices.Equal(got, both) {
			t.Fatalf("groups %q", got)
		}
	}
	if d.reads != 1 || d.asks != 1 {
		t.Errorf("the catalog was read %d and %d times", d.reads, d.asks)
	}
	d.users["user:default/u"] = nil
	now = now.Add(membersKept - time.Nanosecond)
	if got := groups(); !slices.Equal(got, both) {
		t.Errorf("within the time: %q", got)
	}
	now = now.Add(time.Nanosecond)
	if got := groups(); got != nil {
		t.Errorf("after the time: %q", got)
	}
	if membersKept > 15*time.Second {
		t.Errorf("members are kept for %s", membersKept)
	}
}

// TestNobodyKnowsWho: while the catalog does not answer, everything is denied, with a
// failed audit event, and super users may do everything.
func TestNobodyKnowsWho(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.Admin.SuperUsers = []Named{{"user:default/root"}}
	l, p, _ := replica(dbtest.SQLite(t, store.Migrations()), c)
	audit := &backendtest.Audit{}
	p.auditor = audit
	p.members = newMembers(&directoryOf{err: errors.New("the catalog is away")}, engine.Unlimited, discard())
	if _, err := l.change(t.Context(), func(s *engine.State) error {
		s.Rules = []engine.Rule{{Subject: "role:default/r", Permission: "x", Action: "use", Effect: "allow", Source: engine.SourceREST}}
		s.Members = []engine.Member{{Ref: "user:default/u", Role: "role:default/r", Source: engine.SourceREST}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]permission.Decision{"user:default/u": permission.Deny, "user:default/root": permission.Allow} {
		if d, err := p.Decide(t.Context(), permission.Query{Permission: use("x"), User: &permission.User{Ref: user}}); err != nil || d != want {
			t.Errorf("%s: %v %v, want %v", user, d, err, want)
		}
	}
	if e := audit.Events(); len(e) != 1 || e[0].Status != "failed" || e[0].ID != "permission-evaluation" {
		t.Errorf("events %+v", e)
	}
	if d, err := p.Decide(t.Context(), permission.Query{Permission: use("x")}); err != nil || d != permission.Deny {
		t.Errorf("nobody: %v %v", d, err)
	}
}

func TestUnknownGroups(t *testing.T) {
	t.Parallel()
	s := &engine.State{Members: []engine.Member{{Ref: "group:default/a", Role: "role:default/r"}, {Ref: "group:default/gone", Role: "role:default/r"}, {Ref: "user:default/u", Role: "role:default/r"}}}
	found := unknownGroups(s, engine.NewGroups(map[string][]string{"group:default/a": nil}).Known)
	if len(found) != 1 || found[0].text != "role:default/r has the member group:default/gone, which is no group of the catalog" {
		t.Errorf("%+v", found)
	}
}
