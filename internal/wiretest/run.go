// Package wiretest replays recorded HTTP exchanges against a running backend and compares the answers with the
// recorded ones: status, the headers that clients look at, and the whole body. Volatile values (ids, times, tokens,
// etags) are compared by shape, and prose (error messages, descriptions of actions and rules) by presence and type.
//
// The exchanges are in testdata/recordings, one text file per group; Parse describes the form. Where the contract
// orders another answer than the recorded one, testdata/deviations.yaml says so. A test starts a backend with Config
// and calls Run:
//
//	files := fixtures.Start(t)
//	cfg := wiretest.Config(files.URL(), files.Dir(), base)
//	… start the backend with cfg on base …
//	wiretest.Run(t, base, []string{"health", "catalog-read"}, wiretest.Options{
//		Fixtures: files, Installed: []string{"catalog"},
//	})
//
// Groups change the backend, so that each run needs empty databases. A backend that runs elsewhere is replayed with
// internal/wiretest/cmd/replay. To add a group: go run ./internal/wiretest/gen -from DIR GROUP.
package wiretest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// Run replays groups in the given order against the backend at base. Each exchange is a subtest: one that fails is
// an error with its differences, one of a plugin or route that is not there yet is skipped. A deviation that is
// listed and does not occur fails. The summary is logged at the end and returned.
func Run(t *testing.T, base string, groups []string, opt Options) Summary {
	t.Helper()
	r, err := NewReplayer(base, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var results []Result
	for _, name := range groups {
		g, err := r.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			for _, x := range g.Exchanges {
				t.Run(x.Name, func(t *testing.T) {
					res := r.Exchange(t.Context(), g, x)
					results = append(results, res)
					report(t, x, res)
				})
			}
		})
	}
	sum := Summarize(results)
	t.Logf("replay of %s:\n%s", base, sum)
	return sum
}

func report(t *testing.T, x *Exchange, res Result) {
	t.Helper()
	details := strings.Join(res.Details, "\n")
	switch res.Outcome {
	case Deviating:
		t.Logf("deviates: %s", details)
	case NotYet:
		t.Skipf("not yet: %s", details)
	case Failed:
		if x.Note != "" {
			details += "\nnote: " + x.Note
		}
		t.Errorf("%s %s\n%s", x.Request.Method, x.Request.Path, details)
	}
}

// A Summary counts results by group.
type Summary struct{ Groups []GroupSummary }

// GroupSummary counts the results of one group, by outcome.
type GroupSummary struct {
	Name  string
	Count [Failed + 1]int
}

// Summarize counts results, with the groups in the order in which they come.
func Summarize(results []Result) Summary {
	var s Summary
	for _, r := range results {
		i := slices.IndexFunc(s.Groups, func(g GroupSummary) bool { return g.Name == r.Group })
		if i < 0 {
			i = len(s.Groups)
			s.Groups = append(s.Groups, GroupSummary{Name: r.Group})
		}
		s.Groups[i].Count[r.Outcome]++
	}
	return s
}

// Total counts the results of all groups with the given outcome.
func (s Summary) Total(o Outcome) (n int) {
	for _, g := range s.Groups {
		n += g.Count[o]
	}
	return n
}

// String is a table with a line per group and one for the total.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %7s %9s %7s %7s\n", "", Passed, Deviating, NotYet, Failed)
	line(&b, "all", [...]int{s.Total(Passed), s.Total(Deviating), s.Total(NotYet), s.Total(Failed)})
	for _, g := range s.Groups {
		line(&b, g.Name, g.Count)
	}
	return b.String()
}

func line(w io.Writer, name string, count [Failed + 1]int) {
	fmt.Fprintf(w, "%-16s %7d %9d %7d %7d\n", name, count[Passed], count[Deviating], count[NotYet], count[Failed])
}
