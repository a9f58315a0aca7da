package scm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Reader reads from URLs. Implementations serve any number of goroutines.
//
// All methods share their errors. apierr.NotModified: the place still has
// opts.ETag, or is not younger than opts.LastModifiedAfter. apierr.NotFound: the
// host says there is no such thing, which for a private repository includes that
// the credentials do not reach it. apierr.NotAllowed: nothing in the
// configuration permits to read there. apierr.Input: the URL is malformed.
// apierr.NotImplemented: the kind of host cannot do this.
type Reader interface {
	// ReadURL reads one file. The caller closes the response.
	ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error)
	// ReadTree reads all files below a URL. The caller closes the tree.
	ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error)
	// Search finds the files that a URL with a glob in its path matches: *, **, ?
	// and {a,b}. A path without a glob is one read. Nothing found is no error but
	// an empty result. The caller closes the result.
	Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error)
}

// ReadOptions are the options of ReadURL; the zero value reads unconditionally.
type ReadOptions struct {
	// ETag is what the last response had.
	ETag string
	// LastModifiedAfter asks for content that changed after it. Only plain URLs
	// and buckets know when a file changed.
	LastModifiedAfter time.Time
	// Token replaces the integration's credential, to read what a user may read.
	// It is only sent to the host that the URL names.
	Token string
	// MaxBytes limits the content; DefaultMaxBytes if 0.
	MaxBytes int64
}

// DefaultMaxBytes is how much ReadURL reads of one file unless told otherwise.
const DefaultMaxBytes = 64 << 20

func (o ReadOptions) maxBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

// A Response is one file. Its body is read at most once.
type Response struct {
	// ETag identifies this content for the next read; empty if the host has none.
	ETag string
	// LastModified is zero if the host does not tell.
	LastModified time.Time
	// Body streams the content and fails with an apierr.Input error at the limit.
	Body io.ReadCloser
}

// Bytes reads the whole content and closes the response.
func (r *Response) Bytes() ([]byte, error) {
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

// Close releases the connection. It may be called more than once.
func (r *Response) Close() error { return r.Body.Close() }

// NewResponse is a response for readers of other kinds of hosts and for fakes.
// What names the URL in the error that reading beyond maxBytes gives;
// DefaultMaxBytes if 0.
func NewResponse(what, etag string, modified time.Time, body io.ReadCloser, maxBytes int64) *Response {
	limit := ReadOptions{MaxBytes: maxBytes}.maxBytes()
	return &Response{ETag: etag, LastModified: modified, Body: limitBody(body, limit, what)}
}

// newResponse wraps bytes that are already here.
func newResponse(etag string, content []byte) *Response {
	return &Response{ETag: etag, Body: io.NopCloser(bytes.NewReader(content))}
}

// SearchOptions are the options of Search.
type SearchOptions struct {
	// ETag is what the last result had.
	ETag string
	// Token replaces the integration's credential; see ReadOptions.
	Token string
	// MaxBytes limits each file; DefaultMaxBytes if 0.
	MaxBytes int64
}

func (o SearchOptions) read() ReadOptions {
	return ReadOptions{ETag: o.ETag, Token: o.Token, MaxBytes: o.MaxBytes}
}

// A SearchResult is what a glob matched, in the order of the paths.
type SearchResult struct {
	// ETag identifies the whole result for the next search.
	ETag  string
	Files []SearchFile

	close func() error
}

// Close releases what the files are read from; their contents cannot be read
// afterwards. It may be called more than once.
func (r *SearchResult) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// A SearchFile is one match.
type SearchFile struct {
	// URL is the file's address in the form of the searched URL.
	URL string
	// LastModified is zero if the host does not tell.
	LastModified time.Time

	content func(context.Context) ([]byte, error)
}

// Content reads the file. It may be called from several goroutines at once.
func (f SearchFile) Content(ctx context.Context) ([]byte, error) { return f.content(ctx) }

// NewSearchFile makes a SearchFile whose content read provides, for readers of
// other kinds of hosts and for fakes.
func NewSearchFile(url string, modified time.Time, read func(context.Context) ([]byte, error)) SearchFile {
	return SearchFile{URL: url, LastModified: modified, content: read}
}

// SearchOne is the search of a URL without a glob: one read, whose NotFound is
// an empty result.
func SearchOne(ctx context.Context, r Reader, rawURL string, opts SearchOptions) (*SearchResult, error) {
	response, err := r.ReadURL(ctx, rawURL, opts.read())
	if errors.Is(err, apierr.NotFound) {
		return &SearchResult{}, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := response.Bytes()
	if err != nil {
		return nil, err
	}
	file := NewSearchFile(rawURL, response.LastModified, func(context.Context) ([]byte, error) { return content, nil })
	return &SearchResult{ETag: response.ETag, Files: []SearchFile{file}}, nil
}

// limitBody fails when more than limit bytes are read: a file that is cut off
// silently would be parsed as if it were whole.
func limitBody(body io.ReadCloser, limit int64, name string) io.ReadCloser {
	return &limitedBody{body: body, left: limit, limit: limit, name: name}
}

type limitedBody struct {
	body        io.ReadCloser
	left, limit int64
	name        string
}

func (l *limitedBody) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, tooLarge(l.name, l.limit)
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.body.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return n - 1, tooLarge(l.name, l.limit)
	}
	return n, err
}

func (l *limitedBody) Close() error { return l.body.Close() }

func tooLarge(name string, limit int64) error {
	return apierr.Input.New("%s is larger than the limit of %d bytes", name, limit)
}

// onClose runs after once, when the body is closed.
type onClose struct {
	io.ReadCloser
	after func()
}

func (c *onClose) Close() error {
	err := c.ReadCloser.Close()
	if c.after != nil {
		c.after()
		c.after = nil
	}
	return err
}
