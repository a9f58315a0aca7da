package scm

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// fetchReader reads plain URLs that backend.reading.allow matches. It sends no
// credential of its own, checks every hop of a redirect and every address that
// it connects to.
type fetchReader struct {
	allow   allowList
	direct  *http.Transport
	proxied *http.Transport
	timeout time.Duration
}

const (
	// maxRedirects is the number of hops after the first request.
	maxRedirects = 5
	// readTimeout ends a read of one file, its body included.
	readTimeout = 60 * time.Second
)

func newFetchReader(allow allowList, resolver Resolver) *fetchReader {
	direct := newTransport(newGuard(resolver, allow.names).DialContext)
	// A proxy of the environment connects in our place, so addresses of names are
	// its business; addresses in URLs remain ours (see roundTrip).
	proxied := newTransport((&net.Dialer{Timeout: dialTimeout}).DialContext)
	proxied.Proxy = http.ProxyFromEnvironment
	return &fetchReader{allow: allow, direct: direct, proxied: proxied, timeout: readTimeout}
}

// NewPlainReader returns a reader of plain URLs, those that reading allows, which knows no
// integration and sends no credential. A nil Resolver is the system's. It does no I/O.
func NewPlainReader(reading ReadingConfig, r Resolver) (Reader, error) {
	allow, err := newAllowList(reading.Allow)
	if err != nil {
		return nil, err
	}
	return newFetchReader(allow, r), nil
}

func newTransport(dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        60 * time.Second,
		MaxIdleConns:           50,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

func (f *fetchReader) matches(u *url.URL) bool { return f.allow.allows(normalized(u)) }

// normalized resolves literal dot segments, as every client does before it sends
// a URL. Encoded ones stay, and make the allow list refuse.
func normalized(u *url.URL) *url.URL {
	if !hasDotSegment(u.EscapedPath()) {
		return u
	}
	return u.ResolveReference(&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery})
}

// ReadURL fetches a URL. The ETag and LastModified are the host's.
func (f *fetchReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	u, err := parseAbsolute(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	response, err := f.follow(ctx, normalized(u), opts)
	if err != nil {
		cancel()
		return nil, err
	}
	response.Body = &onClose{response.Body, cancel}
	if err := checkStatus(response, rawURL); err != nil {
		response.Body.Close()
		return nil, err
	}
	modified, _ := http.ParseTime(response.Header.Get("Last-Modified"))
	if !opts.LastModifiedAfter.IsZero() && !modified.IsZero() && !modified.After(opts.LastModifiedAfter) {
		response.Body.Close()
		return nil, apierr.NotModified.New("%s was not modified after %s", rawURL, opts.LastModifiedAfter.UTC().Format(time.RFC3339))
	}
	return &Response{
		ETag:         response.Header.Get("ETag"),
		LastModified: modified,
		Body:         limitBody(response.Body, opts.maxBytes(), rawURL),
	}, nil
}

// follow sends the request and follows redirects, each of which must be allowed
// like the first. A token stays with the host it was meant for, and a redirect
// from https never leads to http.
func (f *fetchReader) follow(ctx context.Context, u *url.URL, opts ReadOptions) (*http.Response, error) {
	if !f.allow.allows(u) {
		return nil, notAllowedHop(u)
	}
	token := opts.Token
	for hop := 0; ; hop++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, apierr.Input.Wrap(err, "invalid URL %q", u)
		}
		if opts.ETag != "" {
			req.Header.Set("If-None-Match", opts.ETag)
		}
		if !opts.LastModifiedAfter.IsZero() {
			req.Header.Set("If-Modified-Since", opts.LastModifiedAfter.UTC().Format(http.TimeFormat))
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := f.roundTrip(req)
		if err != nil {
			return nil, err
		}
		switch response.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return response, nil
		}
		response.Body.Close()
		if hop == maxRedirects {
			return nil, apierr.Input.New("%s redirects more than %d times", u, maxRedirects)
		}
		location, err := response.Location()
		if err != nil {
			return nil, apierr.Input.Wrap(err, "%s redirects to nowhere", u)
		}
		location = normalized(location)
		if !f.allow.allows(location) || (u.Scheme == "https" && location.Scheme != "https") {
			return nil, notAllowedHop(location)
		}
		if hostOf(location) != hostOf(u) || location.Scheme != u.Scheme {
			token = ""
		}
		u = location
	}
}

