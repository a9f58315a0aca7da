package events

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever is posted, what is read of it is JSON in UTF-8, or nothing.
func FuzzRead(f *testing.F) {
	for _, seed := range [][2]string{
		{"application/json", `{"a":1}`},
		{"application/json; charset=utf-16", "\xff\xfe{\x00}\x00"},
		{"application/json; charset=iso-8859-1", "\"\xfc\""},
		{"application/json; charset=shift_jis", "\"\x82\xa0\""},
		{"application/json; charset=x-user-defined", "\"\xff\""},
		{"application/json; charset=replacement", "{}"},
		{"application/json; charset=\"", "{}"},
		{"application/json", "\"\xff\""},
		{"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest("POST", "/http/t", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		req, err := read(httptest.NewRecorder(), r, "t")
		if err != nil {
			return
		}
		if !json.Valid(req.Body) || !utf8.Valid(req.Body) || string(req.Raw) != body {
			t.Errorf("%q of %q is read as %q", body, kind, req.Body)
		}
	})
}
