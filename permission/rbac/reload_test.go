package rbac

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// nobody is a catalog without entities.
type nobody struct{}

func (nobody) groups(context.Context) (map[string][]string, error) { return nil, nil }
func (nobody) groupsOf(context.Context, string) ([]string, error)  { return nil, nil }
func discard() *slog.Logger                                        { return slog.New(slog.DiscardHandler) }
func use(name string) permission.Permission                        { return permission.Permission{Name: name} }
func decided(d []permission.Decision, want ...bool) bool {
	for i, one := range d {
		if (one == permission.Allow) != want[i] {
			return false
		}
	}
	return true
}

// replica is what one process has over a database.
func replica(d db.DB, c Config) (*live, *policy, *files) {
	l := newLive(store.New(d), c.engineOptions(), discard())
	p := &policy{live: l, members: newMembers(nobody{}, engine.Unlimited, discard()), audit: "none", auditor: &backendtest.Audit{}, log: discard()}
	f := newFiles(c, l, &backendtest.Audit{}, discard())
	f.every, f.settle = 10*time.Millisecond, 20*time.Millisecond
	return l, p, f
}

// pair is a policy of which two rows change together, and a third one never does.
func pair(odd bool) string {
	effect := map[bool]string{true: "allow", false: "deny"}
	return fmt.Sprintf(`g, user:default/u, role:default/r
p, role:default/r, always, use, allow
p, role:default/r, odd, use, %s
p, role:default/r, even, use, %s
`, effect[odd], effect[!odd])
}

// TestSEC87_NoDecisionFromAHalfAppliedFile: while the file is rewritten, truncated, made
// invalid, replaced, and swapped by a symbolic link, every batch of decisions is of one
// whole version of it.
func TestSEC87_NoDecisionFromAHalfAppliedFile(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		dir := t.TempDir()
		file := filepath.Join(dir, "policy.csv")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Error(err)
			}
		}
		write(pair(true))
		c := defaults()
		c.PoliciesCSVFile, c.PolicyFileReload = file, true
		l, p, f := replica(d, c)
		if err := f.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		user := &permission.User{Ref: "user:default/u", Ownership: []string{"user:default/u"}}
		batch := []permission.Permission{use("always"), use("odd"), use("even")}
		ask := func() []permission.Decision {
			out, err := p.DecideAll(t.Context(), user, batch)
			if err != nil {
				t.Error(err)
			}
			return out
		}
		if got := ask(); !decided(got, true, true, false) {
			t.Fatalf("after the start: %v", got)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.watch(ctx) })
		var asked atomic.Int64
		for range 4 {
			running.Go(func() {
				for ctx.Err() == nil {
					// An empty file is a whole version, too: it denies all three.
					if got := ask(); !decided(got, true, true, false) && !decided(got, true, false, true) && !decided(got, false, false, false) {
						t.Errorf("decisions of a version that was never written: %v", got)
						return
					}
					asked.Add(3)
					time.Sleep(100 * time.Microsecond)
				}
			})
		}
		pause := func() { time.Sleep(15 * time.Millisecond) }
		for n := range 12 {
			next := pair(n%2 == 0)
			write(next[:len(next)-7]) // half of a line
			pause()
			pause()
			write(next)
			pause()
			pause()
			write(next + "p, role:default/r, odd\n") // invalid
			pause()
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
			pause()
			version := filepath.Join(dir, fmt.Sprintf("..data-%d", n))
			if err := os.WriteFile(version, []byte(pair(n%2 == 1)), 0o600); err != nil {
				t.Error(err)
			}
			link := filepath.Join(dir, "link")
			if err := os.Symlink(version, link); err != nil {
				t.Error(err)
			}
			if err := os.Rename(link, file); err != nil { // as Kubernetes swaps a ConfigMap
				t.Error(err)
			}
			pause()
			pause()
		}
		os.Remove(file)
		write(pair(false))
		for end := time.Now().Add(20 * time.Second); !decided(ask(), true, false, true); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the last version is never taken over: %v at version %d", ask(), l.state().Version)
			}
		}
		stop()
		running.Wait()
		if asked.Load() == 0 {
			t.Error("nobody asked")
		}
	})
}

