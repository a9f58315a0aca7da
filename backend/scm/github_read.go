package scm

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Media types of GitHub's API.
const (
	githubJSON = "application/vnd.github.v3+json"
	githubRaw  = "application/vnd.github.v3.raw"
)

// A githubReader reads from one GitHub host. With a credential, or without an
// address for raw files, it uses the API; anonymously it spares the API's small
// budget and reads raw files.
type githubReader struct {
	host
	config      *GitHubConfig
	credentials *GitHubCredentials
}

func newGitHubReader(h host) (Reader, error) {
	credentials, err := newGitHubCredentials(h, time.Now)
	if err != nil {
		return nil, err
	}
	return &githubReader{h, h.config.(*GitHubConfig), credentials}, nil
}

func (r *githubReader) credential(ctx context.Context, p Place, token string) (Credential, error) {
	return bearerOr(token, func() (Credential, error) { return r.credentials.ForOwner(ctx, p.Owner(), p.Name()) })
}

func (r *githubReader) repository(p Place) string {
	return r.config.APIBaseURL + "/repos/" + apiPath(p.Repository)
}

// ReadURL reads a file; the ETag is the host's.
func (r *githubReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	_, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred, err := r.credential(ctx, p, opts.Token)
	if err != nil {
		return nil, err
	}
	opts.LastModifiedAfter = time.Time{} // a file's date is its commit's, which nobody compares
	if r.config.APIBaseURL != "" && (!cred.IsZero() || r.config.RawBaseURL == "") {
		address := r.repository(p) + "/contents/" + apiPath(p.Path)
		if p.Ref != "" {
			address += "?ref=" + url.QueryEscape(p.Ref)
		}
		return r.file(ctx, cred, address, rawURL, opts, "Accept", githubRaw)
	}
	address := r.config.RawBaseURL + "/" + apiPath(p.Repository) + "/" + apiPath(stringOr(p.Ref, "HEAD")) + "/" + apiPath(p.Path)
	return r.file(ctx, cred, address, rawURL, opts)
}

// ReadTree reads the commit that the ref stands for; its SHA is the ETag.
func (r *githubReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	cred, sha, err := r.commit(ctx, p, rawURL, opts.Token)
	if err != nil {
		return nil, err
	}
	if err := unchanged(opts.ETag, sha, rawURL); err != nil {
		return nil, err
	}
	return r.tarball(ctx, cred, p, sha, p.Path, rawURL, opts)
}

func (r *githubReader) tarball(ctx context.Context, cred Credential, p Place, sha, sub, rawURL string, opts TreeOptions) (*Tree, error) {
	return r.tarGz(ctx, cred, r.repository(p)+"/tarball/"+url.PathEscape(sha), rawURL, sha, sub, opts, "Accept", githubJSON)
}

// commit finds the SHA of a place's ref through the commit's status, which is
// the cheapest question that takes branches, tags and commits alike.
func (r *githubReader) commit(ctx context.Context, p Place, rawURL, token string) (Credential, string, error) {
	if r.config.APIBaseURL == "" {
		return Credential{}, "", apierr.NotImplemented.New("cannot read a tree at %s: integrations.github of host %s has no apiBaseUrl", rawURL, r.Host())
	}
	cred, err := r.credential(ctx, p, token)
	if err != nil {
		return cred, "", err
	}
	ref := p.Ref
	if ref == "" {
		var repository struct {
			DefaultBranch string `json:"default_branch"`
		}
		if _, err := r.json(ctx, cred, r.repository(p), rawURL, &repository, "Accept", githubJSON); err != nil {
			return cred, "", err
		}
		ref = repository.DefaultBranch
	}
	var status struct {
		SHA string `json:"sha"`
	}
	address := fmt.Sprintf("%s/commits/%s/status?per_page=0", r.repository(p), url.PathEscape(ref))
	if _, err := r.json(ctx, cred, address, rawURL, &status, "Accept", githubJSON); err != nil {
		return cred, "", err
	}
	if status.SHA == "" {
		return cred, "", apierr.Internal.New("could not read %s: the status of commit %s has no sha", rawURL, ref)
	}
	return cred, status.SHA, nil
}

// Search matches a glob against the recursive tree of the commit, and against
// its tarball if the tree is too long for one answer. The ETag is the SHA.
func (r *githubReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	u, p, err := r.take(rawURL)
	if err != nil {
		return nil, err
	}
	if !isGlob(p.Path) {
		return SearchOne(ctx, r, rawURL, opts)
	}
	match, err := compileGlob(p.Path)
	if err != nil {
		return nil, err
	}
	cred, sha, err := r.commit(ctx, p, rawURL, opts.Token)
	if isNotFound(err) {
		return &SearchResult{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := unchanged(opts.ETag, sha, rawURL); err != nil {
		return nil, err
	}
	var listing struct {
		Tree []struct {
			Path, Type, SHA string
			Size            int64
		}
		Truncated bool
	}
	address := r.repository(p) + "/git/trees/" + url.PathEscape(sha) + "?recursive=1"
	if _, err := r.json(ctx, cred, address, rawURL, &listing, "Accept", githubJSON); err != nil {
		return nil, err
	}
	if listing.Truncated {
		tree, err := r.tarball(ctx, cred, p, sha, "", rawURL, TreeOptions{Filter: filterOf(match)})
		if err != nil {
			return nil, err
		}
		return searchTree(ctx, tree, match, opts.read().maxBytes(), func(path string) string { return p.urlOf(u, path) })
	}
	result := &SearchResult{ETag: sha}
	for _, e := range listing.Tree {
		if e.Type != "blob" || !match(e.Path) {
			continue
		}
		file := p.urlOf(u, e.Path)
		blob := r.repository(p) + "/git/blobs/" + url.PathEscape(e.SHA)
		result.Files = append(result.Files, NewSearchFile(file, time.Time{}, func(ctx context.Context) ([]byte, error) {
			response, err := r.file(ctx, cred, blob, file, ReadOptions{MaxBytes: opts.MaxBytes}, "Accept", githubRaw)
			if err != nil {
				return nil, err
			}
			return response.Bytes()
		}))
	}
	sortFiles(result.Files)
	return result, nil
}

func filterOf(match func(string) bool) func(string, int64) bool {
	return func(path string, _ int64) bool { return match(path) }
}
