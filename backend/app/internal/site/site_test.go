package site

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

var life = []string{"public"}

// script is text that gets smaller by compression.
func script(n int) []byte {
	words := []string{"function ", "return ", "const ", "export ", "(a,b)=>", "{}", ";", "\n"}
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.Bytes()[:n]
}

func pack(e int, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser = brotli.NewWriterLevel(&b, 1)
	if e == gzipEncoding {
		w = gzip.NewWriter(&b)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func unpack(t *testing.T, encoding string, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	switch encoding {
	case "br":
		r = brotli.NewReader(r)
	case "gzip":
		var err error
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, fsys fs.FS, memory int64) *Site {
	t.Helper()
	s, err := Open(fsys, NewBudget(memory))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, f *File, method string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "/x", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	if err := f.Serve(w, r, life); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestEncodings holds that each client gets the encoding that it likes best, whole and in
// parts, and that the tags of the encodings differ.
func TestEncodings(t *testing.T) {
	t.Parallel()
	data := script(100_000)
	s := open(t, fstest.MapFS{"static/a.js": {Data: data, ModTime: time.Unix(1e9, 0)}}, DefaultMemory)
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := s.File("static/a.js")
	tags := map[string]string{}
	for _, tt := range []struct{ accept, want string }{
		{"", ""}, {"br, gzip", "br"}, {"gzip, deflate, br, zstd", "br"}, {"gzip", "gzip"}, {"GZIP", "gzip"}, {"*", "br"},
		{"br;q=0, *", "gzip"}, {"br;q=0.5, gzip;q=0.8", "gzip"}, {"br; q=0.9 , gzip;q=0.8", "br"}, {"identity, gzip;q=0.5", ""},
		{"deflate", ""}, {"br;q=0, gzip;q=0", ""}, {"gzip;q=x", ""}, {"gzip;q=2", ""}, {"br;q=0.001", "br"},
	} {
		w := ask(t, f, "GET", "Accept-Encoding", tt.accept)
		h := w.Header()
		if got := h.Get("Content-Encoding"); got != tt.want || w.Code != 200 || !bytes.Equal(unpack(t, got, w.Body.Bytes()), data) {
			t.Errorf("Accept-Encoding %q: %d, encoding %q, want %q", tt.accept, w.Code, got, tt.want)
		}
		if h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Type") != scriptType || h.Get("Cache-Control") != "public" {
			t.Errorf("Accept-Encoding %q: headers %v", tt.accept, h)
		}
		tags[tt.want] = h.Get("Etag")
		whole := w.Body.Bytes()

		head := ask(t, f, "HEAD", "Accept-Encoding", tt.accept)
		if head.Body.Len() > 0 || head.Header().Get("Content-Length") != h.Get("Content-Length") || head.Header().Get("Etag") != h.Get("Etag") {
			t.Errorf("Accept-Encoding %q: HEAD has %v, GET had %v", tt.accept, head.Header(), h)
		}
		if got := ask(t, f, "GET", "Accept-Encoding", tt.accept, "If-None-Match", h.Get("Etag")); got.Code != 304 || got.Body.Len() > 0 ||
			got.Header().Get("Etag") != h.Get("Etag") || got.Header().Get("Vary") != "Accept-Encoding" || got.Header().Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: with its tag %d, %v", tt.accept, got.Code, got.Header())
		}
		part := ask(t, f, "GET", "Accept-Encoding", tt.accept, "Range", "bytes=100-199", "If-Range", h.Get("Etag"))
		if part.Code != 206 || !bytes.Equal(part.Body.Bytes(), whole[100:200]) || part.Header().Get("Content-Encoding") != tt.want {
			t.Errorf("Accept-Encoding %q: a part is %d, %v", tt.accept, part.Code, part.Header())
		}
		if other := ask(t, f, "GET", "Accept-Encoding", tt.accept, "Range", "bytes=100-199", "If-Range", `"other"`); other.Code != 200 || !bytes.Equal(other.Body.Bytes(), whole) {
			t.Errorf("Accept-Encoding %q: a part of another variant is %d with %d bytes", tt.accept, other.Code, other.Body.Len())
		}
	}
	if tags[""] == tags["gzip"] || tags["gzip"] == tags["br"] || tags["br"] == tags[""] || strings.HasPrefix(tags[""], "W/") {
		t.Errorf("the tags are %v", tags)
	}
	for _, tt := range []struct {
		header []string
		want   int
	}{
		{[]string{"If-Modified-Since", time.Unix(1e9, 0).UTC().Format(http.TimeFormat)}, 304},
		{[]string{"If-Modified-Since", time.Unix(1e8, 0).UTC().Format(http.TimeFormat)}, 200},
		{[]string{"If-Modified-Since", time.Unix(1e9, 0).UTC().Format(http.TimeFormat), "If-None-Match", `"other"`}, 200},
		{[]string{"If-Match", `"other"`}, 412},
		{[]string{"Range", "bytes=999999-"}, 416},
		{[]string{"Range", "bytes=0-0,5-6"}, 206},
		{[]string{"If-None-Match", "*"}, 304},
	} {
		if got := ask(t, f, "GET", tt.header...); got.Code != tt.want {
			t.Errorf("%v: %d, want %d", tt.header, got.Code, tt.want)
		}
	}
}

// TestBeforePreparation holds that a file is served before its variants are there: gzip is
// made while the first request waits, and what is too large for that has a weak tag,
// because the host compresses it on the way.
func TestBeforePreparation(t *testing.T) {
	t.Parallel()
	s := open(t, fstest.MapFS{"a.js": {Data: script(50_000)}, "large.js": {Data: script(maxInline + 1)}, "small.js": {Data: []byte("1")}, "a.png": {Data: script(5000)}}, DefaultMemory)
	for _, tt := range []struct {
		name, encoding string
		weak, vary     bool
	}{
		{"a.js", "gzip", false, true}, {"large.js", "", true, true}, {"small.js", "", false, false}, {"a.png", "", false, false},
	} {
		h := ask(t, s.File(tt.name), "GET", "Accept-Encoding", "br, gzip").Header()
		if h.Get("Content-Encoding") != tt.encoding || strings.HasPrefix(h.Get("Etag"), "W/") != tt.weak || (h.Get("Vary") != "") != tt.vary {
			t.Errorf("%s: %v", tt.name, h)
		}
	}
}

// TestMemoryIsBounded holds that variants stop when their memory is used up.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for _, name := range []string{"a.js", "b.js", "c.js", "d.js"} {
		files[name] = &fstest.MapFile{Data: script(40_000)}
	}
	all := open(t, files, DefaultMemory)
	if err := all.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	bound := all.Memory() / 2
	s := open(t, files, bound)
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Memory(); got > bound || got == 0 {
		t.Errorf("variants take %d bytes of %d", got, bound)
	}
	if h := ask(t, s.File("d.js"), "GET", "Accept-Encoding", "br, gzip").Header(); h.Get("Content-Encoding") != "" || !strings.HasPrefix(h.Get("Etag"), "W/") {
		t.Errorf("a file without room for a variant: %v", h)
	}
}

