package httpx_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

type body struct {
	EntityRef string   `json:"entityRef"`
	Limit     int      `json:"limit"`
	Deep      bool     `json:"deep"`
	Tags      []string `json:"tags"`
	Sub       struct {
		N float64 `json:"n"`
	} `json:"sub"`
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	const jsonType = "application/json"
	for _, tt := range []struct {
		name, contentType, body string
		opts                    []httpx.DecodeOption
		want                    string // the message; empty for success
	}{
		{"a body", jsonType, `{"entityRef":"a","limit":1}`, nil, ""},
		{"with charset", "application/json; charset=UTF-8", `{}`, nil, ""},
		{"a JSON dialect", "application/merge-patch+json", `{}`, nil, ""},
		{"unknown properties are ignored", jsonType, `{"more":1}`, nil, ""},
		{"unless the body is closed", jsonType, `{"more":1}`, []httpx.DecodeOption{httpx.Closed()}, `request/body must NOT have additional properties, found "more"`},
		{"no body", jsonType, ``, nil, "request/body is required"},
		{"no body where that is allowed", "", ``, []httpx.DecodeOption{httpx.OptionalBody()}, ""},
		{"another media type", "text/plain", `{}`, nil, `unsupported media type "text/plain", expected application/json`},
		{"no media type", "", `{}`, nil, `unsupported media type "", expected application/json`},
		{"another charset", "application/json; charset=latin1", `{}`, nil, `unsupported charset "latin1", expected utf-8`},
		{"a string for a number", jsonType, `{"limit":"1"}`, nil, "request/body/limit must be integer"},
		{"a fraction for an integer", jsonType, `{"limit":1.5}`, nil, "request/body/limit must be integer"},
		{"a number for a boolean", jsonType, `{"deep":1}`, nil, "request/body/deep must be boolean"},
		{"a number for a string", jsonType, `{"entityRef":1}`, nil, "request/body/entityRef must be string"},
		{"an object for a list", jsonType, `{"tags":{}}`, nil, "request/body/tags must be array"},
		{"a wrong type below", jsonType, `{"sub":{"n":"x"}}`, nil, "request/body/sub/n must be number"},
		{"a list for an object", jsonType, `[]`, nil, "request/body must be object"},
		{"malformed", jsonType, `{"a":`, nil, "malformed JSON in the request body: unexpected end of JSON input"},
		{"malformed", jsonType, `{a}`, nil, "malformed JSON in the request body: invalid character 'a' looking for beginning of object key string"},
		{"malformed, elsewhere", jsonType, `{a}`, []httpx.DecodeOption{httpx.SyntaxErrors()}, "invalid character 'a' looking for beginning of object key string"},
		{"more after the value", jsonType, `{} {}`, nil, "malformed JSON in the request body: unexpected data after the JSON value"},
		{"too large", jsonType, `"` + strings.Repeat("x", 100) + `"`, []httpx.DecodeOption{httpx.MaxBytes(50)}, "request/body must NOT be larger than 50 bytes"},
		{"exactly as large as allowed", jsonType, `{"entityRef":"` + strings.Repeat("x", 34) + `"}`, []httpx.DecodeOption{httpx.MaxBytes(50)}, ""},
		{"too deep", jsonType, strings.Repeat("[", 200) + strings.Repeat("]", 200), nil, "request/body must NOT nest deeper than 128 levels"},
		{"brackets in strings are not depth", jsonType, `{"entityRef":"` + strings.Repeat(`[\"{`, 200) + `"}`, nil, ""},
		{"more levels where they are allowed", jsonType, `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, []httpx.DecodeOption{httpx.MaxDepth(300)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "/", strings.NewReader(tt.body))
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			var b body
			err := httpx.DecodeJSON(r, &b, tt.opts...)
			if text(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && apierr.StatusOf(err) != http.StatusBadRequest {
				t.Errorf("got status %d", apierr.StatusOf(err))
			}
		})
	}
}

func TestSyntaxErrorsHaveTheMembersOfTheParser(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/x", strings.NewReader("{canary"))
	r.Header.Set("Content-Type", "application/json")
	w := serve(t, func(w http.ResponseWriter, r *http.Request) error {
		return httpx.DecodeJSON(r, &body{}, httpx.SyntaxErrors())
	}, r)
	want := `{"error":{"name":"SyntaxError","message":"invalid character 'c' looking for beginning of object key string","expose":true,"status":400,"statusCode":400,"type":"entity.parse.failed"},"request":{"method":"POST","url":"/x"},"response":{"statusCode":400}}`
	if w.Code != 400 || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestDecodeJSONOfOtherEncodingsAndLimits(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "br")
	if err := httpx.DecodeJSON(r, &body{}); !errors.Is(err, apierr.UnsupportedMediaType) {
		t.Errorf("an encoded body: %v", err)
	}
	r = httptest.NewRequest("POST", "/", strings.NewReader(`{"entityRef":"0123456789"}`))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	r.Body = http.MaxBytesReader(nil, r.Body, 10)
	if err := httpx.DecodeJSON(r, &body{}); text(err) != "request/body must NOT be larger than 10 bytes" {
		t.Errorf("a body above the server's limit: %v", err)
	}
	if got := text(httpx.Missing("items/0", "id")); got != "request/body/items/0 must have required property 'id'" {
		t.Errorf("got %q", got)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	read := func(q *httpx.QueryReader) string {
		page := q.Page(20, 100)
		s := fmt.Sprintln(q.Strings("filter"), q.CSV("fields"), q.Enum("order", "asc", "asc", "desc"), page.Limit, page.Offset, q.Bool("dry", false), q.String("after", "-"))
		if err := q.Err(); err != nil {
			if !errors.Is(err, apierr.Input) {
				return "wrong kind"
			}
			return err.Error()
		}
		return strings.TrimSpace(s)
	}
	for _, tt := range []struct{ query, want string }{
		{"", "[] [] asc 20 0 false -"},
		{"filter=a=b,c&filter=d", "[a=b,c d] [] asc 20 0 false -"},
		{"filter=kind%3Duser+x;y", "[kind=user x;y] [] asc 20 0 false -"},
		{"fields=kind,metadata.name&fields=spec%2Crelations", "[] [kind metadata.name spec relations] asc 20 0 false -"},
		{"order=desc&limit=5&offset=7&dry=true&after=x", "[] [] desc 5 7 true x"},
		{"limit=1000", "[] [] asc 100 0 false -"},
		{"&&limit=0&", "[] [] asc 0 0 false -"},
		{"filter=100%", "[100%] [] asc 20 0 false -"},
		{"filter=", "Empty value found for query parameter 'filter'"},
		{"after", "Empty value found for query parameter 'after'"},
		{"limit=", "Empty value found for query parameter 'limit'"},
		{"limit=x", "request/query/limit must be integer"},
		{"limit=1.5", "request/query/limit must be integer"},
		{"limit=-1", "request/query/limit must be >= 0"},
		{"limit=1&limit=2", "request/query/limit must be integer"},
		{"offset=99999999999999999999", "request/query/offset must be integer"},
		{"order=up", "request/query/order must be equal to one of the allowed values: asc, desc"},
		{"dry=1", "request/query/dry must be boolean"},
		{"Filter=a", "Unknown query parameter 'Filter'"},
		{"__proto__=a", "Unknown query parameter '__proto__'"},
	} {
		if got := read(httpx.Query(httptest.NewRequest("GET", "/x?"+tt.query, nil))); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.query, got, tt.want)
		}
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	type cursor struct {
		Limit  int `json:"limit"`
		Offset int `json:"offset"`
	}
	s, err := httpx.EncodeCursor(cursor{2, 2})
	if err != nil || s != "eyJsaW1pdCI6Miwib2Zmc2V0IjoyfQ==" { // as recorded
		t.Fatalf("got %s, %v", s, err)
	}
	var c cursor
	if err := httpx.DecodeCursor(s, &c); err != nil || c != (cursor{2, 2}) {
		t.Errorf("got %v, %v", c, err)
	}
	for _, bad := range []string{"", "x", "!!!!", "bnVsbA", "eyJsaW1pdCI6IngifQ", "eyJ4IjoxfQ", s + s, strings.Repeat("W1tb", 100)} {
		if err := httpx.DecodeCursor(bad, &c); !errors.Is(err, apierr.Input) && bad != "bnVsbA" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNextLinkIsAsRecorded(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"limit=3&offset=2&order=asc:metadata.name&fields=metadata.name":                 `</entities?limit=3&order=asc%3Ametadata.name&fields=metadata.name&after=abc%3D%3D>; rel="next"`,
		"limit=2&filter=kind=user&order=asc:metadata.name&after=old&fields=a%20b,c'(*)": `</entities?limit=2&filter=kind%3Duser&order=asc%3Ametadata.name&fields=a%20b%2Cc'(*)&after=abc%3D%3D>; rel="next"`,
	} {
		w := httptest.NewRecorder()
		httpx.AddNextLink(w, httptest.NewRequest("GET", "/entities?"+query, nil), "after", "abc==", "offset")
		if got := w.Header().Get("Link"); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"entityRef":"a","tags":["x"]}`, `[[[[`, `{"a":"\ud800"}`, `"\`, `{"limit":1e400}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(s))
		r.Header.Set("Content-Type", "application/json")
		if err := httpx.DecodeJSON(r, &body{}, httpx.Closed()); err != nil && apierr.StatusOf(err) != 400 {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func FuzzQueryAndCursor(f *testing.F) {
	for _, s := range []string{"a=b&c", "%", "%zz=%", "limit=1", "eyJsaW1pdCI6Mn0="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = s
		q := httpx.Query(r)
		q.Page(1, 2)
		if err := q.Err(); err != nil && !errors.Is(err, apierr.Input) {
			t.Error(err)
		}
		var c map[string]any
		if err := httpx.DecodeCursor(s, &c); err != nil && !errors.Is(err, apierr.Input) {
			t.Error(err)
		}
	})
}
