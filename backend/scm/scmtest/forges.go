package scmtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// The forges below want the header that NewX was given, and answer 404 without it
// as they do for private projects.

func newForge(header, value string, routes map[string]func(http.ResponseWriter, *http.Request)) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.HandleFunc("GET "+pattern, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Ratelimit-Remaining", "599")
		if value != "" && r.Header.Get(header) != value {
			writeJSON(w, http.StatusNotFound, map[string]string{"message": "404 Not Found"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// text answers with a file and its ETag, or 304, or 404.
func text(w http.ResponseWriter, r *http.Request, c Commit, ok bool, path string) {
	content, found := c.Files[path]
	if !ok || !found {
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "404 File Not Found"})
		return
	}
	etag := `"` + BlobSHA(content) + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprint(w, content)
}

// answer writes v, or 404.
func answer(w http.ResponseWriter, ok bool, v any) {
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "404 Not Found"})
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// archive writes data, or 404.
func archive(w http.ResponseWriter, ok bool, data func() []byte) {
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "404 Not Found"})
		return
	}
	w.Write(data())
}

// NewGitLab answers below /api/v4 for projects named by their full path. Files
// below "artifacts/" of a project are also those of its jobs.
func NewGitLab(s *Store, token string) http.Handler {
	find := func(r *http.Request, ref string) (repository, Commit, bool) { return s.find(r.PathValue("id"), ref) }
	return newForge("Authorization", prefixed("Bearer ", token), map[string]func(http.ResponseWriter, *http.Request){
		"/api/v4/projects/{id}": func(w http.ResponseWriter, r *http.Request) {
			repo, _, ok := find(r, "")
			answer(w, ok, map[string]any{"path_with_namespace": repo.name, "default_branch": repo.defaultBranch})
		},
		"/api/v4/projects/{id}/repository/files/{path}/raw": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("ref"))
			text(w, r, c, ok, r.PathValue("path"))
		},
		"/api/v4/projects/{id}/jobs/artifacts/{ref}/raw/{path...}": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.PathValue("ref"))
			text(w, r, c, ok && r.URL.Query().Get("job") == "build", "artifacts/"+r.PathValue("path"))
		},
		"/api/v4/projects/{id}/repository/commits": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("ref_name"))
			answer(w, ok, []any{map[string]any{"id": c.SHA}})
		},
		"/api/v4/projects/{id}/repository/archive.tar.gz": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("sha"))
			archive(w, ok, func() []byte { return c.TarGz("project-"+c.SHA, r.URL.Query().Get("path")) })
		},
	})
}

func prefixed(prefix, token string) string {
	if token == "" {
		return ""
	}
	return prefix + token
}

// NewBitbucketCloud answers for api.bitbucket.org and bitbucket.org.
func NewBitbucketCloud(s *Store, authorization string) http.Handler {
	find := func(r *http.Request, ref string) (repository, Commit, bool) {
		return s.find(r.PathValue("workspace")+"/"+r.PathValue("repo"), ref)
	}
	const repo = "api.bitbucket.org/2.0/repositories/{workspace}/{repo}"
	return newForge("Authorization", authorization, map[string]func(http.ResponseWriter, *http.Request){
		repo: func(w http.ResponseWriter, r *http.Request) {
			found, _, ok := find(r, "")
			answer(w, ok, map[string]any{"mainbranch": map[string]any{"name": found.defaultBranch}})
		},
		repo + "/src/{ref}/{path...}": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.PathValue("ref"))
			text(w, r, c, ok, r.PathValue("path"))
		},
		repo + "/commits/{ref}": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.PathValue("ref"))
			answer(w, ok, map[string]any{"values": []any{map[string]any{"hash": c.SHA}}, "pagelen": 1, "next": "https://api.bitbucket.org/2.0/next"})
		},
		"bitbucket.org/{workspace}/{repo}/get/{file}": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, strings.TrimSuffix(r.PathValue("file"), ".tar.gz"))
			archive(w, ok, func() []byte { return c.TarGz("w-r-"+c.SHA[:12], "") })
		},
	})
}

// NewBitbucketServer answers below /rest/api/1.0.
func NewBitbucketServer(s *Store, authorization string) http.Handler {
	find := func(r *http.Request, ref string) (repository, Commit, bool) {
		return s.find(r.PathValue("key")+"/"+r.PathValue("repo"), ref)
	}
	const repo = "/rest/api/1.0/projects/{key}/repos/{repo}"
	return newForge("Authorization", authorization, map[string]func(http.ResponseWriter, *http.Request){
		repo + "/raw/{path...}": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("at"))
			text(w, r, c, ok, r.PathValue("path"))
		},
		repo + "/commits": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("until"))
			answer(w, ok, map[string]any{"values": []any{map[string]any{"id": c.SHA}}, "size": 1, "limit": 1, "isLastPage": false, "nextPageStart": 1})
		},
		repo + "/archive": func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			_, c, ok := find(r, q.Get("at"))
			archive(w, ok && q.Get("format") == "tgz", func() []byte { return c.TarGz(q.Get("prefix"), q.Get("path")) })
		},
	})
}

