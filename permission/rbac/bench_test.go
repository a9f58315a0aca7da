package rbac

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// loadedPolicy is 20,000 rules and a user with one of the roles.
func loadedPolicy(t testing.TB) (*policy, *files, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.csv")
	c := defaults()
	c.PoliciesCSVFile = file
	_, p, f := replica(dbtest.SQLite(t, store.Migrations()), c)
	return p, f, file
}

// manyRules writes 20,000 rules, of which a share depends on n.
func manyRules(t testing.TB, file string, n int) {
	t.Helper()
	var text strings.Builder
	for i := range 20_000 {
		version := 0
		if i%10 == 0 {
			version = n
		}
		fmt.Fprintf(&text, "p, role:default/r%d, thing.%d.%d, read, allow\n", i%400, i, version)
	}
	for i := range 400 {
		fmt.Fprintf(&text, "g, user:default/u%d, role:default/r%d\n", i, i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

var readThing = permission.Permission{Name: "thing.1.0", Action: "read"}

// TestPolicyAllocatesLittle: the way from the framework to a decision allocates the
// decisions and who asks, and nothing else.
func TestPolicyAllocatesLittle(t *testing.T) {
	p, f, file := loadedPolicy(t)
	manyRules(t, file, 0)
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	user := &permission.User{Ref: "user:default/u1", Ownership: []string{"user:default/u1"}}
	q := []permission.Permission{readThing}
	ask := func() {
		if d, err := p.DecideAll(context.Background(), user, q); err != nil || d[0] != permission.Allow {
			t.Fatal(d, err)
		}
	}
	ask() // who asks is known from now on
	if n := testing.AllocsPerRun(100, ask); n > 2 {
		t.Errorf("%v allocations, want at most 2", n)
	}
}

func BenchmarkPolicy(b *testing.B) {
	p, f, file := loadedPolicy(b)
	manyRules(b, file, 0)
	if err := f.start(b.Context()); err != nil {
		b.Fatal(err)
	}
	user := &permission.User{Ref: "user:default/u1", Ownership: []string{"user:default/u1"}}
	q := []permission.Permission{readThing}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.DecideAll(b.Context(), user, q); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload takes over a file of 20,000 rules of which a tenth has changed, while
// somebody asks all the time; decisions/op is how often that was answered meanwhile.
func BenchmarkReload(b *testing.B) {
	p, f, file := loadedPolicy(b)
	manyRules(b, file, 0)
	if err := f.start(b.Context()); err != nil {
		b.Fatal(err)
	}
	user := &permission.User{Ref: "user:default/u1", Ownership: []string{"user:default/u1"}}
	ctx, stop := context.WithCancel(b.Context())
	var reader sync.WaitGroup
	var answered atomic.Int64
	reader.Go(func() {
		for ctx.Err() == nil {
			if d, err := p.Decide(ctx, permission.Query{Permission: readThing, User: user}); err != nil || d != permission.Allow {
				b.Errorf("%v %v", d, err)
			}
			answered.Add(1)
		}
	})
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		manyRules(b, file, n)
		info, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		answered.Store(0)
		b.StartTimer()
		f.reload(b.Context(), [2]change{{info, true}})
		if answered.Load() == 0 {
			b.Error("nobody was answered while the file was taken over")
		}
	}
	b.ReportMetric(float64(answered.Load()), "decisions/op")
	stop()
	reader.Wait()
}
