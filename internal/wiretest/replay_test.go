package wiretest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// committed are the groups that a server of recorded answers can give. The cookies and codes
// of auth are only worth something to the backend that has made them.
var committed = []string{"health", "catalog-read", "catalog-write", "events", "permission", "rbac"}

// deviationsOf are the deviations in the committed groups.
func deviationsOf(t *testing.T, opt Options) []Deviation {
	t.Helper()
	list, err := LoadDeviations(opt.Deviations)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(d Deviation) bool { return !slices.Contains(committed, d.Group) })
}

func TestRecordedAnswersPass(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	list := deviationsOf(t, opt)
	server := goldenServer(t, loadAll(t, opt, committed...), asListed(t, list))
	sum := Run(t, server.URL, committed, opt)
	if sum.Total(Failed) != 0 || sum.Total(NotYet) != 0 || sum.Total(Deviating) != len(list) || sum.Total(Passed) != 81+172+93+22+45+113-len(list) {
		t.Errorf("recorded answers come out as\n%s", sum)
	}
}

func TestListedDeviationThatDoesNotOccurFails(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	server := goldenServer(t, loadAll(t, opt, committed...), nil)
	list := deviationsOf(t, opt)
	var failed []string
	for _, res := range replayAll(t, server.URL, opt, committed...) {
		if res.Outcome == Failed {
			failed = append(failed, res.Group+" / "+res.Exchange)
			if !strings.Contains(res.Details[0], "the answer is as recorded") {
				t.Errorf("%s: %q does not say that the deviation does not occur", res.Exchange, res.Details)
			}
		}
	}
	var want []string
	for _, d := range list {
		want = append(want, d.Group+" / "+d.Exchange)
	}
	slices.Sort(failed)
	slices.Sort(want)
	if !slices.Equal(failed, want) {
		t.Errorf("failed: %q, want every listed deviation: %q", failed, want)
	}
}

func TestAnswerThatDiffersFromItsDeviationFails(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	server := goldenServer(t, loadAll(t, opt, "catalog-read"), func(_ *Group, x *Exchange, a Answer) Answer {
		if x.Name == "by-refs case" {
			a.Body = map[string]any{"items": []any{map[string]any{"metadata": map[string]any{"name": "Checkout-API"}}}}
		}
		return a
	})
	for _, res := range replayAll(t, server.URL, opt, "catalog-read") {
		if res.Exchange == "by-refs case" {
			got := strings.Join(res.Details, "\n")
			if res.Outcome != Failed || !strings.Contains(got, "differs from the deviation that is listed") || !strings.Contains(got, `$.items[0].metadata.name is "Checkout-API"`) {
				t.Errorf("%s: %s", res.Outcome, got)
			}
		}
	}
}

