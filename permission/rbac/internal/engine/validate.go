package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Actions are what rules and conditions can be about.
func Actions() []string { return []string{"create", "read", "update", "delete", Use} }

var (
	namePattern      = regexp.MustCompile(`^[a-zA-Z0-9]+([._-][a-zA-Z0-9]+)*$`)
	namespacePattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

const maxRefPart = 63

// CheckRef checks a full reference whose kind is one of kinds (contract permission.md,
// section 3). Nothing is filled in.
func CheckRef(ref string, kinds ...string) error {
	kind, rest, ok := strings.Cut(ref, ":")
	if !ok || kind == "" {
		return fmt.Errorf("%q is no full reference, such as %s:default/name", ref, kinds[0])
	}
	if !slices.Contains(kinds, kind) {
		return fmt.Errorf("%q must be of kind %s, not %q", ref, strings.Join(kinds, " or "), kind)
	}
	namespace, name, ok := strings.Cut(rest, "/")
	switch {
	case !ok:
		return fmt.Errorf("%q has no namespace; write %s:default/%s", ref, kind, rest)
	case len(namespace) > maxRefPart || !namespacePattern.MatchString(namespace):
		return fmt.Errorf("%q: a namespace is at most %d lower-case letters and digits, with single dashes between them", ref, maxRefPart)
	case len(name) > maxRefPart || !namePattern.MatchString(name):
		return fmt.Errorf("%q: a name is at most %d letters and digits, with single dots, dashes or underscores between them", ref, maxRefPart)
	}
	return nil
}

// CheckRule checks all parts of a rule.
func CheckRule(r Rule) error {
	if err := CheckRef(r.Subject, "role", "user", "group"); err != nil {
		return err
	}
	switch {
	case r.Permission == "":
		return fmt.Errorf("the permission is empty")
	case !utf8.ValidString(r.Permission) || strings.Contains(r.Permission, "\x00"):
		return fmt.Errorf("the permission %q must be UTF-8 without NUL", r.Permission)
	case strings.Contains(r.Permission, `"`):
		return fmt.Errorf("the permission must not have double quotes in it")
	case !slices.Contains(Actions(), r.Action):
		return fmt.Errorf("the action must be one of %s, not %q", strings.Join(Actions(), ", "), r.Action)
	case r.Effect != "allow" && r.Effect != "deny":
		return fmt.Errorf("the effect must be allow or deny, not %q", r.Effect)
	}
	return nil
}

// CheckMember checks both sides, after the reference has been lower-cased.
func CheckMember(m Member) error {
	if err := CheckRef(m.Ref, "user", "group"); err != nil {
		return err
	}
	return CheckRef(m.Role, "role")
}
