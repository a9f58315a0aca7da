package scmtest

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A GitHub answers like api.github.com, and below raw.githubusercontent.com and
// codeload.github.com if it is put there. Installation tokens and the tokens
// given to AllowToken see private repositories.
type GitHub struct {
	// Truncate answers recursive trees of more files than this with a part; 0
	// stands for no limit.
	Truncate int
	// Now is the clock that tokens are checked by and made with.
	Now func() time.Time

	store *Store
	mux   *http.ServeMux

	mu            sync.Mutex
	apps          map[string]*rsa.PublicKey
	installations []*installation
	tokens        map[string]*installation // nil: sees everything
	issued        int
	limited       int
	reset         time.Time
}

type installation struct {
	id        int64
	app       string
	owner     string
	repos     []string // nil: all
	suspended bool
}

// NewGitHub serves a store's repositories, which are named "owner/name".
func NewGitHub(s *Store) *GitHub {
	g := &GitHub{Now: time.Now, store: s, mux: http.NewServeMux(), apps: map[string]*rsa.PublicKey{}, tokens: map[string]*installation{}}
	g.mux.HandleFunc("GET api.github.com/repos/{owner}/{repo}", g.repository)
	g.mux.HandleFunc("GET api.github.com/repos/{owner}/{repo}/contents/{path...}", g.contents)
	g.mux.HandleFunc("GET api.github.com/repos/{owner}/{repo}/commits/{ref}/status", g.status)
	g.mux.HandleFunc("GET api.github.com/repos/{owner}/{repo}/git/trees/{sha}", g.tree)
	g.mux.HandleFunc("GET api.github.com/repos/{owner}/{repo}/git/blobs/{sha}", g.blob)
	g.mux.HandleFunc("GET api.github.com/repos/{owner}/{repo}/tarball/{ref}", g.tarball)
	g.mux.HandleFunc("GET api.github.com/app/installations", g.listInstallations)
	g.mux.HandleFunc("POST api.github.com/app/installations/{id}/access_tokens", g.accessToken)
	g.mux.HandleFunc("GET api.github.com/installation/repositories", g.listRepositories)
	g.mux.HandleFunc("GET codeload.github.com/{owner}/{repo}/legacy.tar.gz/{ref}", g.codeload)
	g.mux.HandleFunc("GET raw.githubusercontent.com/{owner}/{repo}/{ref}/{path...}", g.raw)
	return g
}

// AllowToken makes a token that sees all private repositories.
func (g *GitHub) AllowToken(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[token] = nil
}

// Install installs an App, whose requests key verifies, at an owner. It covers
// the named repositories, or all of them.
func (g *GitHub) Install(appID int64, key *rsa.PublicKey, owner string, repos ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	app := strconv.FormatInt(appID, 10)
	g.apps[app] = key
	g.installations = append(g.installations, &installation{id: int64(1000 + len(g.installations)), app: app, owner: owner, repos: repos})
}

// Suspend suspends the installation at an owner.
func (g *GitHub) Suspend(owner string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, in := range g.installations {
		in.suspended = in.suspended || in.owner == owner
	}
}

// Limit answers the next n requests as a primary rate limit that ends at reset.
func (g *GitHub) Limit(n int, reset time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limited, g.reset = n, reset
}

// ServeHTTP answers one request.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	limited, reset := g.limited > 0, g.reset
	g.limited = max(g.limited-1, 0)
	g.mu.Unlock()
	h := w.Header()
	h.Set("X-Ratelimit-Limit", "5000")
	h.Set("X-Ratelimit-Remaining", "4999")
	h.Set("X-Ratelimit-Resource", "core")
	if limited {
		h.Set("X-Ratelimit-Remaining", "0")
		h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset.Unix(), 10))
		githubError(w, http.StatusForbidden, "API rate limit exceeded for installation.")
		return
	}
	if token := bearer(r); token != "" && !strings.HasPrefix(r.URL.Path, "/app/") {
		g.mu.Lock()
		_, known := g.tokens[token]
		g.mu.Unlock()
		if !known {
			githubError(w, http.StatusUnauthorized, "Bad credentials")
			return
		}
	}
	g.mux.ServeHTTP(w, r)
}

