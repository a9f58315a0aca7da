package rootserver

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// compressThreshold is the size from which answers of known length are compressed.
// Below it, the header would cost more than is gained.
const compressThreshold = 1024

// compressor compresses answers with gzip.
type compressor struct{ writers sync.Pool }

func newCompressor() *compressor {
	return &compressor{writers: sync.Pool{New: func() any {
		// Level 5 is about as small as zlib's default and twice as fast.
		w, _ := gzip.NewWriterLevel(nil, 5) // errs only for levels that do not exist
		return w
	}}}
}

// compressible reports whether a body of that media type gets smaller by compression.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	if strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") || strings.HasSuffix(t, "+text") {
		return true
	}
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson",
		"application/x-javascript", "application/ecmascript", "application/yaml", "application/x-yaml", "application/rtf",
		"application/x-sh", "application/x-tar", "application/x-www-form-urlencoded", "application/vnd.ms-fontobject",
		"application/graphql", "application/toml", "image/x-icon", "image/vnd.microsoft.icon", "image/bmp",
		"font/ttf", "font/otf", "application/x-font-ttf", "application/x-httpd-php":
		return true
	}
	return false
}

// acceptsGzip reads Accept-Encoding.
func acceptsGzip(r *http.Request) bool {
	accepted := false
	for _, line := range r.Header["Accept-Encoding"] {
		for el := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(el, ";")
			name = strings.TrimSpace(name)
			if !strings.EqualFold(name, "gzip") && name != "*" {
				continue
			}
			ok := true
			if q, has := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); has {
				v, err := strconv.ParseFloat(q, 64)
				ok = err == nil && v > 0
			}
			if strings.EqualFold(name, "gzip") {
				return ok
			}
			accepted = ok
		}
	}
	return accepted
}

// answer is the writer at the bottom of the chain: it compresses what is worth it,
// and counts for the access log.
type answer struct {
	http.ResponseWriter
	r          *http.Request
	compressor *compressor
	status     int
	written    int64 // bytes of the body before compression
	gz         *gzip.Writer
	hijacked   bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	if a.status == 0 {
		a.status = status
		a.decide()
	}
	a.ResponseWriter.WriteHeader(status)
}

// decide says in Vary that the answer depends on Accept-Encoding if its type can be
// compressed, and compresses if the client wants it and it pays. Event streams are
// left alone, because a proxy that unpacks them may hold events back.
func (a *answer) decide() {
	h := a.ResponseWriter.Header()
	ct := h.Get("Content-Type")
	if !compressible(ct) || noTransform(h) {
		return
	}
	addVary(h, "Accept-Encoding")
	if h.Get("Content-Encoding") != "" || a.r.Method == http.MethodHead || strings.HasPrefix(ct, "text/event-stream") ||
		a.status == http.StatusNoContent || a.status == http.StatusNotModified || a.status == http.StatusPartialContent {
		return
	}
	if n, err := strconv.Atoi(h.Get("Content-Length")); err == nil && n < compressThreshold {
		return
	}
	if !acceptsGzip(a.r) {
		return
	}
	h.Set("Content-Encoding", "gzip")
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	a.gz = a.compressor.writers.Get().(*gzip.Writer)
	a.gz.Reset(a.ResponseWriter)
}

func noTransform(h http.Header) bool {
	for el := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		if strings.EqualFold(strings.TrimSpace(el), "no-transform") {
			return true
		}
	}
	return false
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.written += int64(len(b))
	if a.gz != nil {
		return a.gz.Write(b)
	}
	return a.ResponseWriter.Write(b)
}

// ReadFrom lets files be sent without copying, where nothing compresses them.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	to, ok := a.ResponseWriter.(io.ReaderFrom)
	if a.gz != nil || !ok {
		return io.Copy(struct{ io.Writer }{a}, src)
	}
	n, err := to.ReadFrom(src)
	a.written += n
	return n, err
}

// Flush sends what was written so far.
func (a *answer) Flush() { a.FlushError() }

// FlushError is what http.ResponseController calls.
func (a *answer) FlushError() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	// An empty gzip flush would send a block of nothing; headers go out all the same.
	if a.gz != nil && a.written > 0 {
		if err := a.gz.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Hijack hands the connection to a WebSocket.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.hijacked = true
		if a.status == 0 {
			a.status = http.StatusSwitchingProtocols
		}
	}
	return conn, rw, err
}

// finish ends the compressed stream. After an aborted handler it must not be called:
// a well-formed end would make half an answer look whole.
func (a *answer) finish() {
	if a.gz == nil {
		return
	}
	a.gz.Close()
	a.release()
}

func (a *answer) release() {
	if a.gz != nil {
		a.gz.Reset(nil)
		a.compressor.writers.Put(a.gz)
		a.gz = nil
	}
}
