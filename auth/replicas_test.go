package auth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// replicaEnv is set in processes that are replicas of a portal.
const replicaEnv = "CALLBOARD_TEST_AUTH_REPLICA"

// replica is what such a process is told.
type replica struct{ Name, Database, Issuer string }

func TestMain(m *testing.M) {
	if text := os.Getenv(replicaEnv); text != "" {
		var r replica
		err := json.Unmarshal([]byte(text), &r)
		if err == nil {
			err = r.run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// run is a portal that ends with its standard input.
func (r replica) run() error {
	cfg, err := config.Parse("app-config.yaml", fmt.Appendf(nil, `
app: {baseUrl: 'http://app.example'}
backend:
  baseUrl: http://portal.example
  listen: 127.0.0.1:0
  database: {client: pg, pluginDivisionMode: schema, connection: {connectionString: %q}}
auth:
  session: {secret: a-secret-of-all-replicas}
  providers: {idp: {production: {clientId: x, clientSecret: y, signIn: {resolvers: [{resolver: everybody}]}}}}
`, r.Database))
	if err != nil {
		return err
	}
	everybody := func(_ context.Context, who auth.Profile, _ auth.Users) (auth.Identity, error) {
		return auth.Identity{User: entity.Ref{Kind: "user", Namespace: "default", Name: who.Username}}, nil
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(auth.Plugin(), resolverModule("everybody", auth.ResolverFunc(everybody)), backend.NewModule("auth", "idp",
		backend.Section("auth.providers.idp", idpEnvironments(nil)),
		fx.Invoke(func(c idpEnvironments, x *auth.Extensions) {
			x.AddProvider(auth.ProviderSpec{ID: "idp", Environments: auth.Environments(c, func(string, struct{ auth.OAuthConfig }) auth.Provider { return remote{r} })})
		})))
	if err := b.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println(b.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return b.Stop(context.Background())
}

// remote is a provider at an issuer in another process.
type remote struct{ replica }

func (remote) Start(_ context.Context, f auth.Flow) (string, error) {
	return "https://idp.example/authorize?" + url.Values{"state": {f.State}}.Encode(), nil
}

func (r remote) Callback(ctx context.Context, _ auth.Flow, answer url.Values) (auth.Profile, auth.Session, error) {
	return r.ask(ctx, answer.Get("code"))
}

func (r remote) Refresh(ctx context.Context, s auth.Session, _ string) (auth.Profile, auth.Session, error) {
	return r.ask(ctx, s.RefreshToken)
}

func (r remote) ask(ctx context.Context, token string) (auth.Profile, auth.Session, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Issuer, strings.NewReader(token))
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	req.Header.Set("Replica", r.Name)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return auth.Profile{}, auth.Session{}, apierr.ServiceUnavailable.Wrap(err, "the issuer did not answer")
	}
	defer res.Body.Close()
	next, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return auth.Profile{}, auth.Session{}, apierr.Authentication.Wrap(auth.ErrSessionEnded, "invalid_grant")
	}
	return auth.Profile{Subject: "1", Username: "alice"}, auth.Session{AccessToken: "with " + string(next), RefreshToken: string(next), ExpiresIn: time.Hour}, nil
}

// family is an issuer with one session. Its refresh tokens are for one use; one that is
// used again revokes them all.
type family struct {
	mu      sync.Mutex
	current string
	calls   []string
	revoked bool
	after   func(replica string) // called when a token was used, before the answer
}

func (f *family) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.calls = append(f.calls, string(token))
	if string(token) != f.current {
		f.revoked = true
	}
	f.current = fmt.Sprint("token-", len(f.calls))
	next, revoked, after := f.current, f.revoked, f.after
	f.mu.Unlock()
	if after != nil {
		after(r.Header.Get("Replica"))
	}
	time.Sleep(200 * time.Millisecond) // so that the others come meanwhile
	if revoked {
		http.Error(w, "invalid_grant", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, next)
}

func (f *family) state() (calls int, revoked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls), f.revoked
}

// replicated is a portal of three processes, and the browser of alice, who has signed in.
type replicated struct {
	*testing.T
	issuer    *family
	urls      []string
	processes map[string]*exec.Cmd
	browser   *browser
}

func startReplicas(t *testing.T) *replicated {
	t.Helper()
	p := &replicated{T: t, issuer: &family{current: "alice"}, processes: map[string]*exec.Cmd{}}
	server := httptest.NewServer(p.issuer)
	t.Cleanup(server.Close)
	database := pgtest.New(t)
	for _, name := range []string{"a", "b", "c"} {
		text, err := json.Marshal(replica{name, database, server.URL})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), replicaEnv+"="+string(text))
		cmd.Stderr = os.Stderr
		stdin, err1 := cmd.StdinPipe()
		stdout, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
		address, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatalf("replica %s: %v", name, err)
		}
		p.processes[name], p.urls = cmd, append(p.urls, "http://"+strings.TrimSpace(address)+"/api/auth")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.browser = &browser{t, p.urls[0], &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if m, _ := p.browser.signIn("alice", ""); m.Error != nil {
		t.Fatal(m.Error)
	}
	return p
}