func notAllowedHop(u *url.URL) error {
	return apierr.NotAllowed.New("URL not allowed by backend.reading.allow configuration: %s", u.Redacted())
}

func (f *fetchReader) roundTrip(req *http.Request) (*http.Response, error) {
	transport := f.direct
	if proxy, err := http.ProxyFromEnvironment(req); err != nil {
		return nil, err
	} else if proxy != nil {
		transport = f.proxied
		if err := f.checkLiteral(req.URL); err != nil {
			return nil, err
		}
	}
	response, err := transport.RoundTrip(req)
	if errors.Is(err, apierr.NotAllowed) {
		return nil, err
	}
	if err != nil {
		return nil, apierr.Internal.Wrap(err, "could not read %s", req.URL.Redacted())
	}
	return response, nil
}

// checkLiteral refuses a private address in the URL itself, for requests that a
// proxy sends on.
func (f *fetchReader) checkLiteral(u *url.URL) error {
	literal, ok := literalAddress(u.Hostname())
	if ok && !permitted(literal, f.allow.names(u.Hostname(), effectivePort(u)), true) {
		return apierr.NotAllowed.New("host %s is a private address: name it in backend.reading.allow to allow it", u.Hostname())
	}
	return nil
}

// ReadTree fails: a plain URL has no directories.
func (f *fetchReader) ReadTree(_ context.Context, rawURL string, _ TreeOptions) (*Tree, error) {
	return nil, apierr.NotImplemented.New("cannot read a tree at %s: it is a plain URL of backend.reading.allow, which has files only", rawURL)
}

// Search reads the one file at the URL.
func (f *fetchReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return SearchExact(ctx, f, rawURL, opts)
}

func (f *fetchReader) closeIdle() {
	f.direct.CloseIdleConnections()
	f.proxied.CloseIdleConnections()
}

// SearchExact is the search of hosts that cannot find files by a glob: one read,
// and an apierr.Input error for a pattern.
func SearchExact(ctx context.Context, r Reader, rawURL string, opts SearchOptions) (*SearchResult, error) {
	u, err := parseAbsolute(rawURL)
	if err != nil {
		return nil, err
	}
	if isGlob(unescape(u.EscapedPath())) {
		return nil, apierr.Input.New("cannot search %s: this kind of host has no glob patterns, give the exact path of one file", rawURL)
	}
	return SearchOne(ctx, r, rawURL, opts)
}

// checkStatus turns a host's answer that has no content into an error.
func checkStatus(r *http.Response, what string) error {
	switch {
	case r.StatusCode == http.StatusOK:
		return nil
	case r.StatusCode == http.StatusNotModified:
		return apierr.NotModified.New("%s is not modified", what)
	case r.StatusCode == http.StatusNotFound || r.StatusCode == http.StatusGone:
		return apierr.NotFound.New("could not read %s, %s", what, statusText(r))
	}
	_, _ = io.CopyN(io.Discard, r.Body, 4<<10) // lets the connection be used again
	return apierr.Internal.New("could not read %s, %s", what, statusText(r))
}

// statusText is the status, and the contract's words if it is a rate limit.
func statusText(r *http.Response) string {
	text := http.StatusText(r.StatusCode)
	if text == "" {
		text = "unknown status"
	}
	text = strconv.Itoa(r.StatusCode) + " " + text
	if isRateLimited(r) {
		text += " (rate limit exceeded)"
	}
	return text
}

// isRateLimited recognises 429, and 403 with nothing remaining.
func isRateLimited(r *http.Response) bool {
	return r.StatusCode == http.StatusTooManyRequests ||
		r.StatusCode == http.StatusForbidden && r.Header.Get("X-Ratelimit-Remaining") == "0"
}
