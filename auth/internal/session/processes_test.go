package session_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/seal"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// replicaEnv is set in processes that are replicas of the tests below.
const replicaEnv = "CALLBOARD_TEST_SESSION_REPLICA"

// replica is what such a process is told.
type replica struct {
	Name, Database, Issuer string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(replicaEnv); text != "" {
		var r replica
		err := json.Unmarshal([]byte(text), &r)
		if err == nil {
			err = r.run(os.Stdin, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func openDB(url string) (db.DB, func() error, error) {
	m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(url)}})
	if err != nil {
		return nil, nil, err
	}
	p := m.Plugin("auth")
	_, err = p.Migrate(context.Background(), store.Migrations())
	return p.DB(), m.Close, err
}

// storm is a line that a replica gets: N parallel refreshes of the session of a cookie.
type storm struct {
	N      int
	Cookie string
}

// answered is the line that it writes for each of them.
type answered struct {
	Status        int
	Value, Cookie string
	Error         string
}

func (r replica) run(in io.Reader, out io.Writer) error {
	d, closeDB, err := openDB(r.Database)
	if err != nil {
		return err
	}
	defer closeDB()
	s, err := seal.New("auth", []string{"the secret of all replicas"})
	if err != nil {
		return err
	}
	k := session.New(session.Options{Store: store.New(d), Sealer: s, Lease: 3 * time.Second, Wait: 20 * time.Second})
	fmt.Fprintln(out, "ready")
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	for lines := json.NewDecoder(in); ; {
		var s storm
		if err := lines.Decode(&s); err != nil {
			return nil // the parent has ended
		}
		for range s.N {
			wg.Go(func() {
				got, err := k.Refresh(context.Background(), session.Request{Provider: "oidc", Env: "production", Cookie: s.Cookie, Scope: "openid"}, r.ask)
				a := answered{Status: 200, Value: string(got.Value), Cookie: got.Cookie}
				if err != nil {
					a = answered{Status: apierr.StatusOf(err), Error: err.Error()}
				}
				mu.Lock()
				defer mu.Unlock()
				_ = json.NewEncoder(out).Encode(a)
			})
		}
	}
}

// ask calls the issuer, as a provider does.
func (r replica) ask(ctx context.Context, token string) (session.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Issuer+"/token", strings.NewReader(token))
	if err != nil {
		return session.Answer{}, err
	}
	req.Header.Set("Replica", r.Name)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return session.Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return session.Answer{}, err
	}
	if res.StatusCode != http.StatusOK {
		return session.Answer{}, fmt.Errorf("%w: %s", session.ErrEnded, body)
	}
	return session.Answer{RefreshToken: string(body), Value: []byte("access with " + string(body))}, nil
}

// family is a session at an issuer that is served over HTTP: tokens are for one use, and
// the use of an old one revokes them all.
type family struct {
	issuer
	slow   time.Duration
	before func(replica string) // called before a token is used, and
	after  func(replica string) // before the answer is sent
}

func (f *family) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := io.ReadAll(r.Body)
	name := r.Header.Get("Replica")
	if f.before != nil {
		f.before(name)
	}
	a, err := f.ask(r.Context(), string(token))
	time.Sleep(f.slow)
	if f.after != nil {
		f.after(name)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, a.RefreshToken)
}

// process is a running replica.
type process struct {
	*exec.Cmd
	in  *json.Encoder
	out <-chan answered // closed when it has ended
}

// cluster is three replicas, an issuer, and one session.
type cluster struct {
	*testing.T
	issuer    *family
	processes map[string]*process
	keeper    *session.Keeper
	cookie    string
}

func newCluster(t *testing.T, s *pgtest.Server, f *family) *cluster {
	t.Helper()
	f.current = "token-0"
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	url := s.Database(t)
	d, closeDB, err := openDB(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB() })
	c := &cluster{T: t, issuer: f, processes: map[string]*process{}}
	c.keeper = session.New(session.Options{Store: store.New(d), Sealer: sealer(t, "the secret of all replicas")})
	c.cookie, err = c.keeper.Start(t.Context(), session.Info{Provider: "oidc", Env: "production", User: "user:default/alice", RefreshToken: "token-0", Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		c.processes[name] = c.start(replica{name, url, server.URL})
	}
	return c
}

func (c *cluster) start(r replica) *process {
	c.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		c.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), replicaEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		c.Fatalf("replica %s: %q, %v", r.Name, line, err)
	}
	out := make(chan answered, 1000)
	go func() {
		defer close(out)
		for d := json.NewDecoder(lines); ; {
			var a answered
			if d.Decode(&a) != nil {
				return
			}
			out <- a
		}
	}()
	return &process{cmd, json.NewEncoder(stdin), out}
}