// Each mutation of a single answer makes that exchange fail, with a difference that names the place.
func TestMutatedAnswersFail(t *testing.T) {
	t.Parallel()
	entity := func(a Answer) map[string]any { return a.Body.(map[string]any) }
	for _, tt := range []struct {
		name, exchange string
		mutate         func(a *Answer)
		want           string
	}{
		{"another status", "by-name missing", func(a *Answer) { a.Status = 400 }, "status is 400, want 404"},
		{"a header is missing", "by-name missing", func(a *Answer) { delete(a.Header, "vary") }, "header vary is missing"},
		{"a header is extra", "by-name missing", func(a *Answer) { a.Header["cache-control"] = []string{"no-store"} }, "header cache-control is extra"},
		{"a header has another value", "by-name missing", func(a *Answer) { a.Header["content-type"] = []string{"application/json"} }, "header content-type is"},
		{"a strong etag for a weak one", "by-name missing", func(a *Answer) { a.Header["etag"] = []string{`"x"`} }, "header etag is"},
		{"a member is missing", "by-name user:default/alice", func(a *Answer) { delete(entity(*a), "kind") }, "$.kind is missing"},
		{"a member is extra", "by-name user:default/alice", func(a *Answer) { entity(*a)["status"] = nil }, "$.status is extra"},
		{"a volatile member is missing", "by-name user:default/alice", func(a *Answer) { delete(entity(*a)["metadata"].(map[string]any), "uid") }, "$.metadata.uid is missing"},
		{"null for a volatile member", "by-name user:default/alice", func(a *Answer) { entity(*a)["metadata"].(map[string]any)["uid"] = nil }, "$.metadata.uid is null"},
		{"another value", "by-name user:default/alice", func(a *Answer) { entity(*a)["kind"] = "Usr" }, `$.kind is "Usr", want "User"`},
		{"a number for a string", "by-name user:default/alice", func(a *Answer) { entity(*a)["kind"] = 1 }, "$.kind is a number, want a string"},
		{"an object for an array", "by-name user:default/alice", func(a *Answer) { entity(*a)["relations"] = map[string]any{} }, "$.relations is an object, want an array"},
		{"an array is shorter", "by-name user:default/alice", func(a *Answer) { entity(*a)["relations"] = entity(*a)["relations"].([]any)[:1] }, "$.relations has 1 elements, want 2"},
		{"an ordered array in another order", "by-query order desc", func(a *Answer) { slices.Reverse(entity(*a)["items"].([]any)) }, "$.items[0].metadata.name is"},
		{"no message in an error", "by-name missing", func(a *Answer) { delete(entity(*a)["error"].(map[string]any), "message") }, "$.error.message is missing"},
		{"a message that is no string", "by-name missing", func(a *Answer) { entity(*a)["error"].(map[string]any)["message"] = []any{} }, "$.error.message is an array"},
		{"a body where there is none", "by-query no credentials", func(a *Answer) { a.Body = "denied" }, "$ is a string, want an object"},
		{"a location with the name of another target", "ancestry fixture-root", func(a *Answer) {
			for _, s := range slots(&a.Body, "$.items[*].entity.metadata.name") {
				if strings.HasPrefix(s.value.(string), "generated-") {
					s.set(generatedName("url:http://127.0.0.1:1/x.yaml"))
				}
			}
		}, ".metadata.name is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opt := testOptions(t)
			g := loadAll(t, opt, "catalog-read")[0]
			i := slices.IndexFunc(g.Exchanges, func(x *Exchange) bool { return x.Name == tt.exchange })
			x := g.Exchanges[i]
			mutated := x.Answer.clone()
			mutated.Body = normal(mutated.Body, "") // a deep copy
			tt.mutate(&mutated)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, mutated) }))
			defer server.Close()
			r, err := NewReplayer(server.URL, opt)
			if err != nil {
				t.Fatal(err)
			}
			res := r.Exchange(t.Context(), g, x)
			if got := strings.Join(res.Details, "\n"); res.Outcome != Failed || !strings.Contains(got, tt.want) {
				t.Errorf("%s: %q, want failed with %q", res.Outcome, got, tt.want)
			}
		})
	}
}

// What may differ from run to run does not make an exchange fail.
func TestVolatileAndUnorderedDifferencesPass(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	reorder := func(_ *Group, x *Exchange, a Answer) Answer {
		switch x.Name {
		case "by-name missing":
			a.Body.(map[string]any)["error"].(map[string]any)["message"] = "our own words"
		case "by-name user:default/alice":
			doc := a.Body.(map[string]any)
			slices.Reverse(doc["relations"].([]any))
			doc["metadata"].(map[string]any)["uid"] = "0c9bd9a2-6a9c-44a8-a7a4-0f8c3f3a3b11"
		case "entities all":
			slices.Reverse(a.Body.([]any))
		}
		return a
	}
	server := goldenServer(t, loadAll(t, opt, "catalog-read"), reorder)
	for _, res := range replayAll(t, server.URL, opt, "catalog-read") {
		// Deviations must deviate, which the recorded answers do not.
		if res.Outcome == Failed && !strings.Contains(strings.Join(res.Details, " "), "is listed as a deviation") {
			t.Errorf("%s: %q", res.Exchange, res.Details)
		}
	}
}

