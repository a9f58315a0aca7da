package scm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A host is what the readers of this package have in common: one integration
// and the way to talk to it.
type host struct {
	*Integration
	clients *Clients
	trees   *TreeStore
}

// routes makes a route per integration of a kind.
func routes(kind Kind, read func(host) (Reader, error)) ReaderFactory {
	return func(env Env) ([]Route, error) {
		var out []Route
		for _, i := range env.Integrations.All(kind) {
			r, err := read(host{i, env.Clients, env.Trees})
			if err != nil {
				return nil, err
			}
			out = append(out, Route{Kind: kind, Match: i.Matches, Reader: r})
		}
		return out, nil
	}
}

// open sends a GET request with extra headers, given as name and value in turn,
// and returns the answer if it has content. What names the URL in errors.
func (h host) open(ctx context.Context, cred Credential, address, what string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, apierr.Input.Wrap(err, "invalid URL %q", what)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	response, err := h.clients.For(h.Integration, cred).Do(req)
	if err != nil {
		return nil, kindOnly(err, what)
	}
	if err := checkStatus(response, what); err != nil {
		response.Body.Close()
		return nil, err
	}
	return response, nil
}

// file is open for the content of one file, with a time limit that ends when the
// response is closed.
func (h host) file(ctx context.Context, cred Credential, address, what string, opts ReadOptions, header ...string) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	if opts.ETag != "" {
		header = append(header, "If-None-Match", opts.ETag)
	}
	if !opts.LastModifiedAfter.IsZero() {
		header = append(header, "If-Modified-Since", opts.LastModifiedAfter.UTC().Format(http.TimeFormat))
	}
	response, err := h.open(ctx, cred, address, what, header...)
	if err != nil {
		cancel()
		return nil, err
	}
	modified, _ := http.ParseTime(response.Header.Get("Last-Modified"))
	return &Response{
		ETag:         response.Header.Get("ETag"),
		LastModified: modified,
		Body:         limitBody(&onClose{response.Body, cancel}, opts.maxBytes(), what),
	}, nil
}

// maxJSONBytes bounds an API's answer: a recursive tree of 100,000 files has
// about 20 MB.
const maxJSONBytes = 64 << 20

// json decodes an API's answer into out.
func (h host) json(ctx context.Context, cred Credential, address, what string, out any, header ...string) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if !slices.Contains(header, "Accept") {
		header = append(header, "Accept", "application/json")
	}
	response, err := h.open(ctx, cred, address, what, header...)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(limitBody(response.Body, maxJSONBytes, "the answer for "+what))
	if err != nil {
		return nil, kindOnly(err, what)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, apierr.Internal.Wrap(err, "could not read %s: %s answers no valid JSON", what, response.Request.URL.Host)
	}
	return response.Header, nil
}

// tarGz downloads an archive and makes a tree of what lies below sub.
func (h host) tarGz(ctx context.Context, cred Credential, address, what, etag, sub string, opts TreeOptions, header ...string) (*Tree, error) {
	response, err := h.open(ctx, cred, address, what, header...)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return h.trees.FromTarGz(ctx, response.Body, etag, sub, true, opts)
}

// unchanged is the error for a tree or a search whose etag is the one given.
func unchanged(given, current, what string) error {
	if given != "" && given == current {
		return apierr.NotModified.New("%s is still at %s", what, current)
	}
	return nil
}

// bearerOr is a caller's token as a credential, or what own returns.
func bearerOr(token string, own func() (Credential, error)) (Credential, error) {
	if token != "" {
		return BearerCredential(token), nil
	}
	return own()
}

// urlOf is the URL of another file of the repository at the same ref, in the
// form of u.
func (p Place) urlOf(u *url.URL, file string) string {
	c := *u
	c.Fragment, c.RawFragment = "", ""
	return withPath(&c, p.root+"/"+escapePath(strings.ReplaceAll(file, "%", "%25")))
}

// isNotFound reports whether an error says that there is no such thing.
func isNotFound(err error) bool { return errors.Is(err, apierr.NotFound) }

// call sends a request without a body and decodes the answer, for the few calls
// that are no reads.
func (h host) call(ctx context.Context, cred Credential, method, address string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	response, err := h.clients.For(h.Integration, cred).Do(req)
	if err != nil {
		return kindOnly(err, address)
	}
	defer response.Body.Close()
	return decodeAnswer(response, method+" "+address, cred, out)
}

// decodeAnswer decodes the answer to a call that is no read, whose failures say
// nothing about the file that a caller wants.
func decodeAnswer(response *http.Response, what string, cred Credential, out any) error {
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		return apierr.Internal.New("%s as %s: %s", what, cred, statusText(response))
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxJSONBytes)).Decode(out); err != nil {
		return apierr.Internal.Wrap(err, "%s answers no valid JSON", what)
	}
	return nil
}

// indexOrLen is the index of the first c in s, or the length of s.
func indexOrLen(s string, c byte) int {
	if i := strings.IndexByte(s, c); i >= 0 {
		return i
	}
	return len(s)
}
