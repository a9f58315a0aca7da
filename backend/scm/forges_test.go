package scm

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Every forge serves the same repository by its own addresses, and answers only
// to the credential of the configuration.
func TestForges(t *testing.T) {
	t.Parallel()
	secret := config.NewSecret
	files := map[string]string{
		"catalog-info.yaml": "kind: Component", "docs/index.md": "# Docs", "docs/deep/x y.md": "deep",
		"a/catalog-info.yaml": "a", "artifacts/out.yaml": "built",
	}
	for _, tt := range []struct {
		name     string
		config   Config
		hosts    []string
		repo     string
		handler  func(*scmtest.Store) http.Handler
		url      func(path string) string // of a path in branch main
		root     string
		noETag   bool // for files
		noGlob   bool
		etag     func(sha string) string
		artifact string
		// addresses: the default branch can be found out.
		addresses bool
	}{
		{
			name: "gitlab", addresses: true, config: Config{GitLab: []GitLabConfig{{Token: secret("glpat")}}}, hosts: []string{"gitlab.com"}, repo: "g/s/p",
			handler:  func(s *scmtest.Store) http.Handler { return scmtest.NewGitLab(s, "glpat") },
			url:      func(p string) string { return "https://gitlab.com/g/s/p/-/blob/main/" + p },
			root:     "https://gitlab.com/g/s/p",
			artifact: "https://gitlab.com/g/s/p/-/jobs/artifacts/main/raw/out.yaml?job=build",
		},
		{
			name: "bitbucket cloud", addresses: true, config: Config{BitbucketCloud: []BitbucketCloudConfig{{Username: "bot", AppPassword: secret("pw")}}},
			hosts: []string{"api.bitbucket.org", "bitbucket.org"}, repo: "w/r",
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewBitbucketCloud(s, basic("bot", "pw")) },
			url:     func(p string) string { return "https://bitbucket.org/w/r/src/main/" + p },
			root:    "https://bitbucket.org/w/r", etag: shortHash,
		},
		{
			name: "bitbucket server", config: Config{BitbucketServer: []BitbucketServerConfig{{Host: "bitbucket.example.com", Token: secret("tok")}}},
			hosts: []string{"bitbucket.example.com"}, repo: "P/r",
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewBitbucketServer(s, "Bearer tok") },
			url: func(p string) string {
				return "https://bitbucket.example.com/projects/P/repos/r/browse/" + p + "?at=main"
			},
			root: "https://bitbucket.example.com/projects/P/repos/r", etag: shortHash,
		},
		{
			name: "azure", config: Config{Azure: []AzureConfig{{Credentials: []AzureCredential{
				{PersonalAccessToken: secret("wrong")}, {Organizations: []string{"ORG"}, PersonalAccessToken: secret("pat")},
			}}}},
			hosts: []string{"dev.azure.com"}, repo: "org/proj/repo",
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewAzure(s, basic("", "pat")) },
			url: func(p string) string {
				return "https://dev.azure.com/org/proj/_git/repo?path=%2F" + strings.ReplaceAll(strings.ReplaceAll(p, "/", "%2F"), "%20", "+") + "&version=GBmain"
			},
			root: "https://dev.azure.com/org/proj/_git/repo",
		},
		{
			name: "gitea", addresses: true, config: Config{Gitea: []GiteaConfig{{Host: "gitea.example.com", Password: secret("tok")}}},
			hosts: []string{"gitea.example.com"}, repo: "o/r", noGlob: true,
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewGitea(s, "token tok") },
			url:     func(p string) string { return "https://gitea.example.com/o/r/src/branch/main/" + p },
			root:    "https://gitea.example.com/o/r",
		},
		{
			name: "harness", config: Config{Harness: []HarnessConfig{{APIKey: secret("key")}}},
			hosts: []string{"app.harness.io"}, repo: "acc/o/p/r", noGlob: true,
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewHarness(s, "key") },
			url: func(p string) string {
				return "https://app.harness.io/ng/account/acc/module/code/orgs/o/projects/p/repos/r/files/main/~/" + p
			},
			root: "https://app.harness.io/ng/account/acc/module/code/orgs/o/projects/p/repos/r",
		},
		{
			name: "gerrit, signed in", config: Config{Gerrit: []GerritConfig{{Host: "gerrit.example.com", GitilesBaseURL: "https://gerrit.example.com/gitiles", Username: "bot", Password: secret("pw")}}},
			hosts: []string{"gerrit.example.com"}, repo: "web/p", noETag: true,
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewGerrit(s, basic("bot", "pw")) },
			url:     func(p string) string { return "https://gerrit.example.com/gitiles/web/p/+/refs/heads/main/" + p },
			root:    "https://gerrit.example.com/gitiles/web/p",
		},
		{
			name: "gerrit, anonymous", config: Config{Gerrit: []GerritConfig{{Host: "gerrit.example.com", GitilesBaseURL: "https://gerrit.example.com/gitiles"}}},
			hosts: []string{"gerrit.example.com"}, repo: "web/p", noETag: true,
			handler: func(s *scmtest.Store) http.Handler { return scmtest.NewGerrit(s, "") },
			url:     func(p string) string { return "https://gerrit.example.com/gitiles/web/p/+/refs/heads/main/" + p },
			root:    "https://gerrit.example.com/gitiles/web/p",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store, network := scmtest.NewStore(), scmtest.NewNetwork()
			sha := store.Commit(tt.repo, "main", files)
			for _, host := range tt.hosts {
				network.Handle(host, tt.handler(store))
			}
			is, err := NewIntegrations(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			m := networkReader(t, network, is)

			for path, want := range map[string]string{"catalog-info.yaml": "kind: Component", "docs/deep/x%20y.md": "deep"} {
				got, etag, err := content(t, m, tt.url(path), ReadOptions{})
				if err != nil || got != want || (etag == "") != tt.noETag {
					t.Errorf("%s: %q, etag %q, %v\n%s", path, got, etag, err, paths(network))
				}
				if !tt.noETag {
					if _, _, err := content(t, m, tt.url(path), ReadOptions{ETag: etag}); !errors.Is(err, apierr.NotModified) {
						t.Errorf("%s with its etag: %v", path, err)
					}
				}
			}
			if _, _, err := content(t, m, tt.url("none.yaml"), ReadOptions{}); !errors.Is(err, apierr.NotFound) {
				t.Errorf("no file: %v", err)
			}
			if _, _, err := content(t, m, tt.url("catalog-info.yaml"), ReadOptions{MaxBytes: 3}); !errors.Is(err, apierr.Input) {
				t.Errorf("large file: %v", err)
			}
			if _, _, err := content(t, m, tt.root, ReadOptions{}); !errors.Is(err, apierr.Input) {
				t.Errorf("no path: %v", err)
			}
			if tt.artifact != "" {
				if got, _, err := content(t, m, tt.artifact, ReadOptions{}); got != "built" {
					t.Errorf("artifact: %q, %v", got, err)
				}
			}
			wantETag := sha
			if tt.etag != nil {
				wantETag = tt.etag(sha)
			}
			if got, err := m.FileURL(t.Context(), tt.root, "/docs/index.md"); err == nil && got != tt.url("docs/index.md") || err != nil && (tt.addresses || !errors.Is(err, apierr.NotImplemented)) {
				t.Errorf("address of a file on the default branch: %s, %v", got, err)
			}
			if got, err := m.FileURL(t.Context(), tt.url("catalog-info.yaml"), "**/x.yaml"); tt.addresses && (err != nil || got != tt.url("**/x.yaml")) {
				t.Errorf("address of a file beside another: %s, %v", got, err)
			}
			for url, want := range map[string]string{
				tt.url("docs"): "deep/x y.md index.md",
				tt.root:        "a/catalog-info.yaml artifacts/out.yaml catalog-info.yaml docs/deep/x y.md docs/index.md",
			} {
				tree, err := m.ReadTree(t.Context(), url, TreeOptions{})
				if err != nil {
					t.Errorf("tree %s: %v\n%s", url, err, paths(network))
					continue
				}
				var names []string
				for f, err := range tree.Files(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					names = append(names, f.Path)
				}
				slices.Sort(names)
				if got := strings.Join(names, " "); got != want || tree.ETag != wantETag {
					t.Errorf("tree %s: %q, etag %s", url, got, tree.ETag)
				}
				tree.Close()
				if _, err := m.ReadTree(t.Context(), url, TreeOptions{ETag: wantETag}); !errors.Is(err, apierr.NotModified) {
					t.Errorf("tree %s with its etag: %v", url, err)
				}
			}
			result, err := m.Search(t.Context(), tt.url("**/catalog-info.yaml"), SearchOptions{})
			if tt.noGlob {
				if !errors.Is(err, apierr.Input) {
					t.Errorf("glob: %v", err)
				}
				return
			}
			if err != nil || len(result.Files) != 2 || result.ETag != wantETag {
				t.Fatalf("glob: %+v, %v", result, err)
			}
			if first := result.Files[0]; first.URL != tt.url("a/catalog-info.yaml") {
				t.Errorf("match %s, want %s", first.URL, tt.url("a/catalog-info.yaml"))
			} else if data, err := first.Content(t.Context()); string(data) != "a" {
				t.Errorf("match: %q, %v", data, err)
			}
			if _, err := m.Search(t.Context(), tt.url("**/catalog-info.yaml"), SearchOptions{ETag: wantETag}); !errors.Is(err, apierr.NotModified) {
				t.Errorf("glob with its etag: %v", err)
			}
		})
	}
}

