package auth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// TestBodiesOfTheCallback holds that the parameters of a callback may come as a form and as
// JSON (contract/auth.md section 1), and that the query comes first.
func TestBodiesOfTheCallback(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	for _, media := range []string{"application/x-www-form-urlencoded", "application/json", "application/json; charset=utf-8"} {
		b := p.browser()
		state := b.start("env=production").Get("state")
		body := url.Values{"code": {"alice"}, "state": {state}}.Encode()
		if strings.HasPrefix(media, "application/json") {
			text, err := json.Marshal(map[string]any{"code": "alice", "state": state, "expires_in": 3600})
			if err != nil {
				t.Fatal(err)
			}
			body = string(text)
		}
		a := b.do("POST", "/idp/handler/frame", body, "Content-Type", media)
		if a.status != 200 {
			t.Errorf("%s: %d %s", media, a.status, a.body)
			continue
		}
		if m := posted(t, a); m.Response == nil {
			t.Errorf("%s: posted %+v", media, m.Error)
		}
	}
	for _, body := range []string{`{"code":`, `[]`, `"code"`} {
		a := p.browser().do("POST", "/idp/handler/frame?env=production", body, "Content-Type", "application/json")
		if e := a.error(t); a.status != 400 || e.Error.Name != "InputError" {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}
