package auth_test

import (
	"strings"
	"testing"
)

// TestBaseURLs is the matrix of base URLs and trailing slashes against callback URLs and
// cookie paths, from the start to a refresh with the cookies that were set.
func TestBaseURLs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		base, app string
		callback  string
		flags     string
	}{
		{"http://portal.example", "http://portal.example", "http://portal.example/api/auth/idp/handler/frame", "HttpOnly; SameSite=Lax"},
		{"http://portal.example/", "http://portal.example/", "http://portal.example/api/auth/idp/handler/frame", "HttpOnly; SameSite=Lax"},
		{"http://portal.example:7007", "http://portal.example:3000", "http://portal.example:7007/api/auth/idp/handler/frame", "HttpOnly; SameSite=Lax"},
		{"https://portal.example", "https://portal.example", "https://portal.example/api/auth/idp/handler/frame", "HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.example/", "https://app.example/", "https://portal.example/api/auth/idp/handler/frame", "HttpOnly; Secure; SameSite=None"},
		{"https://portal.example/portal", "https://portal.example/portal", "https://portal.example/portal/api/auth/idp/handler/frame", "HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.example/portal/", "https://portal.example/portal/", "https://portal.example/portal/api/auth/idp/handler/frame", "HttpOnly; Secure; SameSite=Lax"},
	} {
		t.Run(tt.base, func(t *testing.T) {
			t.Parallel()
			yaml := strings.NewReplacer("http://app.example", tt.app, "http://portal.example", tt.base).Replace(production)
			p := open(t, yaml)
			b := p.browser()
			a := b.do("GET", "/idp/start?env=production&flow=popup", "")
			path := strings.TrimSuffix(tt.callback[strings.Index(tt.callback[8:], "/")+8:], "/handler/frame")
			for name, attributes := range a.cookies() {
				if !strings.Contains(attributes, "; Path="+path+"/handler; ") || !strings.HasSuffix(attributes, tt.flags) || strings.Contains(attributes, "//") {
					t.Errorf("%s: %s, want path %s/handler and %s", name, attributes, path, tt.flags)
				}
			}
			if got := a.cookies(); len(got) != 2 {
				t.Errorf("cookies %v", got)
			}
			to := a.header.Get("Location")
			if !strings.Contains(to, "redirect_uri="+strings.NewReplacer(":", "%3A", "/", "%2F").Replace(tt.callback)+"&") {
				t.Errorf("sent to %s, want the callback %s", to, tt.callback)
			}
		})
	}
}