// NewAzure answers for repositories named "organization/project/name". Without
// the right header it sends its sign-in page, with status 203.
func NewAzure(s *Store, authorization string) http.Handler {
	find := func(r *http.Request, kind string) (repository, Commit, bool) {
		q := r.URL.Query()
		if v := q.Get(kind + ".version"); v != "" && q.Get(kind+".versionType") == "" {
			return repository{}, Commit{}, false
		}
		return s.find(r.PathValue("organization")+"/"+r.PathValue("project")+"/"+r.PathValue("repo"), q.Get(kind+".version"))
	}
	const repo = "/{organization}/{project}/_apis/git/repositories/{repo}"
	inner := newForge("", "", map[string]func(http.ResponseWriter, *http.Request){
		repo + "/items": func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			_, c, ok := find(r, "versionDescriptor")
			if q.Get("$format") == "zip" {
				archive(w, ok, func() []byte { return c.Zip(q.Get("scopePath")) })
				return
			}
			text(w, r, c, ok, strings.TrimPrefix(q.Get("path"), "/"))
		},
		repo + "/commits": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, "searchCriteria.itemVersion")
			answer(w, ok, map[string]any{"count": 1, "value": []any{map[string]any{"commitId": c.SHA}}})
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if authorization != "" && r.Header.Get("Authorization") != authorization {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			fmt.Fprint(w, "<html>Sign in</html>")
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// NewGitea answers below /api/v1.
func NewGitea(s *Store, authorization string) http.Handler {
	find := func(r *http.Request, ref string) (repository, Commit, bool) {
		return s.find(r.PathValue("owner")+"/"+r.PathValue("repo"), ref)
	}
	const repo = "/api/v1/repos/{owner}/{repo}"
	return newForge("Authorization", authorization, map[string]func(http.ResponseWriter, *http.Request){
		repo: func(w http.ResponseWriter, r *http.Request) {
			found, _, ok := find(r, "")
			answer(w, ok, map[string]any{"full_name": found.name, "default_branch": found.defaultBranch})
		},
		repo + "/contents/{path...}": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("ref"))
			content, found := c.Files[r.PathValue("path")]
			answer(w, ok && found, map[string]any{"type": "file", "encoding": "base64", "sha": BlobSHA(content), "content": base64.StdEncoding.EncodeToString([]byte(content))})
		},
		repo + "/commits": func(w http.ResponseWriter, r *http.Request) {
			_, c, ok := find(r, r.URL.Query().Get("sha"))
			answer(w, ok, []any{map[string]any{"sha": c.SHA}})
		},
		repo + "/archive/{file}": func(w http.ResponseWriter, r *http.Request) {
			found, c, ok := find(r, strings.TrimSuffix(r.PathValue("file"), ".tar.gz"))
			archive(w, ok, func() []byte { return c.TarGz(strings.ToLower(found.name[strings.IndexByte(found.name, '/')+1:]), "") })
		},
	})
}

// NewHarness answers for repositories named "account/…/name".
func NewHarness(s *Store, apiKey string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, what, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/gateway/code/api/v1/repos/"), "/+/")
		q := r.URL.Query()
		if !ok || apiKey != "" && r.Header.Get("X-Api-Key") != apiKey || q.Get("routingId") != strings.Split(name, "/")[0] {
			answer(w, false, nil)
			return
		}
		_, c, ok := s.find(name, q.Get("git_ref"))
		switch kind, path, _ := strings.Cut(what, "/"); kind {
		case "raw":
			text(w, r, c, ok, path)
		case "content":
			_, found := c.Files[path]
			answer(w, ok && (path == "" || found), map[string]any{"latest_commit": map[string]any{"sha": c.SHA}})
		case "archive":
			archive(w, ok, func() []byte { return c.TarGz("", "") })
		default:
			answer(w, false, nil)
		}
	})
}

// NewGerrit answers for the API below / and for Gitiles below /gitiles. With an
// authorization it wants it, and "/a" in front of the path.
func NewGerrit(s *Store, authorization string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, isGitiles := strings.CutPrefix(r.URL.EscapedPath(), "/gitiles")
		path, signedIn := strings.CutPrefix(path, "/a/")
		if signedIn != (authorization != "") || r.Header.Get("Authorization") != authorization {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		path = strings.TrimPrefix(path, "/")
		if isGitiles {
			project, rest, _ := strings.Cut(path, "/+archive/")
			rest = strings.TrimPrefix(strings.TrimSuffix(rest, ".tar.gz"), "refs/heads/")
			ref, dir, _ := strings.Cut(rest, "/")
			_, c, ok := s.find(project, ref)
			archive(w, ok, func() []byte { return rebase(c, dir).TarGz("", "") })
			return
		}
		parts := strings.Split(path, "/") // projects/P/branches/B[/files/F/content]
		if len(parts) < 4 {
			http.NotFound(w, r)
			return
		}
		for i := range parts {
			parts[i], _ = url.PathUnescape(parts[i])
		}
		_, c, ok := s.find(parts[1], parts[3])
		if len(parts) == 7 && parts[4] == "files" && ok {
			if content, found := c.Files[parts[5]]; found {
				fmt.Fprint(w, base64.StdEncoding.EncodeToString([]byte(content)))
				return
			}
			ok = false
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, ")]}'\n")
		_ = json.NewEncoder(w).Encode(map[string]string{"ref": "refs/heads/" + parts[3], "revision": c.SHA})
	})
}

// rebase is the commit as seen from one of its directories.
func rebase(c Commit, dir string) Commit {
	if dir == "" {
		return c
	}
	files := map[string]string{}
	for name, content := range c.Files {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			files[rest] = content
		}
	}
	return Commit{SHA: c.SHA, Files: files}
}
