package oauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// TestPagesAreNotToldAddresses holds that where the documents of an identity provider are is
// for the log: the address may be one inside of the network.
func TestPagesAreNotToldAddresses(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		kind   error
		says   string
	}{
		{500, "", apierr.ServiceUnavailable, "the identity provider is not available (500)"},
		{429, "", apierr.ServiceUnavailable, "the identity provider is not available (429)"},
		{403, "", apierr.Authentication, "the identity provider refused (403)"},
		{200, "no JSON", apierr.Authentication, "the identity provider's answer cannot be read"},
	} {
		idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		}))
		client := &oauth.Client{HTTP: oauth.HTTPClient(nil, 0)}
		err := client.Get(t.Context(), idp.URL+"/inner/userinfo", "token", &struct{}{})
		idp.Close()
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), "/inner/userinfo") {
			t.Errorf("%d: the log gets %v", tt.status, err)
		}
		page := string(apierr.Render(apierr.Authentication.Wrap(err, "Refresh failed"), false).Object)
		if !strings.Contains(page, tt.says) || strings.Contains(page, "127.0.0.1") || strings.Contains(page, "inner") {
			t.Errorf("%d: the page is told %s", tt.status, page)
		}
	}
}
