package oauthserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/callboard-dev/callboard/backend/scm"
)

// document is what a client says of itself (draft-ietf-oauth-client-id-metadata-document).
type document struct {
	ClientID                string   `json:"client_id"`
	ClientName              string   `json:"client_name"`
	RedirectURIs            []string `json:"redirect_uris"`
	ResponseTypes           []string `json:"response_types"`
	GrantTypes              []string `json:"grant_types"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`
	Scope                   string   `json:"scope,omitempty"`
}

const (
	documentTimeout = 10 * time.Second
	documentBytes   = 64 << 10
	// documentKept is for how long a document is not fetched again, and documentMissed for
	// how long one that could not be had is not.
	documentKept   = 5 * time.Minute
	documentMissed = 10 * time.Second
	// documentsKept bounds the memory, and documentsAtOnce the connections, that others can
	// have this backend use.
	documentsKept   = 1000
	documentsAtOnce = 8
)

// documents fetches what clients say of themselves. It is safe for concurrent use.
type documents struct {
	allowed []Pattern
	dev     bool // http://localhost is accepted
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger
	flight  singleflight.Group
	slots   chan struct{}

	mu   sync.Mutex
	kept map[string]keptDocument
}

type keptDocument struct {
	doc   *document
	err   error
	until time.Time
}

func newDocuments(allowed []Pattern, dev bool, resolver scm.Resolver, now func() time.Time, log *slog.Logger) *documents {
	d := &documents{allowed: allowed, dev: dev, now: now, log: log, slots: make(chan struct{}, documentsAtOnce), kept: map[string]keptDocument{}}
	d.client = &http.Client{
		Timeout: documentTimeout,
		Transport: &http.Transport{
			DialContext:            scm.GuardedDial(resolver, d.trusts),
			TLSHandshakeTimeout:    documentTimeout,
			ResponseHeaderTimeout:  documentTimeout,
			MaxResponseHeaderBytes: documentBytes,
			DisableKeepAlives:      true, // the next document may be of another host
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return d
}

// trusts reports whether a pattern names the host and the port itself: then it may have a
// private address.
func (d *documents) trusts(host string, port int) bool {
	for _, p := range d.allowed {
		if p.exact() && strings.Trim(p.host, "[]") == strings.ToLower(host) && portOf(p.scheme, p.port) == strconv.Itoa(port) {
			return true
		}
	}
	return false
}

// check reports what is wrong with the URL of a document.
func (d *documents) check(id string) (*url.URL, error) {
	u, err := parseURL(id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client_id %w", err)
	case u.Scheme != "https" && !(d.dev && u.Scheme == "http" && loopback(u)):
		return nil, errors.New("client_id is not an https URL")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("client_id has a query")
	case strings.Trim(u.Path, "/") == "":
		return nil, errors.New("client_id has no path")
	case !matchAny(d.allowed, u):
		return nil, errors.New("client_id is not one that this backend accepts")
	}
	return u, nil
}

// get returns the document at the URL of a client.
func (d *documents) get(ctx context.Context, id string) (*document, error) {
	if _, err := d.check(id); err != nil {
		return nil, err
	}
	now := d.now()
	d.mu.Lock()
	k, ok := d.kept[id]
	d.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.doc, k.err
	}
	asked := d.flight.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), documentTimeout)
		defer cancel()
		select {
		case d.slots <- struct{}{}:
			defer func() { <-d.slots }()
		case <-ctx.Done():
			return (*document)(nil), errors.New("too many documents are fetched at the moment")
		}
		doc, err := d.fetch(ctx, id)
		life := documentKept
		if err != nil {
			d.log.InfoContext(ctx, "the document of a client was not accepted", "client", id, "error", err)
			life = documentMissed
		}
		d.keep(id, keptDocument{doc, err, d.now().Add(life)})
		return doc, err
	})
	select {
	case r := <-asked:
		return r.Val.(*document), r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *documents) keep(id string, k keptDocument) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.kept) >= documentsKept {
		clear(d.kept)
	}
	d.kept[id] = k
}

// fetch reads a document. What it says goes to nobody but the log: an answer with the
// reason would tell others what is in this network.
func (d *documents) fetch(ctx context.Context, id string) (*document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
		return nil, fmt.Errorf("media type %q", res.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, documentBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > documentBytes {
		return nil, fmt.Errorf("more than %d bytes", documentBytes)
	}
	return readDocument(body, id)
}

// readDocument checks what a document says.
func readDocument(body []byte, id string) (*document, error) {
	var members map[string]json.RawMessage
	var doc document
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	for _, secret := range []string{"client_secret", "client_secret_expires_at"} {
		if _, ok := members[secret]; ok {
			return nil, fmt.Errorf("it has a %s, which everybody can read", secret)
		}
	}
	switch {
	case doc.ClientID != id:
		return nil, fmt.Errorf("its client_id is %q", doc.ClientID)
	case doc.TokenEndpointAuthMethod != "" && doc.TokenEndpointAuthMethod != "none":
		return nil, fmt.Errorf("its token_endpoint_auth_method is %q, not none", doc.TokenEndpointAuthMethod)
	case len(doc.RedirectURIs) == 0:
		return nil, errors.New("it has no redirect_uris")
	case len(doc.RedirectURIs) > 50:
		return nil, errors.New("it has more than 50 redirect_uris")
	case len(doc.ResponseTypes) > 0 && !slices.Contains(doc.ResponseTypes, "code"):
		return nil, errors.New("its response_types do not have code")
	}
	for _, uri := range doc.RedirectURIs {
		if _, err := parseRedirect(uri); err != nil {
			return nil, fmt.Errorf("its redirect URI %q %w", uri, err)
		}
	}
	return &doc, nil
}
