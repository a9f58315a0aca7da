package httpx

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"
	"sync"
)

// streamBuffer is how much of a streamed answer is held back before it begins: an
// error that comes early is answered as an error.
const streamBuffer = 32 << 10

// streamChunk is how much is sent at once after that: a chunk costs two system calls.
const streamChunk = 128 << 10

// streamBuffers are used again, because lists come in numbers and are long.
var streamBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ArrayWriter streams a JSON array of any length in little memory. A streamed answer
// has neither ETag nor Content-Length. Nothing is sent before the first 32 KB are
// full or Close is called, so a handler that returns an error before that still
// answers with a proper error body; after that, returning the error cuts the
// connection, and the client sees a broken answer instead of a short one.
//
// An ArrayWriter belongs to one goroutine.
type ArrayWriter struct {
	w       http.ResponseWriter
	status  int
	after   string
	buf     *bytes.Buffer // nil after Close
	count   int
	started bool
}

// NewArrayWriter returns a writer of an answer with that status.
func NewArrayWriter(w http.ResponseWriter, status int) *ArrayWriter {
	a := &ArrayWriter{w: w, status: status, buf: streamBuffers.Get().(*bytes.Buffer)}
	a.buf.Reset()
	a.buf.WriteByte('[')
	return a
}

// Within puts the array into an object: before is the text up to the array, such as
// `{"items":`, and after is what follows it. It is called before the first element.
func (a *ArrayWriter) Within(before, after string) *ArrayWriter {
	a.buf.Reset()
	a.buf.WriteString(before + "[")
	a.after = after
	return a
}

// Item adds v. A json.RawMessage is written as it is and must be valid JSON.
func (a *ArrayWriter) Item(v any) error {
	mark := a.buf.Len()
	if a.count > 0 {
		a.buf.WriteByte(',')
	}
	if raw, ok := v.(json.RawMessage); ok {
		a.buf.Write(raw)
	} else if err := encodeJSON(a.buf, v); err != nil {
		a.buf.Truncate(mark)
		return err
	}
	a.count++
	if n := a.buf.Len(); n >= streamChunk || n >= streamBuffer && !a.started {
		return a.flush()
	}
	return nil
}

// Close ends the array. Without it the answer is incomplete.
func (a *ArrayWriter) Close() error {
	a.buf.WriteByte(']')
	a.buf.WriteString(a.after)
	err := a.flush()
	if a.buf.Cap() <= 4*streamChunk {
		streamBuffers.Put(a.buf)
	}
	a.buf = nil
	return err
}

// flush sends what is buffered. Its error means that the client is gone; a producer
// should stop then.
func (a *ArrayWriter) flush() error {
	first := !a.started
	if first {
		a.started = true
		h := a.w.Header()
		h.Del("Etag")
		h.Del("Content-Length")
		if _, ok := h["Content-Type"]; !ok {
			h["Content-Type"] = []string{jsonType}
		}
		a.w.WriteHeader(a.status)
	}
	_, err := a.w.Write(a.buf.Bytes())
	if err == nil && first && a.buf.Len() < streamBuffer {
		// Without a flush the server would add a Content-Length to a short answer. After
		// the write it costs no packet of its own.
		_ = http.NewResponseController(a.w).Flush()
	}
	a.buf.Reset()
	return err
}

// JSONArray streams the values of seq as a JSON array, see ArrayWriter. It stops at
// the first error and returns it.
func JSONArray[T any](w http.ResponseWriter, status int, seq iter.Seq2[T, error]) error {
	a := NewArrayWriter(w, status)
	for v, err := range seq {
		if err != nil {
			return err
		}
		if err := a.Item(v); err != nil {
			return err
		}
	}
	return a.Close()
}
