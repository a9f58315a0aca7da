package httpx

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	jsonType = "application/json; charset=utf-8"
	htmlType = "text/html; charset=utf-8"
	textType = "text/plain; charset=utf-8"
)

// buffers are reused between answers; large ones are dropped.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxPooledBuffer = 1 << 20

// JSON answers with v as JSON, with everything that JSONBytes adds. If v has no JSON
// form, nothing was written and the error says why.
func JSON(w http.ResponseWriter, status int, v any) error {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	defer func() {
		if buf.Cap() <= maxPooledBuffer {
			buffers.Put(buf)
		}
	}()
	if err := encodeJSON(buf, v); err != nil {
		return err
	}
	return JSONBytes(w, status, buf.Bytes())
}

// encodeJSON appends v to buf without HTML escaping and without a newline.
func encodeJSON(buf *bytes.Buffer, v any) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	buf.Truncate(buf.Len() - 1)
	return nil
}

// JSONBytes answers with a JSON text. See Bytes for the headers.
func JSONBytes(w http.ResponseWriter, status int, body []byte) error {
	return Bytes(w, status, jsonType, body)
}

// HTML answers with a page. See Bytes for the headers.
func HTML(w http.ResponseWriter, status int, page []byte) error {
	return Bytes(w, status, htmlType, page)
}

// Text answers with plain text. See Bytes for the headers.
func Text(w http.ResponseWriter, status int, text string) error {
	return Bytes(w, status, textType, []byte(text))
}

// Bytes answers with a body that is complete: it sets Content-Type, unless the
// handler has set one, Content-Length, and a weak ETag of the body's length and hash,
// in the form that clients of the API have cached. A GET or HEAD whose If-None-Match
// names that tag is answered with 304 and no body.
func Bytes(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	etag := h.Get("Etag")
	if etag == "" {
		etag = WeakETag(body)
		h["Etag"] = []string{etag}
	}
	if r := requestOf(w); r != nil && status >= 200 && status < 300 && Fresh(r, etag) {
		NotModified(w)
		return nil
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = []string{contentType}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body) // an error means that the client is gone, and there is nobody left to tell
	return nil
}

// NotModified answers 304: headers that describe a body are dropped, others stay.
func NotModified(w http.ResponseWriter) {
	h := w.Header()
	h.Del("Content-Type")
	h.Del("Content-Length")
	h.Del("Transfer-Encoding")
	w.WriteHeader(http.StatusNotModified)
}

// Empty answers with a status and no body. A 404 that is written like this says that
// there is no such route, where a JSON body would say that there is no such thing.
func Empty(w http.ResponseWriter, status int) error {
	w.WriteHeader(status)
	return nil
}

// WeakETag returns the entity tag of a body: W/"<length, hex>-<SHA-1, base64, 27 characters>".
// The hash finds changes; nothing relies on it being hard to forge.
func WeakETag(body []byte) string {
	sum := sha1.Sum(body)
	buf := make([]byte, 0, 52)
	buf = append(buf, `W/"`...)
	buf = strconv.AppendInt(buf, int64(len(body)), 16)
	buf = append(buf, '-')
	buf = base64.RawStdEncoding.AppendEncode(buf, sum[:])
	buf = append(buf, '"')
	return string(buf)
}

// Fresh reports whether the client of r already has the representation with this
// tag: r is a GET or HEAD whose If-None-Match names it, weakly compared, and the
// client does not insist on a new copy with Cache-Control: no-cache.
func Fresh(r *http.Request, etag string) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	none := r.Header["If-None-Match"]
	if len(none) == 0 || etag == "" {
		return false
	}
	for _, cc := range r.Header["Cache-Control"] {
		for d := range strings.SplitSeq(cc, ",") {
			if strings.EqualFold(strings.TrimSpace(d), "no-cache") {
				return false
			}
		}
	}
	want := strings.TrimPrefix(etag, "W/")
	for _, line := range none {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == want {
				return true
			}
		}
	}
	return false
}