func TestMissingPluginsAndRoutesCountAsNotYet(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	opt.Installed = []string{"catalog"}
	opt.NotYet = []string{"/api/catalog/.backstage/**", "GET /api/catalog/.well-known/**", "POST /api/catalog/refresh", "health: gzip"}
	all := loadAll(t, opt, "health")[0]
	asked := &Group{Name: "health"}
	var notYet []string
	for _, x := range all.Exchanges {
		path := x.Request.Path
		other := strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/catalog/") && !strings.HasPrefix(path, "/api/nosuchplugin") && path != "/api/"
		app := x.Name == "unknown health" || x.Name == "instance metadata"
		route := strings.Contains(path, "/.backstage/auth") || strings.Contains(path, "/scheduler/") || strings.Contains(path, "/.well-known/") || x.Name == "limited token write" || x.Name == "gzip"
		if other || app || route {
			notYet = append(notYet, x.Name)
		} else {
			asked.Exchanges = append(asked.Exchanges, x)
		}
	}
	server := goldenServer(t, []*Group{asked}, nil)
	var got []string
	for _, res := range replayAll(t, server.URL, opt, "health") {
		switch res.Outcome {
		case NotYet:
			got = append(got, res.Exchange)
		case Failed:
			t.Errorf("%s: %q", res.Exchange, res.Details)
		}
	}
	if !slices.Equal(got, notYet) {
		t.Errorf("not yet: %q\nwant:    %q", got, notYet)
	}
}

// A value that an answer does not give fails the exchange that needs it, and counts it as not yet where the answer
// was not asked for.
func TestCapturedValuesThatAreMissing(t *testing.T) {
	t.Parallel()
	const text = "== give\n> GET /api/catalog/a\n< 200\ncapture x $.id\n\n== need\n> GET /api/catalog/b/{{x}}\n< 200\n"
	for _, tt := range []struct {
		name   string
		notYet []string
		want   Outcome
		why    string
	}{
		{"the answer has none", nil, Failed, "needs {{x}}, which no earlier answer gave"},
		{"the route is not there yet", []string{"/api/catalog/a"}, NotYet, "needs {{x}}, which comes from an exchange that is not yet there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opt := testOptions(t)
			opt.Recordings, opt.NotYet = t.TempDir(), tt.notYet
			if err := os.WriteFile(filepath.Join(opt.Recordings, "tiny.txt"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.UserAgent() == agentStep {
					answerStep(w, r)
				}
			}))
			defer server.Close()
			res := replayAll(t, server.URL, opt, "tiny")[1]
			if res.Outcome != tt.want || res.Details[0] != tt.why {
				t.Errorf("%s: %q, want %s: %q", res.Outcome, res.Details, tt.want, tt.why)
			}
		})
	}
}

func TestUnreachableBackendFailsEveryExchange(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	server := httptest.NewServer(nil)
	server.Close()
	r, err := NewReplayer(server.URL, opt)
	if err != nil {
		t.Fatal(err)
	}
	g := loadAll(t, opt, "health")[0]
	res := r.Exchange(t.Context(), g, g.Exchanges[0])
	if got := strings.Join(res.Details, "\n"); res.Outcome != Failed || !strings.Contains(got, "status is 0, want 200") || !strings.Contains(got, "no response") {
		t.Errorf("%s: %q", res.Outcome, got)
	}
}

func TestCommittedRecordings(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	total := int64(0)
	files, err := filepath.Glob(filepath.Join(opt.Recordings, "*.txt"))
	if err != nil || len(files) < len(committed) {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		total += int64(len(text))
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		g, err := Parse(name, string(text))
		if err != nil {
			t.Error(err)
			continue
		}
		if again := Format(g); again != string(text) {
			t.Errorf("%s: writing it again gives another text; run: go run ./internal/wiretest/gen -from DIR %s", f, name)
		}
		for _, x := range g.Exchanges {
			for _, part := range []string{"127.0.0.1:7198", "127.0.0.1:7107", "/tmp/"} {
				if strings.Contains(x.Request.Path+x.Request.Body+compactJSON(x.Answer.Body), part) {
					t.Errorf("%s, %s: %s is a place of the recording; it must be a placeholder", f, x.Name, part)
				}
			}
			for _, s := range slots(&x.Answer.Body, "$.error.message") {
				if s.value != markText {
					t.Errorf("%s, %s: the message %q is not ours; it must be %s", f, x.Name, s.value, markText)
				}
			}
			if keys := slices.Collect(maps.Keys(x.Answer.Header)); slices.Contains(keys, "etag") && x.Answer.Header["etag"][0] != "W/" {
				t.Errorf("%s, %s: etag %q", f, x.Name, x.Answer.Header["etag"])
			}
		}
	}
	if total > 3<<20 {
		t.Errorf("the recordings have %d bytes", total)
	}
}
