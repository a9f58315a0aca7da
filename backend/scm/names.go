package scm

import (
	"path"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/callboard-dev/callboard/backend/apierr"
)

const maxNameBytes = 255

// checkName returns the clean form of an entry's name. Trailing slashes and
// leading "./" are usual in archives; what could leave the tree is not.
func checkName(name string, depth int) (string, error) {
	if name == "" || len(name) > 4096 {
		return "", refused(name, "has no usable name")
	}
	if strings.HasPrefix(name, "/") {
		return "", refused(name, "has an absolute name")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }) {
		return "", refused(name, "has a backslash or a control character in its name")
	}
	elements := 0
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", refused(name, "has \"..\" in its name")
		}
		if len(element) > maxNameBytes {
			return "", refused(name, "has a name that no file can have")
		}
		elements++
	}
	if elements > depth {
		return "", refused(name, "lies too deep")
	}
	if len(name) > 1 && name[1] == ':' && unicode.IsLetter(rune(name[0])) {
		return "", refused(name, "has the name of a drive")
	}
	return path.Clean(name), nil
}

func refused(name, why string) error {
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return apierr.Input.New("archive is refused: entry %q %s", name, why)
}

func exceeded(what string, limit int64) error {
	return apierr.Input.New("archive is refused: it has more than %d %s", limit, what)
}

// isProtected reports whether a path goes through what git takes for a .git
// directory on some file system: in any case, with ignorable characters, with
// trailing dots and spaces, or by its short name. A tree is often committed
// afterwards, and .git/config runs programs.
func isProtected(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		element = strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) {
				return -1
			}
			return r
		}, element)
		element, _, _ = strings.Cut(element, ":") // an NTFS stream of the same file
		element = strings.ToLower(strings.TrimRight(element, ". "))
		if element == ".git" || element == "git~1" {
			return true
		}
	}
	return false
}

// foldName maps names to one value that some file system takes for the same.
func foldName(name string) string {
	return cases.Fold().String(norm.NFKC.String(name))
}
