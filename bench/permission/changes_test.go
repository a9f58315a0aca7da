package permissionbench

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

var (
	seconds = flag.Float64("seconds", 0, "how long is measured; 0: a trial")
	rate    = flag.Int("rate", 10_000, "decisions per second")
	roles   = flag.Int("roles", 10, "roles of the policy file beside those that are asked about")
	rules   = flag.Int("rules", 10, "rules of each")
)

// batch is how many decisions a request is about.
const batch = 50

// policyText is a policy of which two rows change together.
func policyText(odd bool) string {
	var b strings.Builder
	effect := map[bool]string{true: "allow", false: "deny"}
	fmt.Fprintf(&b, "g, user:default/u, role:default/r\np, role:default/r, odd, use, %s\n", effect[odd])
	for i := range *roles {
		fmt.Fprintf(&b, "g, user:default/m%d, role:default/r%d\n", i, i)
		for j := range *rules {
			fmt.Fprintf(&b, "p, role:default/r%d, thing.%d, use, allow\n", i, j)
		}
	}
	fmt.Fprintf(&b, "p, role:default/r, even, use, %s\n", effect[!odd])
	return b.String()
}

// A tally is what all goroutines found. The zero value is ready to use.
type tally struct {
	mu        sync.Mutex
	answered  int // decisions
	last      time.Time
	torn      int // batches with answers of two versions
	failed    []error
	latencies []time.Duration // of batches, from when they were due
	visible   map[string][]time.Duration
	enough    func() // called once there is something of everything; nil if time decides
}

func (c *tally) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, err)
}

func (c *tally) seen(what string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.visible == nil {
		c.visible = map[string][]time.Duration{}
	}
	c.visible[what] = append(c.visible[what], took)
	if c.enough != nil && len(c.visible) >= 4 && c.answered > 0 { // two of REST, two of the file
		c.enough()
	}
}