// TestVariantsOfTheBundle holds that those are used that are what they say.
func TestVariantsOfTheBundle(t *testing.T) {
	t.Parallel()
	data := script(20_000)
	files := fstest.MapFS{
		"a.js": {Data: data}, "a.js.br": {Data: pack(brotliEncoding, data)}, "a.js.gz": {Data: pack(gzipEncoding, data)},
		"b.js": {Data: data}, "b.js.br": {Data: pack(brotliEncoding, script(20_001))}, "b.js.gz": {Data: []byte("not gzip")},
	}
	s := open(t, files, DefaultMemory)
	for _, e := range []int{brotliEncoding, gzipEncoding} {
		w := ask(t, s.File("a.js"), "GET", "Accept-Encoding", encodings[e].name)
		if !bytes.Equal(w.Body.Bytes(), files["a.js"+encodings[e].suffix].Data) || w.Header().Get("Content-Encoding") != encodings[e].name {
			t.Errorf("%s of the bundle is not served: %v", encodings[e].name, w.Header())
		}
	}
	err := s.Prepare(t.Context())
	if err == nil || !strings.Contains(err.Error(), "b.js.br is not the br form of b.js") || !strings.Contains(err.Error(), "b.js.gz") {
		t.Errorf("error %v", err)
	}
	w := ask(t, s.File("b.js"), "GET", "Accept-Encoding", "br")
	if w.Header().Get("Content-Encoding") != "br" || !bytes.Equal(unpack(t, "br", w.Body.Bytes()), data) {
		t.Errorf("b.js: %v", w.Header())
	}
	// Without room in memory they are read when they are asked for.
	none := open(t, files, 10)
	w = ask(t, none.File("a.js"), "GET", "Accept-Encoding", "br")
	if !bytes.Equal(w.Body.Bytes(), files["a.js.br"].Data) || none.Memory() != 0 {
		t.Errorf("%v, %d bytes in memory", w.Header(), none.Memory())
	}
	if got := ask(t, none.File("a.js"), "GET", "Accept-Encoding", "br", "Range", "bytes=5-9"); got.Code != 206 || !bytes.Equal(got.Body.Bytes(), files["a.js.br"].Data[5:10]) {
		t.Errorf("a part: %d", got.Code)
	}
}

