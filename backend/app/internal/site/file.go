package site

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"

	"github.com/callboard-dev/callboard/backend/httpx"
)

const (
	brotliEncoding = iota
	gzipEncoding
)

// encodings are in the order of preference.
var encodings = [...]struct {
	name, suffix string
	header       []string
}{
	brotliEncoding: {"br", ".br", []string{"br"}},
	gzipEncoding:   {"gzip", ".gz", []string{"gzip"}},
}

const (
	// minCompressed is from which size files are compressed, as the host does it.
	minCompressed = 1024
	// maxInline is up to which size a file is compressed while a request waits for it: some
	// tens of milliseconds. Larger ones are left to Prepare, and to the host meanwhile.
	maxInline = 4 << 20
	// maxKept is up to which size a file is kept in memory as it is: to open it would cost
	// more than to send it. Larger ones are sent by the system, without copying.
	maxKept = 32 << 10
	// brotliQuality is about as small as the best, at a tenth of its time.
	brotliQuality = 9
)

// A File is a file of a bundle, or one that is in memory only. It is safe for concurrent use.
type File struct {
	name     string
	info     info
	size     int64
	modified time.Time
	body     []byte // nil: it is read when it is asked for
	weak     bool
	open     func() (fs.File, error)
	disk     [len(encodings)]*File // variants that the bundle has
	budget   *Budget

	lastModified []string
	identity     atomic.Pointer[variant]
	variants     [len(encodings)]atomic.Pointer[variant]
	making       [len(encodings)]sync.Mutex // held while a variant is made
	made         [len(encodings)]atomic.Bool
	refused      [len(encodings)]error // why the variant of the bundle is not used; set while making
}

// variant is a representation of a file.
type variant struct {
	body    []byte // nil: it is read when it is asked for
	etag    []string
	length  []string
	coding  []string // nil for the file as it is
	reads   func() (fs.File, error)
	weakTag []string // for when the host compresses on the way
}

// NewFile returns a file that is in memory only.
func NewFile(name string, body []byte, modified time.Time, budget *Budget) *File {
	f := &File{name: name, info: newInfo(name), size: int64(len(body)), modified: modified, body: body, budget: budget}
	f.setUp()
	return f
}

// NewPage returns a page that is in memory only, and changes with the configuration: its
// ETag is weak.
func NewPage(body []byte, budget *Budget) *File {
	f := &File{name: "index.html", info: newInfo("index.html"), size: int64(len(body)), body: body, weak: true, budget: budget}
	f.setUp()
	return f
}

func (f *File) setUp() {
	if f.size < minCompressed {
		f.info.compressible = f.info.compressible && (f.disk[0] != nil || f.disk[1] != nil)
	}
	if !f.modified.IsZero() && f.modified.Unix() > 0 {
		f.lastModified = []string{f.modified.UTC().Format(http.TimeFormat)}
	}
	if f.open == nil {
		f.open = func() (fs.File, error) { return nil, fs.ErrNotExist }
	}
}

// HTML reports whether the file is a page.
func (f *File) HTML() bool { return f.info.html }

// Size is the size of the file in bytes.
func (f *File) Size() int64 { return f.size }

// Content reads the file.
func (f *File) Content() ([]byte, error) {
	if f.body != nil {
		return f.body, nil
	}
	return readAll(f.open)
}

// Serve answers a GET or HEAD with the file, in the encoding that the client likes best
// of those that there are. An error comes before anything was written; it is fs.ErrNotExist
// if the file has gone since the bundle was opened.
func (f *File) Serve(w http.ResponseWriter, r *http.Request, cacheControl []string) error {
	v, onTheWay, err := f.choose(r)
	if err != nil {
		return err
	}
	var source io.ReadSeeker
	if v.body == nil && f.size > 0 {
		opened, err := v.reads()
		if err != nil {
			return err
		}
		defer opened.Close()
		if source, err = seeker(opened); err != nil {
			return err
		}
	}
	h := w.Header()
	h["Content-Type"] = f.info.contentType
	h["Cache-Control"] = cacheControl
	h["Etag"] = v.etag
	if f.weak || onTheWay {
		h["Etag"] = v.weakTag
	}
	if f.lastModified != nil {
		h["Last-Modified"] = f.lastModified
	}
	if f.info.compressible {
		vary(h)
	}
	if v.coding != nil {
		h["Content-Encoding"] = v.coding
	}
	if conditional(r.Header) {
		if source == nil {
			source = bytes.NewReader(v.body)
		}
		http.ServeContent(w, r, "", f.modified, source)
		return nil
	}
	if httpx.Fresh(r, h["Etag"][0]) {
		delete(h, "Content-Encoding")
		httpx.NotModified(w)
		return nil
	}
	if !f.weak && !onTheWay {
		h["Accept-Ranges"] = acceptRanges
	}
	h["Content-Length"] = v.length
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if source == nil {
		w.Write(v.body) // an error means that the client is gone
		return nil
	}
	// The length was promised: what a file has grown by since is not sent.
	io.Copy(w, io.LimitReader(source, f.lengthOf(v)))
	return nil
}

// ServeOnce is Serve for a file that is thrown away afterwards: it is served as it is, and
// compressed by the host on the way.
func (f *File) ServeOnce(w http.ResponseWriter, r *http.Request, cacheControl []string) error {
	for e := range encodings {
		f.made[e].Store(true)
	}
	return f.Serve(w, r, cacheControl)
}

var acceptRanges = []string{"bytes"}

func (f *File) lengthOf(v *variant) int64 {
	n, err := strconv.ParseInt(v.length[0], 10, 64)
	if err != nil {
		return f.size
	}
	return n
}