func TestAzureExplainsItsSignInPage(t *testing.T) {
	t.Parallel()
	network := scmtest.NewNetwork()
	network.Handle("dev.azure.com", scmtest.NewAzure(scmtest.NewStore(), "Basic x"))
	is, err := NewIntegrations(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = content(t, networkReader(t, network, is), "https://dev.azure.com/o/p/_git/r?path=/x", ReadOptions{})
	if err == nil || !strings.Contains(err.Error(), "sign-in page") {
		t.Errorf("%v", err)
	}
}

func TestBitbucketOAuthClient(t *testing.T) {
	t.Parallel()
	store, network := scmtest.NewStore(), scmtest.NewNetwork()
	store.Commit("w/r", "main", map[string]string{"x": "content"})
	network.Handle("api.bitbucket.org", scmtest.NewBitbucketCloud(store, "Bearer issued"))
	issued := 0
	network.Handle("bitbucket.org", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/site/oauth2/access_token" || r.Header.Get("Authorization") != basic("client", "s3cret") || r.FormValue("grant_type") != "client_credentials" {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		issued++
		w.Write([]byte(`{"access_token":"issued","expires_in":7200,"token_type":"bearer"}`))
	}))
	is, err := NewIntegrations(Config{BitbucketCloud: []BitbucketCloudConfig{{ClientID: "client", ClientSecret: config.NewSecret("s3cret")}}})
	if err != nil {
		t.Fatal(err)
	}
	m := networkReader(t, network, is)
	for range 2 {
		if got, _, err := content(t, m, "https://bitbucket.org/w/r/src/main/x", ReadOptions{}); got != "content" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if issued != 1 {
		t.Errorf("%d tokens for two reads", issued)
	}
}