func githubError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// find returns the commit that the request is about, or answers 404 as GitHub
// does also for what the caller may not see.
func (g *GitHub) find(w http.ResponseWriter, r *http.Request, ref string) (repository, Commit, bool) {
	repo, c, ok := g.store.find(r.PathValue("owner")+"/"+r.PathValue("repo"), ref)
	if ok && repo.private && !g.sees(bearer(r), repo.name) || !ok {
		githubError(w, http.StatusNotFound, "Not Found")
		return repo, c, false
	}
	return repo, c, true
}

func (g *GitHub) sees(token, repo string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	in, known := g.tokens[token]
	owner, name, _ := strings.Cut(repo, "/")
	return known && (in == nil || strings.EqualFold(in.owner, owner) && (in.repos == nil || slices.Contains(in.repos, name)))
}

func (g *GitHub) repository(w http.ResponseWriter, r *http.Request) {
	if repo, _, ok := g.find(w, r, ""); ok {
		writeJSON(w, http.StatusOK, map[string]any{"full_name": repo.name, "default_branch": repo.defaultBranch, "private": repo.private})
	}
}

func (g *GitHub) contents(w http.ResponseWriter, r *http.Request) {
	if _, c, ok := g.find(w, r, r.URL.Query().Get("ref")); ok {
		g.content(w, r, c, r.PathValue("path"))
	}
}

func (g *GitHub) content(w http.ResponseWriter, r *http.Request, c Commit, path string) {
	content, ok := c.Files[path]
	if !ok {
		githubError(w, http.StatusNotFound, "Not Found")
		return
	}
	etag := `W/"` + BlobSHA(content) + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "json") {
		writeJSON(w, http.StatusOK, map[string]any{"path": path, "sha": BlobSHA(content), "size": len(content)})
		return
	}
	w.Header().Set("Content-Type", "application/vnd.github.v3.raw; charset=utf-8")
	fmt.Fprint(w, content)
}

