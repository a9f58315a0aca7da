package scm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A gerritReader reads files through Gerrit's API and archives through Gitiles.
type gerritReader struct {
	host
	config *GerritConfig
}

func newGerritReader(h host) (Reader, error) {
	return &gerritReader{h, h.config.(*GerritConfig)}, nil
}

func (r *gerritReader) credential(token string) Credential {
	switch {
	case token != "":
		return BearerCredential(token)
	case r.config.Username != "":
		return BasicCredential(r.config.Username, r.config.Password.Reveal())
	}
	return Credential{}
}

// signedIn is the part of addresses that makes the host look at credentials.
func signedIn(cred Credential) string {
	if cred.IsZero() {
		return ""
	}
	return "/a"
}

// gerritRef is the place's ref as Gerrit and Gitiles name it.
func gerritRef(u *url.URL, p Place) string {
	if strings.Contains(u.EscapedPath(), "/+/refs/tags/") {
		return "refs/tags/" + p.Ref
	}
	if p.Ref == "" || p.Ref == "HEAD" {
		return "HEAD"
	}
	return "refs/heads/" + p.Ref
}

func (r *gerritReader) project(cred Credential, p Place) string {
	return r.config.BaseURL + signedIn(cred) + "/projects/" + url.PathEscape(p.Repository)
}

// address is the API's address of a place's revision.
func (r *gerritReader) revision(u *url.URL, cred Credential, p Place) string {
	kind := "branches"
	if strings.Contains(u.EscapedPath(), "/+/refs/tags/") {
		kind = "tags"
	} else if isCommit(p.Ref) {
		kind = "commits"
	}
	return r.project(cred, p) + "/" + kind + "/" + url.PathEscape(stringOr(p.Ref, "HEAD"))
}

// isCommit reports whether a ref is a full hash.
func isCommit(ref string) bool {
	return len(ref) == 40 && strings.Trim(ref, "0123456789abcdef") == ""
}

// ReadURL reads a file, which the host sends in base64. There is no ETag.
func (r *gerritReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	u, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred := r.credential(opts.Token)
	limit := opts.maxBytes()
	opts.ETag, opts.LastModifiedAfter, opts.MaxBytes = "", time.Time{}, limit/3*4+1024
	response, err := r.file(ctx, cred, r.revision(u, cred, p)+"/files/"+url.PathEscape(p.Path)+"/content", rawURL, opts)
	if err != nil {
		return nil, err
	}
	encoded, err := response.Bytes()
	if err != nil {
		return nil, err
	}
	content, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(encoded)))
	if err != nil {
		return nil, apierr.Internal.Wrap(err, "could not read %s: the host's answer is no base64", rawURL)
	}
	if int64(len(content)) > limit {
		return nil, tooLarge(rawURL, limit)
	}
	return newResponse("", content), nil
}

// ReadTree reads Gitiles' archive; the ETag is the revision of the branch.
func (r *gerritReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	u, p, err := r.take(rawURL)
	if err != nil {
		return nil, err
	}
	return r.tree(ctx, u, p, p.Path, rawURL, opts)
}

func (r *gerritReader) tree(ctx context.Context, u *url.URL, p Place, sub, rawURL string, opts TreeOptions) (*Tree, error) {
	cred := r.credential(opts.Token)
	revision := p.Ref
	if !isCommit(p.Ref) {
		var branch struct{ Revision string }
		if err := r.prefixedJSON(ctx, cred, r.revision(u, cred, p), rawURL, &branch); err != nil {
			return nil, err
		}
		revision = branch.Revision
	}
	if err := unchanged(opts.ETag, revision, rawURL); err != nil {
		return nil, err
	}
	// Gitiles packs a directory without its own name, so nothing is stripped.
	path := strings.Trim(sub, "/")
	if path != "" {
		path = "/" + apiPath(path)
	}
	ref := gerritRef(u, p)
	if isCommit(p.Ref) {
		ref = p.Ref
	}
	address := r.config.GitilesBaseURL + signedIn(cred) + "/" + apiPath(p.Repository) + "/+archive/" + apiPath(ref) + path + ".tar.gz"
	response, err := r.open(ctx, cred, address, rawURL)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return r.trees.FromTarGz(ctx, response.Body, revision, "", false, opts)
}

// prefixedJSON decodes an answer behind the line )]}' that Gerrit puts in front.
func (r *gerritReader) prefixedJSON(ctx context.Context, cred Credential, address, what string, out any) error {
	response, err := r.open(ctx, cred, address, what, "Accept", "application/json")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(limitBody(response.Body, maxJSONBytes, "the answer for "+what))
	if err != nil {
		return kindOnly(err, what)
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte(")]}'")), out); err != nil {
		return apierr.Internal.Wrap(err, "could not read %s: %s answers no valid JSON", what, r.Host())
	}
	return nil
}

// Search matches the glob against the archive of the ref.
func (r *gerritReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return searchRepository(ctx, r.host, r, rawURL, opts, func(u *url.URL, p Place, tree TreeOptions) (*Tree, error) {
		return r.tree(ctx, u, p, "", rawURL, tree)
	})
}
