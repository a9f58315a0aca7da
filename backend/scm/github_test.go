package scm

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

// appKey is one RSA key for all tests: making one takes longer than all of them.
var appKey = sync.OnceValues(func() (*rsa.PrivateKey, string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return key, string(text)
})

// fixture is a fake GitHub with a repository acme/shop, and readers of it.
type fixture struct {
	*scmtest.GitHub
	store   *scmtest.Store
	network *scmtest.Network
	sha     string
}

func newFixture() *fixture {
	f := &fixture{store: scmtest.NewStore(), network: scmtest.NewNetwork()}
	f.sha = f.store.Commit("acme/shop", "main", map[string]string{
		"catalog-info.yaml": "kind: Component", "docs/index.md": "# Shop", "docs/deep/x y.md": "deep", "apps/a/catalog-info.yaml": "a",
		"apps/b/catalog-info.yaml": "b", "apps/b/[id].yaml": "brackets",
	})
	f.GitHub = scmtest.NewGitHub(f.store)
	for _, host := range []string{"api.github.com", "codeload.github.com", "raw.githubusercontent.com"} {
		f.network.Handle(host, f.GitHub)
	}
	return f
}

func (f *fixture) reader(t testing.TB, c GitHubConfig) *Mux {
	t.Helper()
	is, err := NewIntegrations(Config{GitHub: []GitHubConfig{c}})
	if err != nil {
		t.Fatal(err)
	}
	return networkReader(t, f.network, is)
}

