package scm

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A bitbucketCloudReader reads from bitbucket.org through its API, version 2.0.
type bitbucketCloudReader struct {
	host
	config *BitbucketCloudConfig
	oauth  *oauthToken
}

const (
	bitbucketCloudAPI   = "https://api.bitbucket.org/2.0"
	bitbucketCloudOAuth = "https://bitbucket.org/site/oauth2/access_token"
)

func newBitbucketCloudReader(h host) (Reader, error) {
	return &bitbucketCloudReader{h, h.config.(*BitbucketCloudConfig), &oauthToken{}}, nil
}

// credential prefers an OAuth client over a token over an app password.
func (r *bitbucketCloudReader) credential(ctx context.Context, token string) (Credential, error) {
	c := r.config
	switch {
	case token != "":
		return BearerCredential(token), nil
	case c.ClientID != "":
		return r.oauth.get(ctx, r.host, bitbucketCloudOAuth, "oauth:"+c.ClientID,
			BasicCredential(c.ClientID, c.ClientSecret.Reveal()), url.Values{"grant_type": {"client_credentials"}})
	case !c.Token.IsZero() && c.Username != "":
		return BasicCredential(c.Username, c.Token.Reveal()), nil
	case !c.Token.IsZero():
		return tokenCredential(c.Token), nil
	case !c.AppPassword.IsZero():
		return BasicCredential(c.Username, c.AppPassword.Reveal()), nil
	}
	return Credential{}, nil
}

func (r *bitbucketCloudReader) repository(p Place) string {
	return bitbucketCloudAPI + "/repositories/" + apiPath(p.Repository)
}

// ref is the place's ref, or the repository's main branch.
func (r *bitbucketCloudReader) ref(ctx context.Context, cred Credential, p Place, rawURL string) (string, error) {
	if p.Ref != "" && p.Ref != "HEAD" {
		return p.Ref, nil
	}
	var repository struct {
		MainBranch struct {
			Name string `json:"name"`
		} `json:"mainbranch"`
	}
	if _, err := r.json(ctx, cred, r.repository(p), rawURL, &repository); err != nil {
		return "", err
	}
	return repository.MainBranch.Name, nil
}

// ReadURL reads a file.
func (r *bitbucketCloudReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	_, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred, err := r.credential(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	ref, err := r.ref(ctx, cred, p, rawURL)
	if err != nil {
		return nil, err
	}
	opts.LastModifiedAfter = time.Time{}
	return r.file(ctx, cred, r.repository(p)+"/src/"+url.PathEscape(ref)+"/"+apiPath(p.Path), rawURL, opts)
}

// ReadTree reads the archive of a ref; the ETag is the short hash of its commit.
func (r *bitbucketCloudReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return r.tree(ctx, p, p.Path, rawURL, opts)
}

func (r *bitbucketCloudReader) tree(ctx context.Context, p Place, sub, rawURL string, opts TreeOptions) (*Tree, error) {
	cred, err := r.credential(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	ref, err := r.ref(ctx, cred, p, rawURL)
	if err != nil {
		return nil, err
	}
	var commits struct {
		Values []struct {
			Hash string `json:"hash"`
		} `json:"values"`
	}
	if _, err := r.json(ctx, cred, r.repository(p)+"/commits/"+url.PathEscape(ref)+"?pagelen=1", rawURL, &commits); err != nil {
		return nil, err
	}
	if len(commits.Values) == 0 {
		return nil, apierr.NotFound.New("could not read %s, ref %s has no commits", rawURL, ref)
	}
	hash := shortHash(commits.Values[0].Hash)
	if err := unchanged(opts.ETag, hash, rawURL); err != nil {
		return nil, err
	}
	archive := "https://" + bitbucketCloudHost + "/" + apiPath(p.Repository) + "/get/" + url.PathEscape(commits.Values[0].Hash) + ".tar.gz"
	return r.tarGz(ctx, cred, archive, rawURL, hash, sub, opts)
}

// shortHash is the form in which Bitbucket shows commits, and the contract's ETag.
func shortHash(hash string) string { return hash[:min(len(hash), 12)] }

// Search matches the glob against the archive of the ref.
func (r *bitbucketCloudReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return searchRepository(ctx, r.host, r, rawURL, opts, func(_ *url.URL, p Place, tree TreeOptions) (*Tree, error) {
		return r.tree(ctx, p, "", rawURL, tree)
	})
}

// A bitbucketServerReader reads from Bitbucket Server and Data Center.
type bitbucketServerReader struct {
	host
	config *BitbucketServerConfig
}

func newBitbucketServerReader(h host) (Reader, error) {
	return &bitbucketServerReader{h, h.config.(*BitbucketServerConfig)}, nil
}

func (r *bitbucketServerReader) credential(token string) Credential {
	switch {
	case token != "":
		return BearerCredential(token)
	case !r.config.Token.IsZero():
		return tokenCredential(r.config.Token)
	case r.config.Username != "":
		return BasicCredential(r.config.Username, r.config.Password.Reveal())
	}
	return Credential{}
}

func (r *bitbucketServerReader) repository(p Place) string {
	return r.config.APIBaseURL + "/projects/" + apiPath(p.Owner()) + "/repos/" + apiPath(p.Name())
}

// ReadURL reads a file.
func (r *bitbucketServerReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	_, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	opts.LastModifiedAfter = time.Time{}
	address := r.repository(p) + "/raw/" + apiPath(p.Path)
	if p.Ref != "" {
		address += "?at=" + url.QueryEscape(p.Ref)
	}
	return r.file(ctx, r.credential(opts.Token), address, rawURL, opts)
}

// ReadTree reads an archive; the ETag is the short hash of the ref's commit.
func (r *bitbucketServerReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return r.tree(ctx, p, p.Path, rawURL, opts)
}

func (r *bitbucketServerReader) tree(ctx context.Context, p Place, sub, rawURL string, opts TreeOptions) (*Tree, error) {
	cred := r.credential(opts.Token)
	until := ""
	if p.Ref != "" {
		until = "&until=" + url.QueryEscape(p.Ref)
	}
	var commits struct {
		Values []struct {
			ID string `json:"id"`
		} `json:"values"`
	}
	if _, err := r.json(ctx, cred, r.repository(p)+"/commits?limit=1"+until, rawURL, &commits); err != nil {
		return nil, err
	}
	if len(commits.Values) == 0 {
		return nil, apierr.NotFound.New("could not read %s, ref %q has no commits", rawURL, p.Ref)
	}
	hash := commits.Values[0].ID
	if err := unchanged(opts.ETag, shortHash(hash), rawURL); err != nil {
		return nil, err
	}
	// The prefix makes the archive look like those of other hosts: one top directory.
	query := url.Values{"format": {"tgz"}, "at": {hash}, "prefix": {"top"}}
	if sub = strings.Trim(sub, "/"); sub != "" {
		query.Set("path", sub)
	}
	return r.tarGz(ctx, cred, r.repository(p)+"/archive?"+query.Encode(), rawURL, shortHash(hash), sub, opts)
}

// Search matches the glob against the archive of the ref.
func (r *bitbucketServerReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return searchRepository(ctx, r.host, r, rawURL, opts, func(_ *url.URL, p Place, tree TreeOptions) (*Tree, error) {
		return r.tree(ctx, p, "", rawURL, tree)
	})
}
