package scm

import (
	"context"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// An Addresser is a Reader that finds the address of a file by the address of its
// repository. The reader of a backend is one; kinds of hosts that cannot do it answer
// with apierr.NotImplemented.
type Addresser interface {
	// FileURL is the address of path, which may be a glob, in the repository that rawURL
	// points into: at the ref of rawURL, or else on the default branch, which the host
	// is asked for.
	FileURL(ctx context.Context, rawURL, path string) (string, error)
}

var _ Addresser = (*Mux)(nil)

// FileURL asks the host of rawURL.
func (m *Mux) FileURL(ctx context.Context, rawURL, path string) (string, error) {
	r, err := m.route(rawURL)
	if err != nil {
		return "", err
	}
	if a, ok := r.(Addresser); ok {
		return a.FileURL(ctx, rawURL, path)
	}
	return "", apierr.NotImplemented.New("the default branch of %s cannot be found out", rawURL)
}

// addressOf is the address of path below base, which ends in what the host calls its
// view of a file. branch is asked where rawURL has no ref.
func (h host) addressOf(rawURL, path string, base func(Place) string, branch func(Place) (string, error)) (string, error) {
	_, p, err := h.take(rawURL)
	if err != nil {
		return "", err
	}
	if p.Ref == "" {
		if p.Ref, err = branch(p); err != nil {
			return "", err
		}
	}
	if p.Ref == "" {
		return "", apierr.NotFound.New("%s has no default branch", rawURL)
	}
	return base(p) + "/" + escapePath(p.Ref) + "/" + escapePath(strings.TrimPrefix(path, "/")), nil
}

// defaultBranch reads the member that GitHub, GitLab and Gitea name alike.
func (h host) defaultBranch(ctx context.Context, cred Credential, address, what string, header ...string) (string, error) {
	var repository struct {
		DefaultBranch string `json:"default_branch"`
	}
	_, err := h.json(ctx, cred, address, what, &repository, header...)
	return repository.DefaultBranch, err
}

func (r *githubReader) FileURL(ctx context.Context, rawURL, path string) (string, error) {
	view := func(p Place) string { return "https://" + r.Host() + "/" + apiPath(p.Repository) + "/blob" }
	return r.addressOf(rawURL, path, view, func(p Place) (string, error) {
		cred, err := r.credential(ctx, p, "")
		if err != nil {
			return "", err
		}
		return r.defaultBranch(ctx, cred, r.repository(p), rawURL, "Accept", githubJSON)
	})
}

func (r *gitlabReader) FileURL(ctx context.Context, rawURL, path string) (string, error) {
	view := func(p Place) string { return r.config.BaseURL + "/" + apiPath(p.Repository) + "/-/blob" }
	return r.addressOf(rawURL, path, view, func(p Place) (string, error) {
		return r.defaultBranch(ctx, r.credential(""), r.project(p), rawURL)
	})
}

func (r *giteaReader) FileURL(ctx context.Context, rawURL, path string) (string, error) {
	if p, err := r.Parse(rawURL); err == nil && p.Ref != "" { // which may be a tag or a commit
		return r.ResolveURL(rawURL, "/"+strings.TrimPrefix(path, "/"))
	}
	view := func(p Place) string { return r.config.BaseURL + "/" + apiPath(p.Repository) + "/src/branch" }
	return r.addressOf(rawURL, path, view, func(p Place) (string, error) {
		return r.defaultBranch(ctx, r.credential(""), r.repository(p), rawURL)
	})
}

func (r *bitbucketCloudReader) FileURL(ctx context.Context, rawURL, path string) (string, error) {
	view := func(p Place) string { return "https://" + bitbucketCloudHost + "/" + apiPath(p.Repository) + "/src" }
	return r.addressOf(rawURL, path, view, func(p Place) (string, error) {
		cred, err := r.credential(ctx, "")
		if err != nil {
			return "", err
		}
		return r.ref(ctx, cred, p, rawURL)
	})
}
