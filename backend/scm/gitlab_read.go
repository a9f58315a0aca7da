package scm

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// A gitlabReader reads from one GitLab host through its API, version 4.
type gitlabReader struct {
	host
	config *GitLabConfig
}

func newGitLabReader(h host) (Reader, error) {
	return &gitlabReader{h, h.config.(*GitLabConfig)}, nil
}

func (r *gitlabReader) credential(token string) Credential {
	if token != "" {
		return BearerCredential(token)
	}
	return tokenCredential(r.config.Token)
}

// project is the API's address of a project; its path is one escaped segment.
func (r *gitlabReader) project(p Place) string {
	return r.config.APIBaseURL + "/projects/" + url.PathEscape(p.Repository)
}

// ReadURL reads a file of a repository, or of a job's artifacts.
func (r *gitlabReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	u, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	opts.LastModifiedAfter = time.Time{}
	address := r.project(p) + "/repository/files/" + url.PathEscape(p.Path) + "/raw?ref=" + url.QueryEscape(stringOr(p.Ref, "HEAD"))
	if isArtifact(u) {
		address = r.project(p) + "/jobs/artifacts/" + url.PathEscape(p.Ref) + "/raw/" + apiPath(p.Path) + "?job=" + url.QueryEscape(queryValue(u, "job"))
	}
	return r.file(ctx, r.credential(opts.Token), address, rawURL, opts)
}

// ReadTree reads the archive of a ref. The ETag is the id of the last commit
// that touched what is read.
func (r *gitlabReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return r.tree(ctx, p, p.Path, rawURL, opts)
}

func (r *gitlabReader) tree(ctx context.Context, p Place, sub, rawURL string, opts TreeOptions) (*Tree, error) {
	cred := r.credential(opts.Token)
	ref := p.Ref
	if ref == "" {
		var project struct {
			DefaultBranch string `json:"default_branch"`
		}
		if _, err := r.json(ctx, cred, r.project(p), rawURL, &project); err != nil {
			return nil, err
		}
		ref = project.DefaultBranch
	}
	sub = strings.Trim(sub, "/")
	path := ""
	if sub != "" {
		path = "&path=" + url.QueryEscape(sub)
	}
	var commits []struct {
		ID string `json:"id"`
	}
	address := r.project(p) + "/repository/commits?ref_name=" + url.QueryEscape(ref) + "&per_page=1" + path
	if _, err := r.json(ctx, cred, address, rawURL, &commits); err != nil {
		return nil, err
	}
	etag := ""
	if len(commits) > 0 {
		etag = commits[0].ID
	}
	if err := unchanged(opts.ETag, etag, rawURL); err != nil {
		return nil, err
	}
	address = r.project(p) + "/repository/archive.tar.gz?sha=" + url.QueryEscape(ref) + path
	return r.tarGz(ctx, cred, address, rawURL, etag, sub, opts)
}

// Search matches the glob against the archive of the whole ref.
func (r *gitlabReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return searchRepository(ctx, r.host, r, rawURL, opts, func(_ *url.URL, p Place, tree TreeOptions) (*Tree, error) {
		return r.tree(ctx, p, "", rawURL, tree)
	})
}