// conditional reports whether a request needs more than a comparison of If-None-Match.
func conditional(h http.Header) bool {
	if len(h["Range"]) > 0 || len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0 {
		return true
	}
	return len(h["If-Modified-Since"]) > 0 && len(h["If-None-Match"]) == 0
}

var varyEncoding = []string{"Accept-Encoding"}

// vary says that the answer depends on Accept-Encoding, beside what it depends on already.
func vary(h http.Header) {
	old := h["Vary"]
	if len(old) == 0 {
		h["Vary"] = varyEncoding
		return
	}
	if joined := strings.Join(old, ", "); !strings.Contains(strings.ToLower(joined), "accept-encoding") {
		h["Vary"] = []string{joined + ", Accept-Encoding"}
	}
}

func seeker(f fs.File) (io.ReadSeeker, error) {
	if s, ok := f.(io.ReadSeeker); ok {
		return s, nil
	}
	all, err := io.ReadAll(f)
	return bytes.NewReader(all), err
}

// choose returns the variant for a request, and whether the host is going to compress it
// on the way, because there is none yet, or no room for one.
func (f *File) choose(r *http.Request) (v *variant, onTheWay bool, err error) {
	if !f.info.compressible {
		v, err = f.plain()
		return v, false, err
	}
	t := tasteOf(r.Header["Accept-Encoding"])
	for range encodings {
		best := brotliEncoding
		if t[gzipEncoding] > t[brotliEncoding] {
			best = gzipEncoding
		}
		if t[best] == 0 {
			break
		}
		if v := f.variants[best].Load(); v != nil {
			return v, false, nil
		}
		if !f.made[best].Load() && (best == gzipEncoding && f.size <= maxInline || f.disk[best] != nil) {
			_ = f.make(best, false) // Prepare reports it
			if v := f.variants[best].Load(); v != nil {
				return v, false, nil
			}
		}
		t[best] = 0
	}
	v, err = f.plain()
	return v, tasteOf(r.Header["Accept-Encoding"])[gzipEncoding] > 0, err
}

// plain is the file as it is.
func (f *File) plain() (*variant, error) {
	if v := f.identity.Load(); v != nil {
		return v, nil
	}
	data, err := f.Content()
	if err != nil {
		return nil, err
	}
	v := newVariant(data, nil)
	if f.body == nil && (f.size > maxKept || !f.budget.take(len(data))) {
		v.body, v.reads = nil, f.open
	}
	if !f.identity.CompareAndSwap(nil, v) && v.reads == nil && f.body == nil {
		f.budget.take(-len(data)) // another request was faster
	}
	return v, nil
}

func newVariant(body []byte, coding []string) *variant {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return &variant{body: body, etag: []string{tag}, weakTag: []string{"W/" + tag}, length: []string{strconv.Itoa(len(body))}, coding: coding}
}

// Prepare makes the variants of the file, if it gets smaller by them.
func (f *File) Prepare(ctx context.Context) error {
	var errs []error
	for e := range encodings {
		if !f.info.compressible || ctx.Err() != nil {
			break
		}
		errs = append(errs, f.make(e, true))
	}
	return errors.Join(errs...)
}

// make makes a variant once; who comes meanwhile waits for it. Its error says why the variant of
// the bundle is not used. While a request waits, nothing is compressed with brotli.
func (f *File) make(e int, inBackground bool) error {
	f.making[e].Lock()
	defer f.making[e].Unlock()
	if f.made[e].Load() {
		return f.refused[e]
	}
	data, err := f.Content()
	if err != nil {
		return err
	}
	if disk := f.disk[e]; disk != nil && f.refused[e] == nil {
		v, err := f.fromDisk(e, disk, data)
		if err == nil {
			f.variants[e].Store(v)
			f.made[e].Store(true)
			return nil
		}
		f.refused[e] = err
	}
	if e == brotliEncoding && !inBackground {
		return f.refused[e]
	}
	err = f.compress(e, data)
	f.made[e].Store(true)
	return errors.Join(f.refused[e], err)
}

func (f *File) compress(e int, data []byte) error {
	if len(data) < minCompressed {
		return nil
	}
	var b bytes.Buffer
	var z io.WriteCloser = brotli.NewWriterLevel(&b, brotliQuality)
	if e == gzipEncoding {
		gz, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		z = gz
	}
	if _, err := z.Write(data); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if b.Len() >= len(data) || !f.budget.take(b.Len()) {
		return nil
	}
	f.variants[e].Store(newVariant(bytes.Clone(b.Bytes()), encodings[e].header))
	return nil
}

// fromDisk is the variant that the bundle has, if it is one of this file.
func (f *File) fromDisk(e int, disk *File, data []byte) (*variant, error) {
	packed, err := disk.Content()
	if err != nil {
		return nil, err
	}
	var z io.Reader = brotli.NewReader(bytes.NewReader(packed))
	if e == gzipEncoding {
		if z, err = gzip.NewReader(bytes.NewReader(packed)); err != nil {
			return nil, fmt.Errorf("%s: %w", disk.name, err)
		}
	}
	unpacked, err := io.ReadAll(io.LimitReader(z, int64(len(data))+1))
	if err != nil || !bytes.Equal(unpacked, data) {
		return nil, fmt.Errorf("%s is not the %s form of %s; it is not used", disk.name, encodings[e].name, f.name)
	}
	v := newVariant(packed, encodings[e].header)
	if !f.budget.take(len(packed)) {
		v.body, v.reads = nil, disk.open
	}
	return v, nil
}
