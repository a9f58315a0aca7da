package entity

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// A Format is a rule for one field of the envelope.
type Format struct {
	Valid  func(string) bool
	Expect string // what Valid wants, completing "expected ..."
}

// Formats are the replaceable field formats (contract catalog.md, 2.2). A field left
// zero keeps its default, so that a program writes only what it changes:
//
//	entity.Formats{Tag: entity.Format{Valid: anyText, Expect: "any text"}}
type Formats struct {
	APIVersion      Format
	Kind            Format
	Name            Format
	Namespace       Format
	LabelKey        Format
	LabelValue      Format
	AnnotationKey   Format
	AnnotationValue Format
	Tag             Format
}

const (
	nameForm   = "1 to 63 of letters, digits, - _ and ., with a letter or digit at both ends"
	prefixForm = ", optionally after a DNS subdomain and a slash"
)

// DefaultFormats are the rules of the contract.
func DefaultFormats() Formats {
	return Formats{
		APIVersion:      Format{ValidAPIVersion, "1 to 63 letters and digits" + prefixForm + ", such as backstage.io/v1alpha1"},
		Kind:            Format{ValidKind, "1 to 63 letters and digits, with a letter first"},
		Name:            Format{ValidName, nameForm},
		Namespace:       Format{ValidNamespace, "1 to 63 lower-case letters, digits and -, with a letter or digit at both ends"},
		LabelKey:        Format{ValidPrefixedKey, nameForm + prefixForm},
		LabelValue:      Format{ValidLabelValue, "an empty string, or " + nameForm},
		AnnotationKey:   Format{ValidPrefixedKey, nameForm + prefixForm},
		AnnotationValue: Format{func(string) bool { return true }, "a string"},
		Tag:             Format{ValidTag, "1 to 63 lower-case letters, digits and : + #, in groups with a single - between them"},
	}
}

func (f Formats) withDefaults() Formats {
	d := DefaultFormats()
	for _, p := range []struct{ own, def *Format }{
		{&f.APIVersion, &d.APIVersion}, {&f.Kind, &d.Kind}, {&f.Name, &d.Name}, {&f.Namespace, &d.Namespace},
		{&f.LabelKey, &d.LabelKey}, {&f.LabelValue, &d.LabelValue}, {&f.AnnotationKey, &d.AnnotationKey},
		{&f.AnnotationValue, &d.AnnotationValue}, {&f.Tag, &d.Tag},
	} {
		if p.own.Valid == nil {
			p.own.Valid = p.def.Valid
			if p.own.Expect == "" {
				p.own.Expect = p.def.Expect
			}
		}
		if p.own.Expect == "" {
			p.own.Expect = "a value the configured rule accepts"
		}
	}
	return f
}

// ValidAPIVersion is isValidApiVersion of the contract.
func ValidAPIVersion(s string) bool {
	if prefix, rest, ok := strings.Cut(s, "/"); ok {
		if !validSubdomain(prefix) {
			return false
		}
		s = rest
	}
	return within(s, 63) && all(s, isAlnum)
}

// ValidKind is isValidKind of the contract.
func ValidKind(s string) bool { return within(s, 63) && isLetter(s[0]) && all(s, isAlnum) }

// ValidName is isValidEntityName of the contract.
func ValidName(s string) bool {
	return within(s, 63) && isAlnum(s[0]) && isAlnum(s[len(s)-1]) &&
		all(s, func(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' })
}

// ValidNamespace is isValidNamespace of the contract: a DNS label.
func ValidNamespace(s string) bool {
	return within(s, 63) && s[0] != '-' && s[len(s)-1] != '-' &&
		all(s, func(c byte) bool { return isLowerAlnum(c) || c == '-' })
}

// ValidPrefixedKey is isValidLabelKey and isValidAnnotationKey of the contract.
func ValidPrefixedKey(s string) bool {
	if prefix, name, ok := strings.Cut(s, "/"); ok {
		return validSubdomain(prefix) && ValidName(name)
	}
	return ValidName(s)
}

// ValidLabelValue is isValidLabelValue of the contract.
func ValidLabelValue(s string) bool { return s == "" || ValidName(s) }

// ValidTag is isValidTag of the contract.
func ValidTag(s string) bool {
	return within(s, 63) && s[0] != '-' && s[len(s)-1] != '-' && !strings.Contains(s, "--") &&
		all(s, func(c byte) bool { return isLowerAlnum(c) || c == '-' || c == ':' || c == '+' || c == '#' })
}

func validSubdomain(s string) bool {
	if !within(s, 253) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !ValidNamespace(label) {
			return false
		}
	}
	return true
}

// validURL says whether s is an absolute URL in the sense of browsers, which are
// more lenient about the path than net/url and stricter about the host.
func validURL(s string) bool {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || !isLetter(scheme[0]) ||
		!all(scheme, func(c byte) bool { return isAlnum(c) || c == '+' || c == '-' || c == '.' }) {
		return false
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ws", "wss", "ftp":
		rest = strings.TrimLeft(rest, `/\`)
	default:
		return rest != ""
	}
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	u, err := url.Parse("//" + rest)
	if err != nil || u.Hostname() == "" || strings.ContainsFunc(u.Hostname(), forbiddenInHost) {
		return false
	}
	port, err := strconv.Atoi(u.Port())
	return u.Port() == "" || err == nil && port <= 65535
}

func forbiddenInHost(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`<>^|%"{}`+"`", r)
}

// qualifiedRef says whether s names a kind and something behind it.
func qualifiedRef(s string) bool {
	i := strings.IndexAny(s, ":/")
	return i > 0 && s[i] == ':' && i+1 < len(s) && s[i+1] != '\n'
}

func within(s string, most int) bool { return s != "" && len(s) <= most }

func all(s string, ok func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool     { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isLowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
func isAlnum(c byte) bool      { return isLetter(c) || '0' <= c && c <= '9' }
