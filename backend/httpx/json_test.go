package httpx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// serve answers a request for / with h behind a Mux.
func serve(t testing.TB, h httpx.HandlerFunc, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	m := &httpx.Mux{Errors: httpx.ErrorWriter{Log: slog.New(slog.DiscardHandler)}}
	if err := m.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w
}

func TestWeakETag(t *testing.T) {
	t.Parallel()
	// The first one is recorded; the second is what an empty body has everywhere.
	for body, want := range map[string]string{
		`{"status":"ok"}`: `W/"f-VaSQ4oDUiZblZNAEkkN+sX+q3Sg"`,
		``:                `W/"0-2jmj7l5rSw0yVb/vlWAYkK/YBwk"`,
	} {
		if got := httpx.WeakETag([]byte(body)); got != want {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	const tag = `W/"f-VaSQ4oDUiZblZNAEkkN+sX+q3Sg"`
	for _, tt := range []struct {
		name, method string
		headers      map[string]string
		status       int // of the handler
		want         int
	}{
		{"the same tag", "GET", map[string]string{"If-None-Match": tag}, 200, 304},
		{"the same tag without W/", "GET", map[string]string{"If-None-Match": strings.TrimPrefix(tag, "W/")}, 200, 304},
		{"one of several", "GET", map[string]string{"If-None-Match": `"x", ` + tag}, 200, 304},
		{"any", "HEAD", map[string]string{"If-None-Match": "*"}, 200, 304},
		{"another tag", "GET", map[string]string{"If-None-Match": `W/"f-x"`}, 200, 200},
		{"a client that insists", "GET", map[string]string{"If-None-Match": tag, "Cache-Control": "no-cache"}, 200, 200},
		{"a write", "POST", map[string]string{"If-None-Match": tag}, 200, 200},
		{"an answer that is no success", "GET", map[string]string{"If-None-Match": tag}, 404, 404},
		{"no condition", "GET", nil, 200, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tt.method, "/", nil)
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			w := serve(t, func(w http.ResponseWriter, r *http.Request) error {
				return httpx.JSON(w, tt.status, map[string]string{"status": "ok"})
			}, r)
			if w.Code != tt.want || w.Header().Get("Etag") != tag {
				t.Errorf("got %d %v, want %d", w.Code, w.Header(), tt.want)
			}
			if hasBody := w.Body.Len() > 0; hasBody != (tt.want != 304) || (w.Header().Get("Content-Type") != "") != hasBody {
				t.Errorf("body %q, headers %v", w.Body, w.Header())
			}
		})
	}
}

func TestJSONIsNotEscapedForHTML(t *testing.T) {
	t.Parallel()
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error { return httpx.JSON(w, 201, "<a&b>") }, httptest.NewRequest("GET", "/", nil))
	if w.Code != 201 || w.Body.String() != `"<a&b>"` || w.Header().Get("Content-Length") != "7" || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("got %d %s %v", w.Code, w.Body, w.Header())
	}
}

func TestAValueWithoutJSONFormIsAnInternalError(t *testing.T) {
	t.Parallel()
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error { return httpx.JSON(w, 200, func() {}) }, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "logId=") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestAnErrorDropsWhatTheHandlerHadSaidAboutItsAnswer(t *testing.T) {
	t.Parallel()
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "image/png")
		w.Header().Set("Etag", "x")
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("X-Other", "stays")
		return apierr.NotFound.New("no logo")
	}, httptest.NewRequest("GET", "/logo?a=b", nil))
	h := w.Header()
	if h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("Etag") != httpx.WeakETag(w.Body.Bytes()) || h.Get("Cache-Control") != "" || h.Get("X-Other") != "stays" {
		t.Errorf("headers %v", h)
	}
	if want := `{"error":{"name":"NotFoundError","message":"no logo"},"request":{"method":"GET","url":"/logo?a=b"},"response":{"statusCode":404}}`; w.Body.String() != want {
		t.Errorf("got %s", w.Body)
	}
}

func TestStreamedArrays(t *testing.T) {
	t.Parallel()
	items := func(n int, fail error) iter.Seq2[any, error] {
		return func(yield func(any, error) bool) {
			for i := range n {
				var v any = map[string]int{"i": i}
				if i%2 == 1 {
					v = json.RawMessage(fmt.Sprintf(`{ "i": %d }`, i))
				}
				if !yield(v, nil) {
					return
				}
			}
			if fail != nil {
				yield(nil, fail)
			}
		}
	}
	stream := func(n int, fail error) *httptest.ResponseRecorder {
		return serve(t, func(w http.ResponseWriter, r *http.Request) error { return httpx.JSONArray(w, 200, items(n, fail)) }, httptest.NewRequest("GET", "/", nil))
	}
	for n, want := range map[int]string{0: `[]`, 1: `[{"i":0}]`, 3: `[{"i":0},{ "i": 1 },{"i":2}]`} {
		w := stream(n, nil)
		if w.Code != 200 || w.Body.String() != want || w.Header().Get("Etag") != "" || w.Header().Get("Content-Length") != "" || !w.Flushed {
			t.Errorf("%d items: %d %s %v", n, w.Code, w.Body, w.Header())
		}
	}
	big := stream(20_000, nil)
	var got []struct{ I int }
	if err := json.Unmarshal(big.Body.Bytes(), &got); err != nil || len(got) != 20_000 || got[19_999].I != 19_999 {
		t.Errorf("20000 items: %d of them, %v", len(got), err)
	}
	if w := stream(3, apierr.Conflict.New("changed")); w.Code != 409 || !strings.Contains(w.Body.String(), `"ConflictError"`) {
		t.Errorf("an early error: %d %s", w.Code, w.Body)
	}
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("a late error does not cut the connection")
			}
		}()
		stream(20_000, errors.New("late"))
	}()
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		a := httpx.NewArrayWriter(w, 200).Within(`{"items":`, `,"pageInfo":{}}`)
		if err := a.Item(1); err != nil {
			return err
		}
		return a.Close()
	}, httptest.NewRequest("GET", "/", nil))
	if w.Body.String() != `{"items":[1],"pageInfo":{}}` {
		t.Errorf("got %s", w.Body)
	}
}

// discard is a response writer that costs nothing itself.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func BenchmarkJSONBytes(b *testing.B) {
	body := []byte(`[` + strings.Repeat(`{"metadata":{"name":"x"}},`, 100) + `1]`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	w := &discard{h: http.Header{}}
	for b.Loop() {
		clear(w.h)
		httpx.JSONBytes(w, 200, body)
	}
}
