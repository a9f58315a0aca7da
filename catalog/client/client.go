// Package client asks the catalog, wherever it runs: in the same process, in another
// one, or an upstream backend. It is for plugins and for programs; it speaks the HTTP
// API of contract catalog.md, 1.6, and knows nothing of how the catalog works.
//
// A plugin calls it with its backend.Clients, a program elsewhere with New:
//
//	hc, base, err := clients.Client(ctx, credentials, "catalog")
//	c := client.At(base, hc)
//	e, err := c.ByRef(ctx, entity.Ref{Kind: "component", Name: "petstore"})
//	if errors.Is(err, apierr.NotFound) { ... }
//
// Three things to know: a Client acts as whoever its token is for, entities that they
// may not see do not exist; errors of the catalog keep their kind (package apierr); and
// lists come as sequences that end with the first error.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Client asks one catalog on behalf of one caller. It is safe for concurrent use.
type Client struct {
	base, token func(context.Context) (string, error)
	http        *http.Client
}

// New returns a Client. baseURL is asked on every request where the catalog is, such as
// http://localhost:7007/api/catalog, and token for the caller's token; an empty one is
// not sent. Without an http.Client it is http.DefaultClient.
func New(baseURL, token func(context.Context) (string, error), hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	return &Client{base: baseURL, token: token, http: hc}
}

// At returns a Client of the catalog at baseURL, with an http.Client that authenticates
// itself, as the one of backend.Clients does.
func At(baseURL string, hc *http.Client) *Client {
	return New(func(context.Context) (string, error) { return baseURL, nil }, func(context.Context) (string, error) { return "", nil }, hc)
}

// maxAnswer bounds answers that are read as a whole.
const maxAnswer = 256 << 20

// send returns the answer to a request, if its status is want. The caller closes the
// body.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any, want int) (*http.Response, error) {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		defer resp.Body.Close()
		return nil, fmt.Errorf("catalog: %s %s: %w", method, path, apierr.FromResponse(resp))
	}
	return resp, nil
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	base, err := c.base(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the catalog: %w", err)
	}
	target := strings.TrimSuffix(base, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		var doc bytes.Buffer
		enc := json.NewEncoder(&doc)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(body); err != nil {
			return nil, fmt.Errorf("catalog: %s %s: %w", method, path, err)
		}
		content = &doc
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, fmt.Errorf("catalog: %s %s: %w", method, path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("get a token for the catalog: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return c.http.Do(req)
}

// call sends a request and decodes the answer into a value, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body any, want int, into any) error {
	resp, err := c.send(ctx, method, path, query, body, want)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("catalog: %s %s: the answer cannot be read: %w", method, path, err)
	}
	return nil
}

// segments is a path of escaped segments.
func segments(list ...string) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}
