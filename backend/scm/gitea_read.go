package scm

import (
	"context"
	"encoding/base64"
	"net/url"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A giteaReader reads from Gitea and Forgejo through their API, version 1.
type giteaReader struct {
	host
	config *GiteaConfig
}

func newGiteaReader(h host) (Reader, error) { return &giteaReader{h, h.config.(*GiteaConfig)}, nil }

func (r *giteaReader) credential(token string) Credential {
	switch {
	case token != "":
		return headerCredential("Authorization", "token "+token, token)
	case r.config.Username != "":
		return BasicCredential(r.config.Username, r.config.Password.Reveal())
	case !r.config.Password.IsZero():
		return headerCredential("Authorization", "token "+r.config.Password.Reveal(), r.config.Password.Reveal())
	}
	return Credential{}
}

func (r *giteaReader) repository(p Place) string {
	return r.config.BaseURL + "/api/v1/repos/" + apiPath(p.Repository)
}

// refQuery names the ref; without one, and for HEAD, the default branch is read.
func (r *giteaReader) refQuery(p Place) string {
	if p.Ref == "" || p.Ref == "HEAD" {
		return ""
	}
	return "?ref=" + url.QueryEscape(p.Ref)
}

// ReadURL reads a file as the host stores it, without resolving large-file links.
func (r *giteaReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	_, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	var content struct {
		SHA      string `json:"sha"`
		Encoding string `json:"encoding"`
		Content  string `json:"content"`
	}
	address := r.repository(p) + "/contents/" + apiPath(p.Path) + r.refQuery(p)
	if _, err := r.json(ctx, r.credential(opts.Token), address, rawURL, &content); err != nil {
		return nil, err
	}
	if content.Encoding != "base64" {
		return nil, apierr.Input.New("could not read %s: it is not a file", rawURL)
	}
	if err := unchanged(opts.ETag, content.SHA, rawURL); err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(content.Content)
	if err != nil {
		return nil, apierr.Internal.Wrap(err, "could not read %s: the host's answer is no base64", rawURL)
	}
	if int64(len(data)) > opts.maxBytes() {
		return nil, tooLarge(rawURL, opts.maxBytes())
	}
	return newResponse(content.SHA, data), nil
}

// ReadTree reads the archive of a ref; the ETag is its commit's hash.
func (r *giteaReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	cred := r.credential(opts.Token)
	query := "?limit=1&stat=false&verification=false&files=false"
	if p.Ref != "" && p.Ref != "HEAD" {
		query += "&sha=" + url.QueryEscape(p.Ref)
	}
	var commits []struct {
		SHA string `json:"sha"`
	}
	if _, err := r.json(ctx, cred, r.repository(p)+"/commits"+query, rawURL, &commits); err != nil {
		return nil, err
	}
	if len(commits) == 0 {
		return nil, apierr.NotFound.New("could not read %s, it has no commits", rawURL)
	}
	sha := commits[0].SHA
	if err := unchanged(opts.ETag, sha, rawURL); err != nil {
		return nil, err
	}
	return r.tarGz(ctx, cred, r.repository(p)+"/archive/"+url.PathEscape(sha)+".tar.gz", rawURL, sha, p.Path, opts)
}

// Search reads the one file at the URL.
func (r *giteaReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return SearchExact(ctx, r, rawURL, opts)
}

// A harnessReader reads from Harness Code.
type harnessReader struct {
	host
	config *HarnessConfig
}

func newHarnessReader(h host) (Reader, error) {
	return &harnessReader{h, h.config.(*HarnessConfig)}, nil
}

func (r *harnessReader) credential(token string) Credential {
	switch {
	case token != "":
		return BearerCredential(token)
	case !r.config.Token.IsZero():
		return tokenCredential(r.config.Token)
	case !r.config.APIKey.IsZero():
		return headerCredential("X-Api-Key", r.config.APIKey.Reveal(), r.config.APIKey.Reveal())
	}
	return Credential{}
}

// address is an address of the API about a repository, whose query is routed by
// the account.
func (r *harnessReader) address(p Place, what string, query url.Values) string {
	account := p.Repository[:indexOrLen(p.Repository, '/')]
	query.Set("routingId", account)
	if p.Ref != "" && p.Ref != "HEAD" {
		query.Set("git_ref", "refs/heads/"+p.Ref)
	}
	return "https://" + r.config.Host + "/gateway/code/api/v1/repos/" + apiPath(p.Repository) + "/+/" + what + "?" + query.Encode()
}

// ReadURL reads a file. The ETag is the hash of the last commit of it.
func (r *harnessReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	_, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred := r.credential(opts.Token)
	sha, err := r.commit(ctx, cred, p, "content/"+apiPath(p.Path), rawURL)
	if err != nil {
		return nil, err
	}
	if err := unchanged(opts.ETag, sha, rawURL); err != nil {
		return nil, err
	}
	opts.ETag, opts.LastModifiedAfter = "", time.Time{}
	response, err := r.file(ctx, cred, r.address(p, "raw/"+apiPath(p.Path), url.Values{}), rawURL, opts)
	if err != nil {
		return nil, err
	}
	response.ETag = sha
	return response, nil
}

func (r *harnessReader) commit(ctx context.Context, cred Credential, p Place, what, rawURL string) (string, error) {
	var content struct {
		LatestCommit struct {
			SHA string `json:"sha"`
		} `json:"latest_commit"`
	}
	_, err := r.json(ctx, cred, r.address(p, what, url.Values{"include_commit": {"true"}}), rawURL, &content)
	return content.LatestCommit.SHA, err
}

// ReadTree reads the archive of a branch; the ETag is its commit's hash.
func (r *harnessReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	cred := r.credential(opts.Token)
	sha, err := r.commit(ctx, cred, p, "content", rawURL)
	if err != nil {
		return nil, err
	}
	if err := unchanged(opts.ETag, sha, rawURL); err != nil {
		return nil, err
	}
	response, err := r.open(ctx, cred, r.address(p, "archive/"+url.PathEscape(stringOr(p.Ref, "HEAD"))+".tar.gz", url.Values{}), rawURL)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return r.trees.FromTarGz(ctx, response.Body, sha, p.Path, false, opts)
}

// Search reads the one file at the URL.
func (r *harnessReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return SearchExact(ctx, r, rawURL, opts)
}