func networkReader(t testing.TB, network *scmtest.Network, is *Integrations) *Mux {
	t.Helper()
	m, err := NewReader(is, Options{
		Clients:          NewClients(ClientOptions{Transport: network, RequestsPerSecond: 1000, Burst: 1000}),
		WorkingDirectory: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func content(t testing.TB, r Reader, rawURL string, opts ReadOptions) (string, string, error) {
	t.Helper()
	response, err := r.ReadURL(t.Context(), rawURL, opts)
	if err != nil {
		return "", "", err
	}
	data, err := response.Bytes()
	return string(data), response.ETag, err
}

func paths(n *scmtest.Network) string {
	var out []string
	for _, r := range n.Requests() {
		out = append(out, r.URL.Host+r.URL.RequestURI())
	}
	return strings.Join(out, "\n")
}

func TestGitHubReadURL(t *testing.T) {
	t.Parallel()
	const file = "https://github.com/acme/shop/blob/main/catalog-info.yaml"
	f := newFixture()
	f.AllowToken("ghp_configured")
	f.AllowToken("gho_users")
	anonymous, withToken := f.reader(t, GitHubConfig{}), f.reader(t, GitHubConfig{Token: config.NewSecret("ghp_configured")})

	got, etag, err := content(t, anonymous, file, ReadOptions{})
	if got != "kind: Component" || etag == "" || paths(f.network) != "raw.githubusercontent.com/acme/shop/main/catalog-info.yaml" {
		t.Errorf("anonymous: %q, %v, asked %s", got, err, paths(f.network))
	}
	f.network.Forget()
	got, etag, err = content(t, withToken, file, ReadOptions{})
	if got != "kind: Component" || paths(f.network) != "api.github.com/repos/acme/shop/contents/catalog-info.yaml?ref=main" {
		t.Errorf("with a token: %q, %v, asked %s", got, err, paths(f.network))
	}
	if accept := f.network.Requests()[0].Header.Get("Accept"); accept != "application/vnd.github.v3.raw" {
		t.Errorf("Accept: %s", accept)
	}
	if _, _, err := content(t, withToken, file, ReadOptions{ETag: etag}); !errors.Is(err, apierr.NotModified) {
		t.Errorf("with the etag: %v", err)
	}
	f.store.Private("acme/shop")
	if _, _, err := content(t, anonymous, file, ReadOptions{}); !errors.Is(err, apierr.NotFound) {
		t.Errorf("private repository: %v", err)
	}
	if got, _, err := content(t, anonymous, file, ReadOptions{Token: "gho_users"}); got != "kind: Component" {
		t.Errorf("private repository with the user's token: %q, %v", got, err)
	}
	if _, _, err := content(t, withToken, "https://github.com/acme/shop", ReadOptions{}); !errors.Is(err, apierr.Input) {
		t.Errorf("URL without a file: %v", err)
	}
	f.Limit(1, time.Now().Add(time.Hour))
	for range 2 { // the second is answered without asking the host
		f.network.Forget()
		_, _, err := content(t, withToken, file, ReadOptions{})
		if err == nil || !strings.Contains(err.Error(), "(rate limit exceeded)") {
			t.Errorf("rate limited: %v", err)
		}
	}
	if asked := len(f.network.Requests()); asked != 0 {
		t.Errorf("%d requests while the rate limit lasts", asked)
	}
	if _, _, err := content(t, anonymous, file, ReadOptions{}); !errors.Is(err, apierr.NotFound) {
		t.Errorf("another credential's budget is not touched: %v", err)
	}
}

func TestGitHubReadTree(t *testing.T) {
	t.Parallel()
	f := newFixture()
	m := f.reader(t, GitHubConfig{})
	for _, tt := range []struct{ url, want string }{
		{"https://github.com/acme/shop/tree/main/docs", "deep/x y.md index.md"},
		{"https://github.com/acme/shop", "apps/a/catalog-info.yaml apps/b/[id].yaml apps/b/catalog-info.yaml catalog-info.yaml docs/deep/x y.md docs/index.md"},
		{"https://github.com/acme/shop/tree/main/none", ""},
	} {
		tree, err := m.ReadTree(t.Context(), tt.url, TreeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for file, err := range tree.Files(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, file.Path)
		}
		if got := strings.Join(names, " "); got != tt.want || tree.ETag != f.sha {
			t.Errorf("%s: %q, etag %s", tt.url, got, tree.ETag)
		}
		tree.Close()
	}
	if asked := paths(f.network); !strings.Contains(asked, "/repos/acme/shop/commits/main/status?per_page=0") || !strings.Contains(asked, "codeload.github.com") {
		t.Errorf("asked %s", asked)
	}
	if _, err := m.ReadTree(t.Context(), "https://github.com/acme/shop/tree/main", TreeOptions{ETag: f.sha}); !errors.Is(err, apierr.NotModified) {
		t.Errorf("with the etag: %v", err)
	}
	if _, err := m.ReadTree(t.Context(), "https://github.com/acme/none/tree/main", TreeOptions{}); !errors.Is(err, apierr.NotFound) {
		t.Errorf("no repository: %v", err)
	}
}

func TestGitHubSearch(t *testing.T) {
	t.Parallel()
	for _, truncate := range []int{0, 2} { // the tree, and the tarball
		f := newFixture()
		f.Truncate = truncate
		f.AllowToken("ghp_configured")
		m := f.reader(t, GitHubConfig{Token: config.NewSecret("ghp_configured")})
		for _, tt := range []struct{ pattern, want string }{
			{"**/catalog-info.yaml", "apps/a/catalog-info.yaml=a apps/b/catalog-info.yaml=b catalog-info.yaml=kind: Component"},
			{"apps/*/catalog-info.yaml", "apps/a/catalog-info.yaml=a apps/b/catalog-info.yaml=b"},
			{"apps/%3F/catalog-info.yaml", "apps/a/catalog-info.yaml=a apps/b/catalog-info.yaml=b"},
			{"{apps/b,docs}/*.{md,yaml}", "apps/b/[id].yaml=brackets apps/b/catalog-info.yaml=b docs/index.md=# Shop"},
			{"apps/b/[id].*", "apps/b/[id].yaml=brackets"},
			{"**/x*.md", "docs/deep/x%20y.md=deep"},
			{"none/*", ""},
			{"catalog-info.yaml", "catalog-info.yaml=kind: Component"},
			{"none.yaml", ""},
		} {
			result, err := m.Search(t.Context(), "https://github.com/acme/shop/blob/main/"+tt.pattern, SearchOptions{})
			if err != nil {
				t.Errorf("%s: %v", tt.pattern, err)
				continue
			}
			var got []string
			for _, file := range result.Files {
				data, err := file.Content(t.Context())
				if err != nil {
					t.Error(err)
				}
				got = append(got, strings.TrimPrefix(file.URL, "https://github.com/acme/shop/blob/main/")+"="+string(data))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("truncate %d, %s:\n got %q\nwant %q", truncate, tt.pattern, got, tt.want)
			}
		}
		const all = "https://github.com/acme/shop/blob/main/**"
		if _, err := m.Search(t.Context(), all, SearchOptions{ETag: f.sha}); !errors.Is(err, apierr.NotModified) {
			t.Errorf("with the etag: %v", err)
		}
		if _, err := m.Search(t.Context(), "https://github.com/acme/shop/blob/main/{a*", SearchOptions{}); !errors.Is(err, apierr.Input) {
			t.Errorf("broken pattern: %v", err)
		}
	}
}

func TestGitHubApps(t *testing.T) {
	t.Parallel()
	key, text := appKey()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	setup := func(apps ...GitHubAppConfig) (*fixture, *GitHubCredentials) {
		f := newFixture()
		f.Now = func() time.Time { return now }
		f.Install(7, &key.PublicKey, "Acme")
		f.Install(7, &key.PublicKey, "selective", "one", "two")
		f.Install(7, &key.PublicKey, "asleep")
		f.Suspend("asleep")
		for i := range apps {
			if apps[i].PrivateKey.IsZero() {
				apps[i].PrivateKey = config.NewSecret(strings.ReplaceAll(text, "\n", `\n`))
			}
		}
		is, err := NewIntegrations(Config{GitHub: []GitHubConfig{{Token: config.NewSecret("ghp_fallback"), Apps: apps}}})
		if err != nil {
			t.Fatal(err)
		}
		i, _ := is.ByHost(KindGitHub, "github.com")
		h := host{Integration: i, clients: NewClients(ClientOptions{Transport: f.network, RequestsPerSecond: 1000, Burst: 1000})}
		c, err := newGitHubCredentials(h, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return f, c
	}
	f, c := setup(GitHubAppConfig{AppID: 7})
	count := func(path string) int { return strings.Count(paths(f.network), path) }
	ask := func(url, wantID string) Credential {
		t.Helper()
		cred, err := c.For(t.Context(), url)
		if err != nil || !strings.HasPrefix(cred.ID, wantID) {
			t.Errorf("%s: %v, %v, want %s", url, cred, err, wantID)
		}
		return cred
	}
	first := ask("https://github.com/acme/shop/blob/main/x", "app:7/acme")
	if first.Type != "app" || !strings.HasPrefix(first.Token, "ghs_acme_") || first.Header.Get("Authorization") != "Bearer "+first.Token {
		t.Errorf("credential %+v", first)
	}
	if again := ask("https://github.com/ACME/other", "app:7/acme"); again.Token != first.Token || count("/access_tokens") != 1 || count("/app/installations?") != 1 {
		t.Errorf("the token of one owner was asked for twice:\n%s", paths(f.network))
	}
	ask("https://github.com/selective/two", "app:7/selective")
	ask("https://github.com/selective/three", "token:")
	ask("https://github.com/selective", "app:7/selective")
	ask("https://github.com/asleep/shop", "token:")
	ask("https://github.com/", "token:")
	if n := count("/installation/repositories"); n != 1 {
		t.Errorf("selection listed %d times", n)
	}

	// A missing owner asks again, but only once a minute.
	f.network.Forget()
	ask("https://github.com/late/shop", "token:")
	if n := count("/app/installations?"); n != 0 {
		t.Errorf("a list that is seconds old was asked for again: %d", n)
	}
	f.Install(7, &key.PublicKey, "late")
	now = now.Add(61 * time.Second)
	ask("https://github.com/late/shop", "app:7/late")
	ask("https://github.com/unknown/shop", "token:")
	if n := count("/app/installations?"); n != 1 {
		t.Errorf("list asked for %d times, want 1", n)
	}
	// Tokens are renewed ten minutes before they end, and keep their identity.
	now = now.Add(49*time.Minute + 30*time.Second)
	if renewed := ask("https://github.com/acme/shop", "app:7/acme"); renewed.Token == first.Token || renewed.ID != first.ID {
		t.Errorf("token was not renewed: %v", renewed)
	}

	t.Run("allowed owners", func(t *testing.T) {
		_, c := setup(GitHubAppConfig{AppID: 7, AllowedInstallationOwners: []string{"Selective"}})
		for url, want := range map[string]string{"https://github.com/acme/shop": "token:", "https://github.com/SELECTIVE/one": "app:7/selective"} {
			if cred, err := c.For(t.Context(), url); err != nil || !strings.HasPrefix(cred.ID, want) {
				t.Errorf("%s: %v, %v, want %s", url, cred, err, want)
			}
		}
	})
	t.Run("public access", func(t *testing.T) {
		_, c := setup(GitHubAppConfig{AppID: 7, PublicAccess: true})
		if cred, err := c.For(t.Context(), "https://github.com/stranger/shop"); err != nil || cred.ID != "app:7/acme" {
			t.Errorf("%v, %v", cred, err)
		}
	})
	t.Run("an app that cannot sign in is an error", func(t *testing.T) {
		_, c := setup(GitHubAppConfig{AppID: 8})
		_, err := c.For(t.Context(), "https://github.com/acme/shop")
		if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "ghp_") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a wrong key stops the start", func(t *testing.T) {
		is, err := NewIntegrations(Config{GitHub: []GitHubConfig{{Apps: []GitHubAppConfig{{AppID: 7, PrivateKey: config.NewSecret("canary")}}}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewReader(is, Options{})
		if err == nil || !strings.Contains(err.Error(), "app 7: privateKey: expected an RSA key in PEM") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	})
	t.Run("waiting ends with the caller's context", func(t *testing.T) {
		_, c := setup(GitHubAppConfig{AppID: 7})
		c.apps[0].lock <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.For(ctx, "https://github.com/acme/shop"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		<-c.apps[0].lock
	})
}

// SEC-36 in this layer: a credential goes to its integration's API and nowhere
// else, also when that API redirects.
func TestCredentialsStayWithTheirHost(t *testing.T) {
	t.Parallel()
	network := scmtest.NewNetwork()
	var leaked []string
	network.Handle("gitlab.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/x", http.StatusFound)
	}))
	network.Handle("elsewhere.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"))
		fmt.Fprint(w, "x")
	}))
	is, err := NewIntegrations(Config{GitLab: []GitLabConfig{{Token: config.NewSecret("glpat")}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := content(t, networkReader(t, network, is), "https://gitlab.com/g/p/-/blob/main/x", ReadOptions{}); got != "x" {
		t.Fatalf("%q, %v", got, err)
	}
	if strings.Join(leaked, "") != "" {
		t.Errorf("sent %q to another host", leaked)
	}
}
