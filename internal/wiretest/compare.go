package wiretest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
)

var (
	patternPathStep = regexp.MustCompile(`\.([A-Za-z0-9_\-$]+)|\["([^"]+)"\]|(\[\*\])`)
	patternExpires  = regexp.MustCompile(`Expires=[^;]*`)
	patternMaxAge   = regexp.MustCompile(`Max-Age=\d+`)
)

// maxDifferences bounds what is listed of one body.
const maxDifferences = 30

// A slot is a place in a JSON document: a member of an object, an element of an array, or the document itself.
type slot struct {
	value any
	set   func(any)
}

// slots finds the places that a path like $.items[*].metadata["a.b"] names in doc.
func slots(doc *any, path string) []slot {
	cur := []slot{{*doc, func(v any) { *doc = v }}}
	for _, m := range patternPathStep.FindAllStringSubmatch(path, -1) {
		var next []slot
		for _, s := range cur {
			switch v := s.value.(type) {
			case []any:
				if m[3] != "" {
					for i := range v {
						next = append(next, slot{v[i], func(n any) { v[i] = n }})
					}
				}
			case map[string]any:
				if m[3] != "" {
					for _, k := range slices.Sorted(maps.Keys(v)) {
						next = append(next, slot{v[k], func(n any) { v[k] = n }})
					}
				} else if e, ok := v[m[1]+m[2]]; ok {
					key := m[1] + m[2]
					next = append(next, slot{e, func(n any) { v[key] = n }})
				}
			}
		}
		cur = next
	}
	return cur
}

// comparableBody brings a body into the form in which two of them are compared.
func comparableBody(x *Exchange, body any, relocated bool) any {
	doc := normal(stripProse(x.Request.Path, body), "")
	for _, path := range x.Ignore {
		if strings.HasPrefix(path, "$") {
			for _, s := range slots(&doc, path) {
				s.set(markIgnored)
			}
		}
	}
	// The deepest arrays first, so that outer ones are sorted by their final elements.
	paths := slices.Clone(x.Unordered)
	depth := func(p string) int { return strings.Count(p, ".") + strings.Count(p, "[") }
	sort.SliceStable(paths, func(i, j int) bool { return depth(paths[i]) > depth(paths[j]) })
	for _, path := range paths {
		for _, s := range slots(&doc, path) {
			if list, ok := s.value.([]any); ok {
				sorted := slices.Clone(list)
				sortJSON(sorted)
				s.set(sorted)
			}
		}
	}
	if relocated {
		sortGenerated(doc)
	}
	return doc
}

func sortJSON(list []any) {
	sort.SliceStable(list, func(i, j int) bool { return compactJSON(list[i]) < compactJSON(list[j]) })
}

// sortGenerated sorts runs of neighbouring entities with generated names. These names are hashes of addresses, so
// that their order among each other is another one wherever the fixtures are served from another address.
func sortGenerated(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			sortGenerated(e)
		}
	case []any:
		for start := 0; start < len(v); start++ {
			end := start
			for end < len(v) && hasGeneratedName(v[end]) {
				end++
			}
			if end > start {
				sortJSON(v[start:end])
				start = end
			}
		}
		for _, e := range v {
			sortGenerated(e)
		}
	}
}

func hasGeneratedName(v any) bool {
	entity, _ := v.(map[string]any)
	metadata, _ := entity["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return strings.HasPrefix(name, "generated-")
}

// compare lists how the answer got differs from want, which is the recorded one or the one that a deviation orders.
func compare(x *Exchange, want, got Answer, relocated bool) []string {
	var out []string
	if want.Status != got.Status {
		out = append(out, fmt.Sprintf("status is %d, want %d", got.Status, want.Status))
	}
	out = append(out, compareHeaders(x, want.Header, got.Header)...)
	out = append(out, diff("$", comparableBody(x, want.Body, relocated), comparableBody(x, got.Body, relocated), nil)...)
	for _, part := range []struct {
		name      string
		want, got any
	}{{"jwt", want.JWT, got.JWT}, {"message", want.Message, got.Message}} {
		if part.want == nil {
			continue
		}
		if part.got == nil {
			out = append(out, part.name+" is missing")
			continue
		}
		out = append(out, diff(part.name, normal(stripProse("", part.want), ""), normal(stripProse("", part.got), ""), nil)...)
	}
	return out
}

func compareHeaders(x *Exchange, want, got map[string][]string) (out []string) {
	all := map[string]bool{}
	for k := range want {
		all[k] = true
	}
	for k := range got {
		all[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		w, g := want[k], got[k]
		switch {
		case slices.Contains(x.Ignore, "headers."+k):
		case len(g) == 0:
			out = append(out, fmt.Sprintf("header %s is missing, want %q", k, short(w)))
		case len(w) == 0:
			out = append(out, fmt.Sprintf("header %s is extra: %q", k, short(g)))
		case !slices.Equal(normalHeader(k, w), normalHeader(k, g)):
			out = append(out, fmt.Sprintf("header %s is %q, want %q", k, short(g), short(w)))
		}
	}
	return out
}

// normalHeader replaces the volatile parts of a header's values. Of an ETag only weak or strong counts.
func normalHeader(name string, values []string) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		switch name {
		case "etag":
			if strings.HasPrefix(v, "W/") {
				v = "W/"
			} else {
				v = "strong"
			}
		case "set-cookie":
			v = patternMaxAge.ReplaceAllString(patternExpires.ReplaceAllString(v, "Expires=§"), "Max-Age=§")
		case "content-type":
			v = strings.ToLower(normalString(v))
		default:
			v = normalString(v)
		}
		out = append(out, v)
	}
	return out
}

func short(values []string) string {
	s := []rune(strings.Join(values, ", "))
	return string(s[:min(len(s), 140)])
}

// diff appends to out where the documents differ: at most maxDifferences places.
func diff(path string, want, got any, out []string) []string {
	if len(out) >= maxDifferences {
		return out
	}
	if kind(want) != kind(got) {
		return append(out, fmt.Sprintf("%s is %s, want %s (%s, want %s)", path, kind(got), kind(want), clip(got), clip(want)))
	}
	switch want := want.(type) {
	case map[string]any:
		got := got.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if v, ok := got[k]; ok {
				out = diff(path+"."+k, want[k], v, out)
			} else {
				out = append(out, fmt.Sprintf("%s.%s is missing, want %s", path, k, clip(want[k])))
			}
		}
		for _, k := range slices.Sorted(maps.Keys(got)) {
			if _, ok := want[k]; !ok {
				out = append(out, fmt.Sprintf("%s.%s is extra: %s", path, k, clip(got[k])))
			}
		}
	case []any:
		got := got.([]any)
		if len(want) != len(got) {
			out = append(out, fmt.Sprintf("%s has %d elements, want %d", path, len(got), len(want)))
		}
		for i := range min(len(want), len(got)) {
			out = diff(fmt.Sprintf("%s[%d]", path, i), want[i], got[i], out)
		}
	default:
		if want != got {
			out = append(out, fmt.Sprintf("%s is %s, want %s", path, clip(got), clip(want)))
		}
	}
	return out
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	}
	return "an object"
}

func clip(v any) string { return short([]string{compactJSON(v)}) }
