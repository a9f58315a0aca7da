package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// mount is where the plugin's routes are, as path rewriting sees it.
const mount = "/api/proxy"

// maxDecodings is how often a path may be encoded on top of itself.
const maxDecodings = 8

// segmentsOf returns the segments of an endpoint's path as they are matched: decoded, in lower
// case.
func segmentsOf(path string) ([]string, error) {
	trimmed := strings.Trim(path, "/")
	switch {
	case trimmed == "":
		return nil, errors.New("the path of an endpoint needs at least one segment, as in /pagerduty")
	case strings.ContainsAny(path, `%?#\;*:{}`) || !sound("/"+trimmed) || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' }):
		return nil, errors.New("the path of an endpoint is plain segments, as in /pagerduty/v2: without dot segments, wildcards and encodings")
	}
	segments := strings.Split(strings.ToLower(trimmed), "/")
	if segments[0] == ".backstage" {
		return nil, fmt.Errorf("/%s belongs to the plugin itself", segments[0])
	}
	return segments, nil
}

// lookalikes are the characters that some servers take for those of path syntax.
var lookalikes = strings.NewReplacer("\uFF0E", ".", "\u2024", ".", "\uFE52", ".", "\u2025", "..", "\uFF0F", "/", "\u2215", "/", "\u2044", "/",
	"\uFF3C", `\`, "\uFE68", `\`, "\u2216", `\`)

// settle decodes a path until nothing is left to decode; false if that takes too long to be
// meant.
func settle(path string) (string, bool) {
	for range maxDecodings {
		next := decode(path)
		if next == path {
			return path, true
		}
		path = next
	}
	return path, false
}

// decode decodes %XX, and leaves what is no such thing.
func decode(path string) string {
	i := strings.IndexByte(path, '%')
	if i < 0 {
		return path
	}
	var b strings.Builder
	b.Grow(len(path))
	b.WriteString(path[:i])
	for ; i < len(path); i++ {
		if path[i] != '%' || !encodedByte(path[i:]) {
			b.WriteByte(path[i])
			continue
		}
		n, _ := strconv.ParseUint(path[i+1:i+3], 16, 8) // encodedByte has looked
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String()
}

// sound reports whether a path, as it is sent, can be put behind a target's path and stays
// below it, however its reader decodes it (SEC-46). What is refused: segments that are dots or
// are dots before a semicolon, backslashes, empty segments, control characters, and bytes that
// careless decoders of UTF-8 take for something else.
func sound(path string) bool {
	if strings.Contains(path, "//") {
		return false
	}
	all, ok := settle(path)
	if !ok {
		return false
	}
	ascii := true
	for i := range len(all) {
		c := all[i]
		switch {
		case c < ' ' || c == 0x7f || c == '\\' || c == 0xC0 || c == 0xC1:
			return false
		case i > 0 && (all[i-1] == 0xE0 && c < 0xA0 || all[i-1] == 0xF0 && c < 0x90) && c >= 0x80: // longer than need be
			return false
		case c >= 0x80:
			ascii = false
		}
	}
	if !ascii {
		all = lookalikes.Replace(all)
		if strings.Contains(all, `\`) {
			return false
		}
	}
	for segment := range strings.SplitSeq(all, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if segment = strings.Trim(segment, " "); segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// readings are the two ways to see the segments of a path that was sent: cut where slashes were
// sent, and as it is for whoever decodes it first and ignores parameters. Where they lead to
// different endpoints, the request is not to be trusted (SEC-33).
func readings(path string) (sent, decoded []string) {
	path = strings.ToLower(strings.Trim(path, "/"))
	sent = strings.Split(path, "/")
	if !strings.ContainsAny(path, "%;") && isASCII(path) {
		return sent, sent
	}
	for i, s := range sent {
		s, _ = settle(s)
		sent[i] = strings.ToLower(s)
	}
	all, _ := settle(path)
	decoded = strings.Split(strings.ToLower(lookalikes.Replace(all)), "/")
	for i, s := range decoded {
		decoded[i], _, _ = strings.Cut(s, ";")
	}
	return sent, decoded
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// after returns what follows the first n segments of a path as it was sent; "/" if nothing does.
func after(path string, n int) string {
	rest := path
	for range n {
		i := strings.IndexByte(rest[1:], '/')
		if i < 0 {
			return "/"
		}
		rest = rest[i+1:]
	}
	return rest
}

// A rewriting is a PathRule that can be applied.
type rewriting struct {
	pattern *regexp.Regexp
	replace string // in the syntax of regexp.Expand
}

func (p PathRule) compile() (rewriting, error) {
	re, err := regexp.Compile(p.Pattern)
	if err != nil {
		return rewriting{}, fmt.Errorf("is no regular expression that is understood here (there is neither lookahead nor backreference): %w", err)
	}
	return rewriting{re, expandable(p.Replace, re)}, nil
}

// replacements are what a dollar begins in a replacement.
var replacements = regexp.MustCompile(`\$(?:\$|&|(\d\d?)|<([^>]*)>)?`)

// expandable turns a replacement as JavaScript has it into one of package regexp. What names no
// group of re stands for itself.
func expandable(text string, re *regexp.Regexp) string {
	return replacements.ReplaceAllStringFunc(text, func(s string) string {
		m := replacements.FindStringSubmatch(s)
		switch {
		case s == "$&":
			return "${0}"
		case s == "$$":
			return "$$"
		case m[2] != "" && re.SubexpIndex(m[2]) > 0:
			return "${" + m[2] + "}"
		}
		for digits := m[1]; digits != ""; digits = digits[:len(digits)-1] {
			if n, _ := strconv.Atoi(digits); n > 0 && n <= re.NumSubexp() {
				return "${" + strconv.Itoa(n) + "}" + m[1][len(digits):]
			}
		}
		return "$" + s
	})
}

// apply replaces the first match.
func (w rewriting) apply(path string) (string, bool) {
	at := w.pattern.FindStringSubmatchIndex(path)
	if at == nil {
		return path, false
	}
	out := append([]byte(nil), path[:at[0]]...)
	out = w.pattern.ExpandString(out, w.replace, path, at)
	return string(append(out, path[at[1]:]...)), true
}

// encoded encodes the bytes that cannot be sent in a path, such as a space in a replacement.
func encoded(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}#", c) >= 0 || c == '%' && !encodedByte(path[i:]) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// encodedByte reports whether text begins with %XX.
func encodedByte(text string) bool {
	if len(text) < 3 {
		return false
	}
	_, err := strconv.ParseUint(text[1:3], 16, 8)
	return err == nil
}
