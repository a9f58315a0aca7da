package resolve

import (
	"regexp"
	"strings"
)

// Lower returns s with the letters A to Z in lower case. Letters beyond ASCII stay as they
// are: some of them, such as the sign of Kelvin, have a lower-case form that is ASCII, and
// their addresses would become those of somebody else.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Same reports whether two texts differ in the case of ASCII letters at most.
func Same(a, b string) bool { return Lower(a) == Lower(b) }

// Domain returns the part of an e-mail address behind the last @ in lower case; empty if
// there is none.
func Domain(email string) string {
	if i := strings.LastIndexByte(email, '@'); i > 0 {
		return Lower(email[i+1:])
	}
	return ""
}

// WithoutTag returns the address without the +tag of its local part, and whether it had one.
func WithoutTag(email string) (string, bool) {
	at := strings.LastIndexByte(email, '@')
	plus := strings.IndexByte(email, '+')
	if at < 0 || plus <= 0 || plus > at {
		return email, false
	}
	return email[:plus] + email[at:], true
}

// LocalPart returns the part before the first @.
func LocalPart(email string) string {
	local, _, _ := strings.Cut(email, "@")
	return local
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// IsName reports whether a text may become the name of an entity reference. Texts with a
// colon or a slash would become a reference to something else (contract/auth.md 6.3).
func IsName(s string) bool { return namePattern.MatchString(s) }

// addressPattern is for addresses that a reference may carry: no quotes, no slash and no
// colon, as none of them is in the addresses of people.
var addressPattern = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+=?^_{|}~-]+(\.[A-Za-z0-9!#$%&'*+=?^_{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

// IsAddress reports whether a text is an e-mail address that may become the name of a user
// who is not in the catalog: at most 254 characters, all of them ASCII.
func IsAddress(s string) bool { return len(s) <= 254 && addressPattern.MatchString(s) }