// TestLinksOutAreNoFiles holds that nothing outside of the bundle is read through it.
func TestLinksOutAreNoFiles(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"static", ".git"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"static/a.js": "a", ".env": "secret", ".git/config": "secret", "static/.hidden": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"static/in.js": "a.js", "static/out.js": filepath.Join(outside, "secret"), "static/up": "../../", "static/loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := open(t, root.FS(), DefaultMemory)
	if got := slices.Collect(s.Names("")); !slices.Equal(got, []string{"static/a.js", "static/in.js"}) {
		t.Errorf("files %v", got)
	}
	if got := s.Skipped(); !slices.Equal(got, []string{"static/loop", "static/out.js", "static/up"}) {
		t.Errorf("skipped %v", got)
	}
	if w := ask(t, s.File("static/in.js"), "GET"); w.Body.String() != "a" {
		t.Errorf("a link within the bundle is %q", w.Body)
	}
	// A file that becomes a link after the bundle was opened.
	if err := os.Remove(filepath.Join(dir, "static/a.js")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "static/a.js")); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := s.File("static/a.js").Serve(w, httptest.NewRequest("GET", "/", nil), life); err == nil || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("what lies outside is served: %v, %s", err, w.Body)
	}
}

func TestPreparationEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := open(t, fstest.MapFS{"a.js": {Data: script(5000)}}, DefaultMemory)
	if err := s.Prepare(ctx); err != nil || s.Memory() != 0 {
		t.Errorf("%v, %d bytes", err, s.Memory())
	}
}

// TestServingAllocatesNothing holds that a file in memory costs no allocation.
func TestServingAllocatesNothing(t *testing.T) {
	s := open(t, fstest.MapFS{"a.js": {Data: script(50_000)}}, DefaultMemory)
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := s.File("a.js")
	r := httptest.NewRequest("GET", "/x", nil)
	r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	w := &discard{h: http.Header{}}
	if n := testing.AllocsPerRun(100, func() {
		clear(w.h)
		if err := f.Serve(w, r, life); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations per request", n)
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkServe(b *testing.B) {
	s, err := Open(fstest.MapFS{"a.js": {Data: script(50_000)}}, NewBudget(DefaultMemory))
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, encoding := range []string{"br", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			b.ReportAllocs()
			f, w := s.File("a.js"), &discard{h: http.Header{}}
			r := httptest.NewRequest("GET", "/x", nil)
			r.Header.Set("Accept-Encoding", encoding)
			for b.Loop() {
				clear(w.h)
				if err := f.Serve(w, r, life); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzAcceptEncoding holds that no header makes a client get what it has refused.
func FuzzAcceptEncoding(f *testing.F) {
	f.Add("gzip, deflate, br;q=0.5, *;q=0")
	f.Add("identity;q=1, gzip;q=0.9999, br;q=")
	f.Fuzz(func(t *testing.T, line string) {
		for e, q := range tasteOf([]string{line}) {
			if q < 0 || q > 1000 {
				t.Errorf("%q: %d for %s", line, q, encodings[e].name)
			}
			if q > 0 && !strings.Contains(strings.ToLower(line), encodings[e].name) && !strings.Contains(line, "*") {
				t.Errorf("%q: %s was not asked for", line, encodings[e].name)
			}
		}
	})
}
