package config

import (
	"bytes"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// credentialQuery is a parameter of an address whose name says that it is a credential:
// token, private_token, client_secret, X-Amz-Signature. Words in front of the last are any.
var credentialQuery = regexp.MustCompile(`(?i)((?:[?&;]|\\u0026)(?:[a-z0-9]+[_.-])*(?:code|token|secret|password|passwd|pwd|signature|sig|apikey|api[_.-]?key)=)[^&;#\s"'\\<>]+`)

// addressPassword is the password of an address, which need not be a valid one.
var addressPassword = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s@:"']*:)[^@/?#\s"']+@`)

// MaskCredentials returns text with *** for passwords in addresses, and for the values of
// parameters of addresses that are credentials: sign-in redirects carry a code, and some
// hosts take tokens in addresses.
func MaskCredentials(text string) string {
	if strings.Contains(text, "://") && strings.Contains(text, "@") {
		text = addressPassword.ReplaceAllString(text, "${1}"+mask+"@")
	}
	if strings.Contains(text, "?") {
		text = credentialQuery.ReplaceAllString(text, "${1}"+mask)
	}
	return text
}

// hasCredentials reports whether MaskCredentials would find something.
func hasCredentials(text []byte) bool {
	return bytes.Contains(text, []byte("://")) && bytes.IndexByte(text, '@') >= 0 && addressPassword.Match(text) ||
		bytes.IndexByte(text, '?') >= 0 && credentialQuery.Match(text)
}

// credentialsOf returns what MaskCredentials would mask in an address, as it is written and as
// it is meant.
func credentialsOf(address string) []string {
	var out []string
	for _, m := range credentialQuery.FindAllString(address, -1) {
		_, written, _ := strings.Cut(m, "=")
		out = append(out, written)
		if meant, err := url.QueryUnescape(written); err == nil {
			out = append(out, meant)
		}
	}
	return slices.Compact(out)
}