// TestChanges measures and prints the table of bench/RESULTS.md. Without -seconds it holds
// that all of it works.
func TestChanges(t *testing.T) {
	lasting := time.Duration(*seconds * float64(time.Second))
	trial := lasting == 0
	if trial {
		lasting, *rate = time.Minute, 500
	}
	database := pgtest.New(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.csv")
	if err := os.WriteFile(file, []byte(policyText(true)), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []*replica{startReplica(t, database, file), startReplica(t, database, file)}
	for _, member := range []string{"user:default/u", "user:default/w"} {
		name := strings.TrimPrefix(member, "user:default/")
		if _, err := all[0].send(all[0].editor, http.MethodPost, "/api/permission/roles", fmt.Appendf(nil, `{"name":"role:default/ui-%s","memberReferences":[%q]}`, name, member)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), lasting)
	defer stop()
	c := &tally{}
	if trial {
		c.enough = stop
	}
	used := cpuTime(t)
	began := time.Now()
	var running sync.WaitGroup
	const workers = 16
	for i := range workers {
		running.Go(func() { c.load(ctx, all[i%len(all)], began, i, workers) })
	}
	running.Go(func() { c.rewrite(ctx, dir, file, all) })
	running.Go(func() { c.edit(ctx, all) })
	running.Go(func() { c.write(ctx, all[0]) })
	running.Wait()
	c.report(t, c.last.Sub(began), cpuTime(t)-used)
}

// cpuTime is that of this process.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load sends its share of the batches when they are due, and holds that each is answered
// by one version of the policy.
func (c *tally) load(ctx context.Context, r *replica, began time.Time, first, of int) {
	names := []string{"odd", "even"}
	for i := range batch - 2 {
		names = append(names, fmt.Sprintf("thing.%d", i))
	}
	body := questions(names...)
	every := time.Second * batch / time.Duration(*rate)
	for n := first; ; n += of {
		due := began.Add(time.Duration(n) * every)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		got, err := r.ask(body)
		if err != nil {
			c.fail(err)
			continue
		}
		c.mu.Lock()
		c.answered += len(got)
		c.last = time.Now()
		c.latencies = append(c.latencies, time.Since(due))
		if got[0] == got[1] {
			c.torn++
		}
		c.mu.Unlock()
	}
}

// until asks a replica until it answers as it should.
func until(ctx context.Context, r *replica, name string, want bool) bool {
	for r.allows(name) != want {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// rewrite changes the file in all ways, and measures how long it takes until both replicas
// go by it.
func (c *tally) rewrite(ctx context.Context, dir, file string, all []*replica) {
	put := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			c.fail(err)
		}
	}
	rename := func(from string) {
		if err := os.Rename(from, file); err != nil {
			c.fail(err)
		}
	}
	pause := func() { time.Sleep(700 * time.Millisecond) }
	for n := 0; ctx.Err() == nil; n++ {
		odd := n%2 == 1
		text := policyText(odd)
		half := strings.LastIndex(text[:len(text)/2], "\n") + 1
		var began time.Time
		ways := []struct {
			name  string
			write func()
		}{
			{"rewritten in place", func() { put(file, text) }},
			{"cut off at the end of a line, then whole", func() { put(file, text[:half]); pause(); began = time.Now(); put(file, text) }},
			{"invalid, then mended", func() { put(file, text+"p, role:default/r\n"); pause(); began = time.Now(); put(file, text) }},
			{"renamed", func() { put(file+".new", text); began = time.Now(); rename(file + ".new") }},
			{"swapped by a link", func() {
				version := filepath.Join(dir, fmt.Sprintf("..%d", n))
				put(version, text)
				if err := os.Symlink(version, filepath.Join(dir, "link")); err != nil {
					c.fail(err)
				}
				began = time.Now()
				rename(filepath.Join(dir, "link"))
			}},
		}
		way := ways[n%len(ways)]
		if way.name != "swapped by a link" { // what was a link becomes a file again
			text, err := os.ReadFile(file)
			if err != nil {
				c.fail(err)
			}
			if info, err := os.Lstat(file); err == nil && info.Mode()&os.ModeSymlink != 0 {
				put(file+".file", string(text))
				rename(file + ".file")
				pause()
			}
		}
		began = time.Now()
		way.write()
		for _, r := range all {
			if !until(ctx, r, "odd", odd) {
				return
			}
		}
		c.seen("the file, "+way.name, time.Since(began))
	}
}

// edit gives and takes a rule by the REST API of one replica, and measures until the other
// goes by it.
func (c *tally) edit(ctx context.Context, all []*replica) {
	here, there := all[0], all[1]
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("edited.%d", n/2)
		rule := fmt.Sprintf(`[{"entityReference":"role:default/ui-u","permission":%q,"policy":"use","effect":"allow"}]`, name)
		method, path := http.MethodPost, "/api/permission/policies"
		if n%2 == 1 {
			method, path = http.MethodDelete, "/api/permission/policies/role/default/ui-u"
		}
		began := time.Now()
		if _, err := here.send(here.editor, method, path, []byte(rule)); err != nil {
			c.fail(err)
			return
		}
		c.seen("REST, its own replica answers", time.Since(began))
		if here.allows(name) != (n%2 == 0) {
			c.fail(fmt.Errorf("%s %s is not in force where it was answered", method, name))
		}
		if !until(ctx, there, name, n%2 == 0) {
			return
		}
		c.seen("REST, the other replica", time.Since(began))
	}
}

// write changes another role all the time.
func (c *tally) write(ctx context.Context, r *replica) {
	for n := 0; ctx.Err() == nil; n++ {
		rule := fmt.Sprintf(`[{"entityReference":"role:default/ui-w","permission":"written.%d","policy":"use","effect":"allow"}]`, n)
		if _, err := r.send(r.editor, http.MethodPost, "/api/permission/policies", []byte(rule)); err != nil {
			c.fail(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *tally) report(t *testing.T, took, cpu time.Duration) {
	at := func(list []time.Duration, percent int) string {
		if len(list) == 0 {
			return "-"
		}
		slices.Sort(list)
		return fmt.Sprintf("%.1f", float64(list[min(len(list)-1, len(list)*percent/100)].Microseconds())/1000)
	}
	fmt.Printf("\n%d rules in the file, %d decisions per request; %.0f s\n\n", *roles**rules+2, batch, took.Seconds())
	fmt.Printf("| decisions/s | asked for | errors | answers of two versions | cores of both replicas and the load generator | p50 of a request, ms | p99 | longest |\n|---|---|---|---|---|---|---|---|\n")
	fmt.Printf("| %.0f | %d | %d | %d | %.2f | %s | %s | %s |\n\n", float64(c.answered)/took.Seconds(), *rate, len(c.failed), c.torn, cpu.Seconds()/took.Seconds(), at(c.latencies, 50), at(c.latencies, 99), at(c.latencies, 100))
	fmt.Printf("| change | times | until it is in force, ms: median | longest |\n|---|---|---|---|\n")
	var names []string
	for name := range c.visible {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("| %s | %d | %s | %s |\n", name, len(c.visible[name]), at(c.visible[name], 50), at(c.visible[name], 100))
	}
	for i, err := range c.failed {
		if i < 10 {
			t.Error(err)
		}
	}
	if c.torn > 0 || c.answered == 0 || len(c.visible["REST, the other replica"]) == 0 {
		t.Errorf("%d decisions, %d answers of two versions, visible %v", c.answered, c.torn, c.visible)
	}
}
