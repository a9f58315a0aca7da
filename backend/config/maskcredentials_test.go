package config_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

func TestMaskCredentials(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/api/auth/frame?code=abc&state=x":                        "/api/auth/frame?code=***&state=x",
		"http://h/a.yaml?private_token=glpat-1&ref=main":          "http://h/a.yaml?private_token=***&ref=main",
		"http://h/a?x=1&X-Amz-Signature=abc#top":                  "http://h/a?x=1&X-Amz-Signature=***#top",
		"http://h/a?sig=a%2Bb&se=2026":                            "http://h/a?sig=***&se=2026",
		`{"url":"http://h/a?client_secret=s","n":1}`:              `{"url":"http://h/a?client_secret=***","n":1}`,
		`{"url":"http://h/a?x=1\u0026access_token=s"}`:            `{"url":"http://h/a?x=1\u0026access_token=***"}`,
		"could not read http://h/a?api_key=k; caused by: refused": "could not read http://h/a?api_key=***; caused by: refused",
		"/entities?filter=kind=component&fields=kind":             "/entities?filter=kind=component&fields=kind",
		"listen at http://u:s3cret@x:7007 please":                 "listen at http://u:***@x:7007 please",
		`"https://u:s3cret@[x" is not valid`:                      `"https://u:***@[x" is not valid`,
		"mailto: someone@example.com, see https://h:80/a@b":       "mailto: someone@example.com, see https://h:80/a@b",
		"/x?token=":                 "/x?token=",
		"/x?tokens=a&barcode=b":     "/x?tokens=a&barcode=b",
		"is the token=abc a token?": "is the token=abc a token?",
	} {
		if got := config.MaskCredentials(in); got != want {
			t.Errorf("MaskCredentials(%s)\n got %s\nwant %s", in, got, want)
		}
		var out bytes.Buffer
		if _, err := config.NewRedactor().Writer(&out).Write([]byte(in)); err != nil || out.String() != want {
			t.Errorf("a writer turns %s into %s, %v", in, out.String(), err)
		}
	}
}

// TestSecretsInAddresses holds that credentials of addresses in the configuration are
// struck out wherever they turn up, not only in an address.
func TestSecretsInAddresses(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("app-config.yaml", []byte(`catalog: {locations: [{target: "https://h/a?private_token=glpat%2D12345&x=1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Secrets(), []string{"glpat%2D12345", "glpat-12345"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
