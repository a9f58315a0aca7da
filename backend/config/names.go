package config

import (
	"strings"
	"unicode"
)

// secretPath reports whether the value at p is a secret by its name: the last word
// of a key on the way says so (clientSecret, token, X-Api-Key, privateKey), or it
// lies in an object that is secret as a whole (credentials, contract/backend.md
// section 4). It errs on the side of hiding.
func secretPath(p path) bool {
	if credentialsMode(p) {
		return false
	}
	for i, s := range p {
		if s.list {
			continue
		}
		last := i == len(p)-1 || p[i+1].list && i+1 == len(p)-1
		switch word := lastWord(s.key); word {
		case "secret", "token", "password", "key", "connection", "passphrase", "authorization", "cookie":
			if last {
				return true
			}
		case "secrets", "tokens", "passwords", "credentials", "credential":
			return true
		}
	}
	return false
}

// credentialsMode reports whether p is the key of a proxy endpoint that says who may call it. Its
// value is one of three words, which would be struck out of every log if they were secrets.
func credentialsMode(p path) bool {
	if len(p) < 3 || p[0].key != "proxy" || p[len(p)-1].key != "credentials" {
		return false
	}
	return len(p) == 4 && p[1].key == "endpoints" || len(p) == 3 && strings.HasPrefix(p[1].key, "/")
}

// hidden reports whether errors must keep quiet about the value at p. It is wider
// than secretPath: below a connection, a key or a token nothing is shown, although
// the host of a connection need not be struck out of logs.
func hidden(p path, n *node) bool {
	if n != nil && n.external || secretPath(p) {
		return true
	}
	if len(p) > 0 && p[len(p)-1].key == "type" {
		return false // which kind of secret it is, is none
	}
	for i := range p {
		if !p[i].list && secretPath(p[:i+1]) {
			return true
		}
	}
	return false
}

// IsSecretName reports whether the last word of a key says that its value is a
// secret: clientSecret, token, X-Api-Key. A struct declares such a key as [Secret].
func IsSecretName(key string) bool { return secretPath(path{{key: key}}) }

// lastWord returns the last word of a camelCase, kebab-case or snake_case name in
// lower case. A name in capitals is one word per separator: API_KEY ends in key.
func lastWord(name string) string {
	runes := []rune(name)
	start := 0
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			start = i + 1
		case unicode.IsUpper(r) && i > 0 && unicode.IsLower(runes[i-1]):
			start = i
		}
	}
	return strings.ToLower(string(runes[start:]))
}
