package wiretest

import (
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Markers that stand for what is not compared by value.
const (
	markText    = "§text"    // prose: ours to word
	markAny     = "§any"     // a volatile value: only that it is there counts
	markID      = "§id"      // a number that the database gave
	markIgnored = "§ignored" // not compared at all
	markValue   = "§"        // a volatile part of a string: an id, a token, the backend's own address
	markTime    = "§ts"
)

var (
	patternPlaceholder = regexp.MustCompile(`\{\{[^}]*\}\}`)
	patternUUID        = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	patternTime        = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	patternLogID       = regexp.MustCompile(`logId=[0-9a-f]+`)
	patternMarkTag     = regexp.MustCompile(`</?§>`)
	patternJWT         = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

	// prosePaths are the routes whose descriptions, titles, notes and examples are prose.
	prosePaths = regexp.MustCompile(`/v2/actions|/templating-extensions|/\.well-known/backstage/permissions|/\.backstage/actions|/api/mcp-actions|condition-rules|plugins/policies|/api/permission/roles$`)

	volatileKeys = []string{"etag", "uid", "expiresInSeconds", "iat", "exp", "expiresAt", "rank", "uip", "kid", "lastHeartbeatAt",
		"createdAt", "build_timestamp", "nonce", "stack", "idToken"}
	errorKeys = []string{"error", "cause", "errors", "issues"}
	inputKeys = []string{"input", "values", "parameters"}
	methods   = []string{"get", "put", "post", "delete", "patch", "head", "options"}
)

// normalString replaces the volatile parts of s.
func normalString(s string) string {
	s = patternPlaceholder.ReplaceAllString(s, markValue)
	s = patternUUID.ReplaceAllString(s, markValue)
	s = patternTime.ReplaceAllString(s, markTime)
	s = patternLogID.ReplaceAllString(s, "logId="+markValue)
	return patternMarkTag.ReplaceAllString(s, "")
}

// normal replaces the volatile values of a JSON document. It is idempotent: recordings are committed in this form.
func normal(v any, key string) any {
	if slices.Contains(volatileKeys, key) {
		switch v.(type) {
		case nil, []any, map[string]any:
		default:
			return markAny
		}
	}
	switch v := v.(type) {
	case string:
		return normalString(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = normal(v[i], "")
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if n, ok := e.(float64); ok && k == "id" && n == float64(int64(n)) {
				out[k] = markID
			} else {
				out[k] = normal(e, k)
			}
		}
		return out
	}
	return v
}

// stripProse replaces the texts of an answer to path that every implementation words itself. Of an OpenAPI
// document only paths and methods stay.
func stripProse(path string, body any) any {
	path, _, _ = strings.Cut(path, "?")
	if doc, ok := body.(map[string]any); ok && strings.HasSuffix(path, "/openapi.json") {
		if paths, ok := doc["paths"].(map[string]any); ok {
			return map[string]any{"openapi": markText, "paths": methodsOf(paths)}
		}
	}
	if s, ok := body.(string); ok {
		if len([]rune(s)) > 200 && strings.Contains(strings.ToLower(s), "<html") {
			return markText
		}
		return s
	}
	return stripper{prose: prosePaths.MatchString(path)}.walk(body, "")
}

func methodsOf(paths map[string]any) map[string]any {
	out := map[string]any{}
	for path, item := range paths {
		list := []any{}
		for _, m := range methods {
			switch item := item.(type) {
			case map[string]any:
				if _, ok := item[m]; ok {
					list = append(list, m)
				}
			case []any: // a recording, which is already stripped
				if slices.Contains(item, any(m)) {
					list = append(list, m)
				}
			}
		}
		sort.Slice(list, func(i, j int) bool { return list[i].(string) < list[j].(string) })
		out[path] = list
	}
	return out
}

type stripper struct{ prose bool }

func (s stripper) walk(v any, key string) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = s.walk(v[i], key)
		}
		return out
	case map[string]any:
		_, named := v["name"]
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = s.member(k, e, key, named)
		}
		return out
	}
	return v
}

// member strips the value e of the member k of an object that stands under key.
func (s stripper) member(k string, e any, key string, named bool) any {
	_, isString := e.(string)
	_, isList := e.([]any)
	switch {
	case isString && (k == "message" || k == "stack") && (slices.Contains(errorKeys, key) || named && !slices.Contains(inputKeys, key)):
		return markText
	case isString && k == "message" && key == "body":
		return markText
	case isString && k == "error_description":
		return markText
	case isString && s.prose && (k == "description" || k == "title" || k == "notes"):
		return markText
	case isList && s.prose && k == "examples":
		return markText
	}
	if status, ok := e.(map[string]any); ok && k == "status" {
		if items, ok := status["items"].([]any); ok {
			return s.status(status, items)
		}
	}
	return s.walk(e, k)
}

// status strips the messages of an entity's status items.
func (s stripper) status(status map[string]any, items []any) any {
	out := make(map[string]any, len(status))
	for k, e := range status {
		out[k] = e
	}
	list := s.walk(items, "errors").([]any)
	for _, item := range list {
		if o, ok := item.(map[string]any); ok {
			if _, ok := o["message"]; ok {
				o["message"] = markText
			}
		}
	}
	out["items"] = list
	return out
}
