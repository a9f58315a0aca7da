package throttle

import (
	"bytes"
	"container/list"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// A Cache keeps answers that have an ETag. It is shared by all hosts; what one
// credential may see is never served to another, because entries belong to an
// identity. The identity outlives the token, so renewing one keeps the entries.
type Cache struct {
	maxBytes, maxEntry int

	mu      sync.Mutex
	bytes   int
	entries map[string]*list.Element
	recent  *list.List // most recent first
}

type cached struct {
	key    string
	etag   string
	header http.Header
	body   []byte
}

// NewCache returns a cache of at most maxBytes, with bodies of at most maxEntry.
func NewCache(maxBytes, maxEntry int) *Cache {
	return &Cache{maxBytes: maxBytes, maxEntry: maxEntry, entries: map[string]*list.Element{}, recent: list.New()}
}

// FromCache is a header of answers whose body the host did not send again.
const FromCache = "X-From-Cache"

// Transport asks conditionally for what the cache has. Requests that are
// conditional or partial themselves pass through.
func (c *Cache) Transport(identity string, base http.RoundTripper) http.RoundTripper {
	return &cacheTransport{cache: c, identity: identity, base: base}
}

type cacheTransport struct {
	cache    *Cache
	identity string
	base     http.RoundTripper
}

func (t *cacheTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet || req.Header.Get("If-None-Match") != "" ||
		req.Header.Get("If-Modified-Since") != "" || req.Header.Get("Range") != "" {
		return t.base.RoundTrip(req)
	}
	key := strings.Join([]string{t.identity, req.URL.String(), req.Header.Get("Accept")}, "\x00")
	known, ok := t.cache.get(key)
	if ok {
		req = req.Clone(req.Context())
		req.Header.Set("If-None-Match", known.etag)
	}
	response, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if ok && response.StatusCode == http.StatusNotModified {
		response.Body.Close()
		header := maps.Clone(known.header)
		maps.Copy(header, response.Header) // the rate limit's headers are the new ones
		header.Set(FromCache, "1")
		header.Set("Content-Type", known.header.Get("Content-Type"))
		header.Del("Content-Length")
		return &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK,
			Proto: response.Proto, ProtoMajor: response.ProtoMajor, ProtoMinor: response.ProtoMinor,
			Header: header, Body: io.NopCloser(bytes.NewReader(known.body)), ContentLength: int64(len(known.body)), Request: req,
		}, nil
	}
	etag := response.Header.Get("ETag")
	if response.StatusCode != http.StatusOK || etag == "" || response.ContentLength > int64(t.cache.maxEntry) ||
		strings.Contains(response.Header.Get("Cache-Control"), "no-store") {
		return response, nil
	}
	entry := cached{key: key, etag: etag, header: response.Header.Clone()}
	response.Body = &recorder{ReadCloser: response.Body, entry: entry, cache: t.cache}
	return response, nil
}

// A recorder stores a body once it was read to its end.
type recorder struct {
	io.ReadCloser
	entry cached
	cache *Cache
	over  bool
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if !r.over {
		if len(r.entry.body)+n > r.cache.maxEntry {
			r.over, r.entry.body = true, nil
		} else {
			r.entry.body = append(r.entry.body, p[:n]...)
		}
		if err == io.EOF && !r.over {
			r.over = true
			r.cache.put(r.entry)
		}
	}
	return n, err
}

func (c *Cache) get(key string) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return cached{}, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(cached), true
}

func (c *Cache) put(entry cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[entry.key]; ok {
		c.bytes -= size(old.Value.(cached))
		c.recent.Remove(old)
	}
	c.entries[entry.key] = c.recent.PushFront(entry)
	c.bytes += size(entry)
	for c.bytes > c.maxBytes && c.recent.Len() > 1 {
		last := c.recent.Back()
		gone := c.recent.Remove(last).(cached)
		delete(c.entries, gone.key)
		c.bytes -= size(gone)
	}
}

// size counts what an entry holds, with a flat charge for its headers.
func size(e cached) int { return len(e.key) + len(e.body) + 1024 }
