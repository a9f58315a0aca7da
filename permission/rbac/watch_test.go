package rbac

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// looking is a watcher whose clock goes on half a second with each look.
type looking struct {
	*watcher
	t     *testing.T
	clock time.Time
}

func newLooking(t *testing.T, file string) *looking {
	t.Helper()
	c := defaults()
	c.PoliciesCSVFile, c.PolicyFileReload = file, true
	_, _, f := replica(dbtest.SQLite(t, store.Migrations()), c)
	l := &looking{&watcher{files: f}, t, time.Unix(1_000_000, 0)}
	f.settle, f.now = settleAfter, func() time.Time { return l.clock }
	l.hashed = l.clock.Add(time.Hour) // looks go by time and size
	if err := f.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// looks looks n times, and then holds that rules of the file are in force.
func (l *looking) looks(n int, want string) {
	l.t.Helper()
	for range n {
		l.clock = l.clock.Add(watchEvery)
		l.look(l.t.Context())
	}
	var got []string
	for _, r := range l.live.state().RulesOf("role:default/r") {
		got = append(got, r.Permission)
	}
	if strings.Join(got, " ") != want {
		l.t.Errorf("%q are in force, want %q", strings.Join(got, " "), want)
	}
}

// policyOf is a file with one rule per permission.
func policyOf(permissions ...string) string {
	text := "g, user:default/u, role:default/r\n"
	for _, p := range permissions {
		text += fmt.Sprintf("p, role:default/r, %s, use, allow\n", p)
	}
	return text
}

// put writes a file, at a time of its own: clocks of file systems are coarse.
func (l *looking) put(file, text string) {
	l.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.clock = l.clock.Add(time.Microsecond)
	if err := os.Chtimes(file, l.clock, l.clock); err != nil {
		l.t.Fatal(err)
	}
}

// TestSEC87_AFileThatIsBeingWritten: what is in the file so far is no version of it, even
// if it ends with a whole line and its writer pauses.
func TestSEC87_AFileThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.csv")
	if err := os.WriteFile(file, []byte(policyOf("a", "b", "c")), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLooking(t, file)
	l.looks(2, "a b c")

	// In place, with pauses of some seconds at ends of lines.
	for _, part := range [][]string{nil, {"a"}, {"a", "b"}} {
		l.put(file, policyOf(part...))
		l.looks(9, "a b c")
	}
	l.put(file, policyOf("a", "b", "c", "d"))
	l.looks(1, "a b c")
	l.looks(1, "a b c d") // it has lost nothing, and has stayed as it is for a round

	// A writer that only adds is never still for a round.
	parts := []string{"a", "b", "c", "d"}
	for n := range 8 {
		parts = append(parts, fmt.Sprintf("e%d", n))
		l.put(file, policyOf(parts...))
		l.looks(1, "a b c d")
	}
	l.looks(1, strings.Join(parts, " "))

	// Rows that are gone for good count after a while.
	l.put(file, policyOf("a"))
	l.looks(10, strings.Join(parts, " "))
	l.looks(1, "a")
	l.put(file, "")
	l.looks(10, "a")
	l.looks(1, "")

	// A file that is written beside and renamed is whole.
	l.put(file, policyOf("a", "b"))
	l.looks(2, "a b")
	l.put(file+".new", policyOf("b"))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	l.looks(1, "a b")
	l.looks(1, "b")

	// One that is made in the place of another and then written is not.
	l.looks(1, "b")
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	l.looks(3, "b")
	l.put(file, "")
	l.looks(1, "b")
	l.put(file, policyOf())
	l.looks(9, "b")
	l.put(file, policyOf("b", "c"))
	l.looks(2, "b c")
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	l.looks(1, "b c")
	l.put(file, policyOf("b"))
	l.looks(9, "b c")
	l.looks(2, "b")
}

// TestSEC87_ReadsAreNotTorn: a file that changes while it is read, or between the look at
// it and the reading, is read again.
func TestSEC87_ReadsAreNotTorn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.csv")
	first, second := policyOf("aa", "deny-me", "bb"), policyOf("cc", "deny-me", "dd") // of the same size
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLooking(t, file)
	half := len(first) / 2
	reads := 0
	l.readFile = func(name string) ([]byte, error) {
		reads++
		text, err := os.ReadFile(name)
		if reads > 1 || err != nil {
			return text, err
		}
		l.put(file, second)
		rest, err := os.ReadFile(name)
		return append(text[:half:half], rest[half:]...), err
	}
	if text, err := l.read(0); err != nil || string(text) != second || reads != 2 {
		t.Errorf("after %d reads: %v\n%s", reads, err, text)
	}
	l.readFile = os.ReadFile

	// Between the look and the reading, the file is cut off at the end of a line.
	l.have = [2]content{}
	l.put(file, policyOf("aa", "deny-me", "bb", "ee"))
	l.looks(1, "aa deny-me bb")
	l.readFile = func(name string) ([]byte, error) {
		l.readFile = os.ReadFile
		l.put(file, policyOf("aa"))
		return os.ReadFile(name)
	}
	l.looks(1, "aa deny-me bb")
	l.put(file, policyOf("aa", "deny-me", "bb", "ee"))
	l.looks(2, "aa deny-me bb ee")

	// A change that leaves time and size as they are is found by what is in the file.
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	l.put(file, policyOf("aa", "deny-me", "bb", "ff"))
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	l.looks(4, "aa deny-me bb ee")
	l.hashed = time.Time{}
	l.looks(1, "aa deny-me bb ff")
}

// TestSEC87_ABatchIsOfOneVersion: however often the policy changes meanwhile, all answers of
// a request are by one version of it.
func TestSEC87_ABatchIsOfOneVersion(t *testing.T) {
	t.Parallel()
	l, p, _ := replica(dbtest.SQLite(t, store.Migrations()), defaults())
	states := [2]*engine.State{{}, {}}
	for i, effect := range []string{"allow", "deny"} {
		states[i].Roles = []engine.Role{{Ref: "role:default/r"}}
		states[i].Members = []engine.Member{{Ref: "user:default/u", Role: "role:default/r"}}
		states[i].Rules = []engine.Rule{{Subject: "role:default/r", Permission: "x", Action: "use", Effect: effect}}
	}
	l.adopt(states[0])
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			l.adopt(states[n%2])
		}
	})
	user := &permission.User{Ref: "user:default/u"}
	batch := slices.Repeat([]permission.Permission{use("x")}, 5000)
	seen := map[permission.Decision]int{}
	for n := 0; n < 200 || len(seen) < 2; n++ {
		got, err := p.DecideAll(t.Context(), user, batch)
		if err != nil {
			t.Fatal(err)
		}
		seen[got[0]]++
		if i := slices.IndexFunc(got, func(d permission.Decision) bool { return d != got[0] }); i >= 0 {
			t.Fatalf("batch %d: answer 0 is %s, answer %d is %s", n, got[0], i, got[i])
		}
	}
	stop()
	writer.Wait()
}