// refresh has n parallel refreshes made by the replicas together, and returns their
// answers by status; 0 are those that ended with their process.
func (c *cluster) refresh(n int, cookie string) map[int][]answered {
	c.Helper()
	asked, got := map[string]int{}, map[int][]answered{}
	names := []string{"a", "b", "c"}
	for i := range n {
		asked[names[i%len(names)]]++
	}
	for name, n := range asked {
		if err := c.processes[name].in.Encode(storm{n, cookie}); err != nil && !errors.Is(err, os.ErrClosed) {
			c.Logf("replica %s: %v", name, err) // it was killed before
		}
	}
	for name, n := range asked {
		for range n {
			a := <-c.processes[name].out
			got[a.Status] = append(got[a.Status], a)
		}
	}
	return got
}

// TestRefreshStorm has one session refreshed 200 times at once by three replicas, with an
// issuer that revokes the session if it sees a token twice.
func TestRefreshStorm(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		t.Parallel()
		c := newCluster(t, s, &family{slow: 300 * time.Millisecond})
		cookie := c.cookie
		for round := range 3 {
			got := c.refresh(200, cookie)
			if len(got[200]) != 200 || c.issuer.called() != round+1 || c.issuer.revoked {
				t.Fatalf("round %d: %d of 200 answers, %d calls, revoked %v: %v %v", round, len(got[200]), c.issuer.called(), c.issuer.revoked, got[401], got[503])
			}
			for _, a := range got[200] {
				if a.Value != got[200][0].Value {
					t.Fatalf("answers differ: %v", a)
				}
			}
			t.Logf("200 refreshes by 3 processes: 200 answers, 1 call of the issuer")
			cookie = got[200][199].Cookie
		}
	})
}

// TestRefreshStormWhoseCallerIsKilled kills the replica that calls the issuer, in the
// midst of the call.
func TestRefreshStormWhoseCallerIsKilled(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		for _, tt := range []string{"before the token was used", "after the token was used"} {
			t.Run(tt, func(t *testing.T) {
				t.Parallel()
				f := &family{}
				c := newCluster(t, s, f)
				killed := make(chan string, 100)
				kill := func(name string) {
					killed <- name
					_ = c.processes[name].Process.Kill()
					_ = c.processes[name].Wait()
				}
				if strings.HasPrefix(tt, "before") {
					f.before = kill
				} else {
					f.after = kill
				}
				got := c.refresh(200, c.cookie)
				if len(killed) != 1 || f.called() != 1 || f.revoked {
					t.Fatalf("killed %d, calls %v, revoked %v", len(killed), f.calls, f.revoked)
				}
				dead := len(got[0])
				if dead == 0 || len(got[401]) > 1 || len(got[401])+len(got[503])+dead != 200 {
					t.Fatalf("dead %d, 200: %v, 401: %v, 503: %d", dead, got[200], got[401], len(got[503]))
				}
				// Whoever comes back keeps away from the issuer, and is not signed out again.
				name := <-killed
				delete(c.processes, name)
				c.processes[name] = c.processes[map[string]string{"a": "b", "b": "c", "c": "a"}[name]]
				again := c.refresh(30, c.cookie)
				if len(again[503]) != 30 || f.called() != 1 || f.revoked {
					t.Errorf("again: %v, calls %v", again, f.calls)
				}
				t.Logf("killed with %d callers of its own; of the others %d were told 401 and %d 503; the issuer was called once", dead, len(got[401]), len(got[503]))
			})
		}
	})
}

// TestASlowIdentityProviderHoldsNoConnection has more refreshes wait for identity
// providers than the plugin has connections.
func TestASlowIdentityProviderHoldsNoConnection(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t, pgtest.Versions()[0])
	d, closeDB, err := openDB(s.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB() })
	w := newWorld(t, d)
	w.issuer.keeps = true
	const sessions = 40 // with a pool of 4
	asked, answer := make(chan bool, sessions), make(chan bool)
	var wg sync.WaitGroup
	for i := range sessions {
		cookie, err := w.keeper.Start(t.Context(), session.Info{Provider: "oidc", Env: "production", RefreshToken: fmt.Sprint("of session ", i), Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			_, err := w.keeper.Refresh(t.Context(), session.Request{Provider: "oidc", Env: "production", Cookie: cookie}, func(_ context.Context, token string) (session.Answer, error) {
				asked <- true
				<-answer
				return session.Answer{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range sessions {
		<-asked // all at once: none waits for another's connection
	}
	if list, err := w.keeper.List(t.Context(), "", "", 100); err != nil || len(list) != sessions+1 {
		t.Error(len(list), err)
	}
	close(answer)
	wg.Wait()
}