func (g *GitHub) status(w http.ResponseWriter, r *http.Request) {
	if repo, c, ok := g.find(w, r, r.PathValue("ref")); ok {
		w.Header().Set("ETag", `W/"`+c.SHA+`"`)
		if r.Header.Get("If-None-Match") == `W/"`+c.SHA+`"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"state": "success", "sha": c.SHA, "total_count": 0, "statuses": []any{}, "repository": map[string]any{"full_name": repo.name}})
	}
}

func (g *GitHub) tree(w http.ResponseWriter, r *http.Request) {
	_, c, ok := g.find(w, r, r.PathValue("sha"))
	if !ok {
		return
	}
	type entry struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		Type string `json:"type"`
		SHA  string `json:"sha"`
		Size int    `json:"size,omitempty"`
	}
	entries := []entry{}
	dirs := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		for i := range len(name) {
			if dir := name[:i]; name[i] == '/' && !dirs[dir] {
				dirs[dir] = true
				entries = append(entries, entry{Path: dir, Mode: "040000", Type: "tree", SHA: BlobSHA(dir)})
			}
		}
		content := c.Files[name]
		entries = append(entries, entry{Path: name, Mode: "100644", Type: "blob", SHA: BlobSHA(content), Size: len(content)})
	}
	truncated := g.Truncate > 0 && len(entries) > g.Truncate
	if truncated {
		entries = entries[:g.Truncate]
	}
	writeJSON(w, http.StatusOK, map[string]any{"sha": c.SHA, "tree": entries, "truncated": truncated})
}

func (g *GitHub) blob(w http.ResponseWriter, r *http.Request) {
	repo, _, ok := g.find(w, r, "")
	if !ok {
		return
	}
	for _, c := range repo.branches {
		for _, content := range c.Files {
			if BlobSHA(content) == r.PathValue("sha") {
				w.Header().Set("Content-Type", "application/vnd.github.v3.raw; charset=utf-8")
				fmt.Fprint(w, content)
				return
			}
		}
	}
	githubError(w, http.StatusNotFound, "Not Found")
}

// tarball redirects to another host, with a token of its own for private ones.
func (g *GitHub) tarball(w http.ResponseWriter, r *http.Request) {
	if repo, c, ok := g.find(w, r, r.PathValue("ref")); ok {
		w.Header().Set("Location", "https://codeload.github.com/"+repo.name+"/legacy.tar.gz/"+c.SHA+"?token=once")
		w.WriteHeader(http.StatusFound)
	}
}

func (g *GitHub) codeload(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		githubError(w, http.StatusBadRequest, "a credential came to a host that it is not for")
		return
	}
	repo, c, ok := g.store.find(r.PathValue("owner")+"/"+r.PathValue("repo"), r.PathValue("ref"))
	if !ok {
		githubError(w, http.StatusNotFound, "Not Found")
		return
	}
	w.Header().Set("Content-Type", "application/x-gzip")
	w.Write(c.TarGz(strings.ReplaceAll(repo.name, "/", "-")+"-"+c.SHA[:7], ""))
}

func (g *GitHub) raw(w http.ResponseWriter, r *http.Request) {
	if _, c, ok := g.find(w, r, r.PathValue("ref")); ok {
		g.content(w, r, c, r.PathValue("path"))
	}
}

// app verifies the token that an App signs for itself: RS256, at most ten
// minutes, by GitHub's rules.
func (g *GitHub) app(w http.ResponseWriter, r *http.Request) (string, bool) {
	token, err := jwt.ParseSigned(bearer(r), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		githubError(w, http.StatusUnauthorized, "A JSON web token could not be decoded")
		return "", false
	}
	var claims jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		githubError(w, http.StatusUnauthorized, "A JSON web token could not be decoded")
		return "", false
	}
	g.mu.Lock()
	key := g.apps[claims.Issuer]
	g.mu.Unlock()
	now := g.Now()
	switch {
	case key == nil || token.Claims(key, &claims) != nil:
		githubError(w, http.StatusUnauthorized, "A JSON web token could not be decoded")
	case claims.Expiry == nil || claims.IssuedAt == nil || claims.IssuedAt.Time().After(now):
		githubError(w, http.StatusUnauthorized, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
	case !claims.Expiry.Time().After(now):
		githubError(w, http.StatusUnauthorized, "'Expiration time' claim ('exp') must be in the future")
	case claims.Expiry.Time().After(now.Add(10 * time.Minute)):
		githubError(w, http.StatusUnauthorized, "'Expiration time' claim ('exp') is too far in the future")
	default:
		return claims.Issuer, true
	}
	return "", false
}

func (g *GitHub) listInstallations(w http.ResponseWriter, r *http.Request) {
	app, ok := g.app(w, r)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []any
	for _, in := range g.installations {
		if in.app != app {
			continue
		}
		selection, suspended := "all", any(nil)
		if in.repos != nil {
			selection = "selected"
		}
		if in.suspended {
			suspended = "2026-01-02T03:04:05Z"
		}
		all = append(all, map[string]any{"id": in.id, "account": map[string]any{"login": in.owner}, "repository_selection": selection, "suspended_at": suspended})
	}
	writeJSON(w, http.StatusOK, page(r, all))
}

// page cuts one page out of a list, by the parameters per_page and page.
func page(r *http.Request, all []any) []any {
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if size < 1 || size > 100 {
		size = 30
	}
	start := min(max(n-1, 0)*size, len(all))
	return append([]any{}, all[start:min(start+size, len(all))]...)
}

func (g *GitHub) accessToken(w http.ResponseWriter, r *http.Request) {
	app, ok := g.app(w, r)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, in := range g.installations {
		if in.app != app || strconv.FormatInt(in.id, 10) != r.PathValue("id") {
			continue
		}
		g.issued++
		token := fmt.Sprintf("ghs_%s_%d", strings.ToLower(in.owner), g.issued)
		g.tokens[token] = in
		writeJSON(w, http.StatusCreated, map[string]any{"token": token, "expires_at": g.Now().Add(time.Hour).UTC().Format(time.RFC3339), "permissions": map[string]string{"contents": "read"}})
		return
	}
	githubError(w, http.StatusNotFound, "Not Found")
}

func (g *GitHub) listRepositories(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	in := g.tokens[bearer(r)]
	g.mu.Unlock()
	if in == nil {
		githubError(w, http.StatusForbidden, "Resource not accessible by integration")
		return
	}
	var all []any
	for _, name := range in.repos {
		all = append(all, map[string]any{"name": name, "full_name": in.owner + "/" + name})
	}
	writeJSON(w, http.StatusOK, map[string]any{"total_count": len(all), "repositories": page(r, all)})
}
