package entity

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Ref names an entity. Parts keep the case in which they were written; two refs
// name the same entity when their String forms are equal.
//
// In JSON a Ref is the object {"kind","namespace","name"}; reading also accepts the
// text form with a kind.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Default fills in what a short reference leaves out. An empty Namespace stands for
// DefaultNamespace; an empty Kind means that a reference has to name its kind.
type Default struct {
	Kind      string
	Namespace string
}

// Why a reference cannot be read.
const (
	RefEmpty            = "empty"
	RefMalformed        = "malformed"
	RefMissingKind      = "missing-kind"
	RefMissingNamespace = "missing-namespace"
	RefMissingName      = "missing-name"
)

// A RefError says why a text or object is no entity reference.
type RefError struct {
	Input  string // as it was written
	Reason string // one of the Ref... constants
}

func (e *RefError) Error() string {
	const form = "expected [<kind>:][<namespace>/]<name>"
	switch e.Reason {
	case RefEmpty:
		return "entity reference is empty; " + form
	case RefMissingKind:
		return fmt.Sprintf("entity reference %q has no kind; write <kind>:%s", e.Input, e.Input)
	case RefMissingNamespace:
		return fmt.Sprintf("entity reference %s has an empty namespace", e.Input)
	case RefMissingName:
		return fmt.Sprintf("entity reference %s has no name", e.Input)
	}
	return fmt.Sprintf("entity reference %q is malformed; %s", e.Input, form)
}

// ParseRef reads [<kind>:][<namespace>/]<name> (contract catalog.md, 2.3). Parts are
// taken as they are: not trimmed, decoded, lower-cased or checked against the rules
// for names. The first non-empty value among the defaults fills in a missing part.
// Errors are of type *RefError. Reading a reference does not allocate.
func ParseRef(s string, defaults ...Default) (Ref, error) {
	if s == "" {
		return Ref{}, &RefError{Reason: RefEmpty}
	}
	var ref Ref
	rest := s
	// A colon behind the first slash belongs to the name: a/b:c has no kind.
	if i := strings.IndexAny(s, ":/"); i >= 0 && s[i] == ':' {
		if i == 0 {
			return Ref{}, &RefError{Input: s, Reason: RefMalformed}
		}
		ref.Kind, rest = s[:i], s[i+1:]
	}
	if namespace, name, ok := strings.Cut(rest, "/"); ok {
		if namespace == "" {
			return Ref{}, &RefError{Input: s, Reason: RefMalformed}
		}
		ref.Namespace, rest = namespace, name
	}
	if rest == "" {
		return Ref{}, &RefError{Input: s, Reason: RefMalformed}
	}
	ref.Name = rest
	ref.fill(defaults)
	if ref.Kind == "" {
		return Ref{}, &RefError{Input: s, Reason: RefMissingKind}
	}
	return ref, nil
}

// ParseRefValue reads a reference that may be a text or an object with kind,
// namespace and name, as decoded JSON. In an object only absent parts are filled in;
// an empty part is an error.
func ParseRefValue(v any, defaults ...Default) (Ref, error) {
	if s, ok := v.(string); ok {
		return ParseRef(s, defaults...)
	}
	m := object(v)
	if m == nil {
		if v == nil {
			return Ref{}, &RefError{Reason: RefEmpty}
		}
		return Ref{}, &RefError{Input: inline(v), Reason: RefMalformed}
	}
	ref := Ref{Kind: text(m["kind"]), Namespace: text(m["namespace"]), Name: text(m["name"])}
	_, hasKind := m["kind"]
	_, hasNamespace := m["namespace"]
	filled := ref
	filled.fill(defaults)
	if !hasKind {
		ref.Kind = filled.Kind
	}
	if !hasNamespace {
		ref.Namespace = filled.Namespace
	}
	switch {
	case ref.Kind == "":
		return Ref{}, &RefError{Input: inline(v), Reason: RefMissingKind}
	case ref.Namespace == "":
		return Ref{}, &RefError{Input: inline(v), Reason: RefMissingNamespace}
	case ref.Name == "":
		return Ref{}, &RefError{Input: inline(v), Reason: RefMissingName}
	}
	return ref, nil
}

func (r *Ref) fill(defaults []Default) {
	for _, d := range defaults {
		if r.Kind == "" {
			r.Kind = d.Kind
		}
		if r.Namespace == "" {
			r.Namespace = d.Namespace
		}
	}
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
}

// String is the canonical form kind:namespace/name in lower case (see Lower). An
// empty Namespace is the default one.
func (r Ref) String() string {
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
	return joinRef(r.Kind, r.Namespace, r.Name)
}

// AppendText appends the canonical form to dst. It allocates only when dst grows or
// a part is not ASCII.
func (r Ref) AppendText(dst []byte) ([]byte, error) {
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
	dst = append(appendLower(dst, r.Kind), ':')
	dst = append(appendLower(dst, r.Namespace), '/')
	return appendLower(dst, r.Name), nil
}

// IsZero says whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Lower is r with every part in lower case and the default namespace filled in.
func (r Ref) Lower() Ref {
	if r.Namespace == "" {
		r.Namespace = DefaultNamespace
	}
	return Ref{Kind: Lower(r.Kind), Namespace: Lower(r.Namespace), Name: Lower(r.Name)}
}

// UnmarshalJSON reads the object form or the text form.
func (r *Ref) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	ref, err := ParseRefValue(v)
	if err != nil {
		return err
	}
	*r = ref
	return nil
}

// StringifyRef is the canonical form of an entity or of an object with kind,
// namespace and name. Nothing is checked: absent parts are empty, except for the
// namespace, which is DefaultNamespace when absent and stays empty when empty.
func StringifyRef(v map[string]any) string {
	at := v
	if m := object(v["metadata"]); m != nil {
		at = m
	}
	namespace := DefaultNamespace
	if ns, ok := at["namespace"].(string); ok {
		namespace = ns
	}
	return joinRef(text(v["kind"]), namespace, text(at["name"]))
}

func joinRef(kind, namespace, name string) string {
	var small [128]byte
	b := append(appendLower(small[:0], kind), ':')
	b = append(appendLower(b, namespace), '/')
	return string(appendLower(b, name))
}

// appendLower lower-cases while it copies, and leaves what is not ASCII to Lower.
func appendLower(dst []byte, s string) []byte {
	start := len(dst)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return append(dst[:start], Lower(s)...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// inline shows a value in a message, shortened.
func inline(v any) string {
	b, err := AppendJSON(nil, v)
	if err != nil {
		return fmt.Sprintf("a %T", v)
	}
	return shorten(string(b))
}

func shorten(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