// storm refreshes n times at once, over all replicas, with the cookie that the browser has
// now. It returns how many answers had each status (0 if the replica has ended), and
// the cookies that they set.
func (p *replicated) storm(n int) (statuses map[int]int, cookies map[string]bool) {
	p.Helper()
	cookie := p.browser.cookie("/idp/refresh", "idp-refresh-token")
	if cookie == nil {
		p.Fatal("the browser has no session")
	}
	statuses, cookies = map[int]int{}, map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(p.Context(), "GET", p.urls[i%3]+"/idp/refresh?env=production", nil)
			if err != nil {
				p.Error(err)
				return
			}
			req.Header.Set("X-Requested-With", "XMLHttpRequest")
			req.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
			res, err := http.DefaultClient.Do(req)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				statuses[0]++
				return
			}
			defer res.Body.Close()
			statuses[res.StatusCode]++
			if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "2" {
				p.Errorf("503 with Retry-After %q", res.Header.Get("Retry-After"))
			}
			for _, c := range res.Cookies() {
				if c.Name == cookie.Name && c.MaxAge > 0 {
					cookies[c.Value] = true
					p.browser.http.Jar.SetCookies(req.URL, []*http.Cookie{c})
				}
			}
		})
	}
	wg.Wait()
	return statuses, cookies
}

// TestRefreshStormOverReplicas is 200 refreshes of one session by three portals at once.
func TestRefreshStormOverReplicas(t *testing.T) {
	t.Parallel()
	p := startReplicas(t)
	for round := range 3 {
		statuses, _ := p.storm(200)
		if calls, revoked := p.issuer.state(); statuses[200] != 200 || calls != round+2 || revoked {
			t.Fatalf("round %d: %v, %d calls, revoked %v", round, statuses, calls, revoked)
		}
	}
	t.Log("3 times 200 refreshes over 3 portals: 600 answers, 3 calls of the issuer")
}

// TestRefreshStormOverReplicasOneIsKilled kills the portal that calls the issuer.
func TestRefreshStormOverReplicasOneIsKilled(t *testing.T) {
	t.Parallel()
	p := startReplicas(t)
	killed := make(chan string, 10)
	p.issuer.mu.Lock()
	p.issuer.after = func(name string) {
		killed <- name
		_ = p.processes[name].Process.Kill()
	}
	p.issuer.mu.Unlock()
	statuses, _ := p.storm(200)
	calls, revoked := p.issuer.state()
	if len(killed) != 1 || calls != 2 || revoked || statuses[0] == 0 || statuses[401] > 1 || statuses[0]+statuses[401]+statuses[503] != 200 {
		t.Fatalf("%v, killed %d, %d calls, revoked %v", statuses, len(killed), calls, revoked)
	}
	t.Logf("the portal that called the issuer was killed: %v (0: its own callers), 1 call, no revoked session", statuses)
}

// TestARevokedUserIsRefusedByAllReplicas ends the sessions at one portal.
func TestARevokedUserIsRefusedByAllReplicas(t *testing.T) {
	t.Parallel()
	p := startReplicas(t)
	a := p.browser.script("GET", "/idp/refresh?env=production")
	token := a.session(t).BackstageIdentity.Token
	if a := p.browser.do("DELETE", "/callboard/v1/sessions", "", "Authorization", "Bearer "+token); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	before, _ := p.issuer.state()
	if statuses, cookies := p.storm(30); statuses[401] != 30 || len(cookies) != 0 {
		t.Errorf("%v", statuses)
	}
	if calls, _ := p.issuer.state(); calls != before {
		t.Error("the issuer was called")
	}
}
