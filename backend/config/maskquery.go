package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// credentialQuery is a parameter of an address whose name says that it is a credential:
// token, private_token, client_secret, X-Amz-Signature. Words in front of the last are any.
var credentialQuery = regexp.MustCompile(`(?i)((?:[?&;]|\\u0026)(?:[a-z0-9]+[_.-])*(?:code|token|secret|password|passwd|pwd|signature|sig|apikey|api[_.-]?key)=)[^&;#\s"'\\<>]+`)

// MaskQuery returns text with *** for the values of parameters of addresses that are
// credentials: sign-in redirects carry a code, and some hosts take tokens in addresses.
func MaskQuery(text string) string {
	if !strings.ContainsRune(text, '?') {
		return text
	}
	return credentialQuery.ReplaceAllString(text, "${1}"+mask)
}

// credentialsOf returns what MaskQuery would mask in an address, as it is written and as
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