// TestReloadsThatFail leave what was in force, and what is stored, as they are.
func TestReloadsThatFail(t *testing.T) {
	t.Parallel()
	file, conditions := filepath.Join(t.TempDir(), "policy.csv"), filepath.Join(t.TempDir(), "conditions.yaml")
	const own = "{result: CONDITIONAL, roleEntityRef: role:default/r, pluginId: catalog, resourceType: catalog-entity, permissionMapping: [read], conditions: {rule: X, resourceType: catalog-entity}}\n"
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, pair(true))
	write(conditions, own)
	c := defaults()
	c.PoliciesCSVFile, c.ConditionalPoliciesFile = file, conditions
	l, _, f := replica(dbtest.SQLite(t, store.Migrations()), c)
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.check = func(_ context.Context, c engine.Condition) error {
		return checkCriteria(c, []permission.RuleInfo{{Name: "X", ResourceType: "catalog-entity"}})
	}
	w := &watcher{files: f, hashed: time.Now()}
	f.settle = 0
	lookTwice := func() {
		w.look(t.Context())
		w.look(t.Context())
	}
	before := l.state()
	if len(before.Conditions) != 1 {
		t.Fatalf("conditions %v", before.Conditions)
	}
	for _, tt := range []struct{ name, csv, conditions string }{
		{"a line that is cut off", "p, role:default/r, odd, use, al", own},
		{"a wrong action", pair(false) + "p, role:default/r, x, get, allow\n", own},
		{"no CSV", pair(false) + "p, \"x\n", own},
		{"HTML", "<!DOCTYPE html>\n<p>Bad gateway</p>\n", own},
		{"JSON", "{\n}\n", own},
		{"zeros", strings.Repeat("\x00", 200), own},
		{"comments only", "# p, role:default/r, odd, use, deny\n", own},
		{"a merge conflict", "<<<<<<< ours\n" + pair(false) + "=======\n" + pair(true) + ">>>>>>> theirs\n", own},
		{"a mistyped denial", pair(false) + "pp, role:default/r, always, use, deny\n", own},
		{"a capital letter", pair(false) + "P, role:default/r, always, use, deny\n", own},
		{"no YAML", pair(true), "result: ["},
		{"a condition with a mistake", pair(true), own + "---\nresult: CONDITIONAL\n"},
		{"a rule that is not there", pair(true), strings.Replace(own, "rule: X", "rule: Y", 1)},
		{"two conditions about the same", pair(true), own + "---\n" + own},
		{"too many documents", pair(true), func() (s string) {
			for range 300 {
				s += own + "---\n"
			}
			return s
		}()},
	} {
		write(file, tt.csv)
		write(conditions, tt.conditions)
		lookTwice()
		if l.state().Version != before.Version {
			t.Errorf("%s: version %d has become %d", tt.name, before.Version, l.state().Version)
		}
	}
	for _, name := range []string{file, conditions} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	lookTwice()
	if l.state().Version != before.Version {
		t.Error("missing files have been taken over")
	}
	write(file, "")
	write(conditions, "")
	lookTwice()
	if s := l.state(); len(s.MembersOf("role:default/r"))+len(s.Conditions) != 0 {
		t.Errorf("files that are really empty: %+v", s)
	}
}

// TestReplicas: what one replica writes is in force there at once, and on others after
// they have looked once, which they do well within two seconds.
func TestReplicas(t *testing.T) {
	t.Parallel()
	if followEvery > 1500*time.Millisecond {
		t.Errorf("replicas look every %s", followEvery)
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		c := defaults()
		a, onA, _ := replica(d, c)
		b, onB, _ := replica(d, c)
		user := &permission.User{Ref: "user:default/u", Ownership: []string{"user:default/u"}}
		allows := func(p *policy) bool {
			got, err := p.Decide(t.Context(), permission.Query{Permission: use("x"), User: user})
			return err == nil && got == permission.Allow
		}
		e := editor{"user:default/alice", time.Unix(1, 0)}
		if _, err := a.change(t.Context(), func(s *engine.State) error {
			if err := e.createRole(s, wireRole{Name: "role:default/r", MemberReferences: []string{"user:default/u"}}); err != nil {
				return err
			}
			return e.createRules(s, []engine.Rule{{Subject: "role:default/r", Permission: "x", Action: "use", Effect: "allow", Source: engine.SourceREST}})
		}); err != nil {
			t.Fatal(err)
		}
		if !allows(onA) || allows(onB) {
			t.Errorf("after a write on A: %v on A, %v on B", allows(onA), allows(onB))
		}
		if err := b.catchUp(t.Context()); err != nil || !allows(onB) {
			t.Errorf("after B has looked: %v, %v", allows(onB), err)
		}
		// Writers of both replicas wait for each other, and lose nothing.
		var writers sync.WaitGroup
		for i, l := range []*live{a, b, a, b} {
			writers.Go(func() {
				for n := range 5 {
					name := fmt.Sprintf("role:default/w%d-%d", i, n)
					if _, err := l.change(t.Context(), func(s *engine.State) error {
						return e.createRole(s, wireRole{Name: name, MemberReferences: []string{"user:default/u"}})
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		s, err := a.store.Load(t.Context())
		if err != nil || len(s.Roles) != 21 {
			t.Errorf("%d roles, want 21: %v", len(s.Roles), err)
		}
		if v := s.Version; a.state().Version > v || b.state().Version > v {
			t.Errorf("versions %d and %d are ahead of the stored %d", a.state().Version, b.state().Version, v)
		}
		// A change that changes nothing is none.
		if _, err := a.change(t.Context(), func(*engine.State) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if v, err := a.store.Version(t.Context()); err != nil || v != s.Version {
			t.Errorf("version %d, want %d: %v", v, s.Version, err)
		}
	})
}
