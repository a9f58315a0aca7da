package wiretest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/callboard-dev/callboard/internal/wiretest/fixtures"
)

// testOptions replays everything, with the project's recordings.
func testOptions(t *testing.T) Options {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Fixtures:   fixtures.Start(t),
		Installed:  plugins,
		Tokens:     map[string]string{"alice": "token-of-alice", "bobby": "token-of-bobby"},
		Recordings: filepath.Join(root, "testdata", "recordings"),
		Deviations: filepath.Join(root, "testdata", "deviations.yaml"),
	}
}

// goldenServer is a backend that knows nothing but the recorded answers: it gives them in order. change may replace
// the answer to an exchange; it may be nil.
func goldenServer(t *testing.T, groups []*Group, change func(g *Group, x *Exchange, a Answer) Answer) *httptest.Server {
	t.Helper()
	type turn struct {
		g *Group
		x *Exchange
	}
	var turns []turn
	for _, g := range groups {
		for _, x := range g.Exchanges {
			turns = append(turns, turn{g, x})
		}
	}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() == agentStep {
			answerStep(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if len(turns) == 0 {
			t.Errorf("%s %s came after the last exchange", r.Method, r.RequestURI)
			return
		}
		g, x := turns[0].g, turns[0].x
		turns = turns[1:]
		checkRequest(t, r, x)
		a := x.Answer.clone()
		if change != nil {
			a = change(g, x, a)
		}
		if a.Status == 0 { // no answer came
			<-r.Context().Done()
			return
		}
		writeAnswer(w, a)
	}))
	t.Cleanup(server.Close)
	return server
}

// answerStep answers what the replay asks for itself: readiness, sign-in, ids.
func answerStep(w http.ResponseWriter, r *http.Request) {
	status, body := http.StatusOK, ""
	switch path := r.URL.Path; {
	case path == "/api/auth/guest/refresh":
		body = `{"backstageIdentity":{"token":"guest-token-of-the-golden-server"}}`
	case path == "/api/catalog/entities/by-query":
		body = `{"items":[],"totalItems":42,"pageInfo":{}}`
	case path == "/api/catalog/entities":
		body = `[]`
	case strings.HasSuffix(path, "/dyn-two"):
		status, body = http.StatusNotFound, `{}`
	default:
		body = `{"metadata":{"uid":"11111111-2222-4333-8444-555555555555"},"relations":[{"type":"ownedBy"}]}`
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

var patternFilled = regexp.MustCompile(`\\\{\\\{[^}]*\\\}\\\}`)

// checkRequest compares what arrived with what the recording says, where placeholders stand for anything.
func checkRequest(t *testing.T, r *http.Request, x *Exchange) {
	t.Helper()
	matches := func(want, got string) bool {
		pattern := patternFilled.ReplaceAllString(regexp.QuoteMeta(want), ".+")
		return regexp.MustCompile("^"+pattern+"$").MatchString(got) && !strings.Contains(got, "{{")
	}
	if r.Method != x.Request.Method || !matches(x.Request.Path, r.RequestURI) {
		t.Errorf("%s: the request is %s %s, want %s %s", x.Name, r.Method, r.RequestURI, x.Request.Method, x.Request.Path)
	}
	for _, f := range x.Request.Header {
		if !matches(f.Value, r.Header.Get(f.Name)) {
			t.Errorf("%s: header %s is %q, want %q", x.Name, f.Name, r.Header.Get(f.Name), f.Value)
		}
	}
	for name := range r.Header {
		sent := name == "Content-Length"
		for _, f := range x.Request.Header {
			sent = sent || strings.EqualFold(f.Name, name)
		}
		if !sent {
			t.Errorf("%s: header %s was sent, which the recording does not have", x.Name, name)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != x.Request.Body {
		t.Errorf("%s: the body is %q, want %q (%v)", x.Name, body, x.Request.Body, err)
	}
}

func writeAnswer(w http.ResponseWriter, a Answer) {
	for name, values := range a.Header {
		for _, v := range values {
			w.Header().Add(name, v)
		}
	}
	var data []byte
	if s, ok := a.Body.(string); ok {
		data = []byte(s)
	} else {
		data, _ = json.Marshal(a.Body)
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header()["Content-Type"] = nil // no guessing
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(data)
}

// replayAll replays the groups against the server and returns the results.
func replayAll(t *testing.T, url string, opt Options, names ...string) []Result {
	t.Helper()
	r, err := NewReplayer(url, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out []Result
	for _, name := range names {
		g, err := r.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range g.Exchanges {
			out = append(out, r.Exchange(t.Context(), g, x))
		}
	}
	return out
}

// loadAll reads groups as the replay with these options does.
func loadAll(t *testing.T, opt Options, names ...string) []*Group {
	t.Helper()
	var out []*Group
	for _, name := range names {
		g, err := Load(opt.Recordings, name, Places{Fixtures: opt.Fixtures.URL(), Files: opt.Fixtures.Dir()})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

// asListed answers what the deviations order, and otherwise as recorded.
func asListed(t *testing.T, list []Deviation) func(*Group, *Exchange, Answer) Answer {
	return func(g *Group, x *Exchange, a Answer) Answer {
		for _, d := range list {
			if d.Group != g.Name || d.Exchange != x.Name {
				continue
			}
			ordered, err := d.apply(x)
			if err != nil {
				t.Error(err)
				return a
			}
			a = ordered.Answer
			for _, path := range d.Expect.Ignore {
				for _, s := range slots(&a.Body, path) {
					s.set([]any{"something of our own"})
				}
			}
		}
		return a
	}
}
