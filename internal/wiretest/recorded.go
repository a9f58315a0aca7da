package wiretest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// recordedExchange is an exchange in the JSON form of the recording tool.
type recordedExchange struct {
	Name    string `json:"name"`
	Note    string `json:"note"`
	Request struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"request"`
	Response struct {
		Status  int                        `json:"status"`
		Headers map[string]json.RawMessage `json:"headers"`
		Body    any                        `json:"body"`
		JWT     any                        `json:"jwt"`
		Message any                        `json:"decodedMessage"`
	} `json:"response"`
	Ignore    []string `json:"ignore"`
	Unordered []string `json:"unordered"`
}

// recordedBase is where the recorded backend listened.
const recordedBase = "http://127.0.0.1:7107"

var (
	patternLocation = regexp.MustCompile(`(?:url|file):[^\s"\\,]*`)
	patternHash     = regexp.MustCompile(`generated-([0-9a-f]{40})`)
)

// Convert turns recorded JSON into a group in the committed form: volatile values and prose become markers, the
// recordings' places become placeholders, and the preparations of flow are added. flow is a group, in the same text
// form, whose exchanges carry only steps, captures, timeouts, what is not compared, lists without an order, and request lines or headers that replace the recorded
// ones (a cursor that was recorded as a value, say). It fails on addresses and generated names that it cannot resolve.
func Convert(name string, data []byte, flow *Group) (*Group, error) {
	text, err := withPlaceholders(string(data), locationNames(string(data)))
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", name, err)
	}
	var list []recordedExchange
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("recording %s: %w", name, err)
	}
	g := &Group{Name: name}
	for _, rec := range list {
		x, err := rec.convert()
		if err != nil {
			return nil, fmt.Errorf("recording %s, %s: %w", name, rec.Name, err)
		}
		g.Exchanges = append(g.Exchanges, x)
	}
	if err := g.prepare(flow); err != nil {
		return nil, fmt.Errorf("flow of %s: %w", name, err)
	}
	return g, leftover(g)
}

// leftover reports an address of the recordings in a form for which there is no placeholder.
func leftover(g *Group) error {
	text := Format(g)
	for _, port := range []string{"7107", "7197", "7198"} {
		for _, colon := range []string{":", "%3A"} {
			address := "127.0.0.1" + colon + port
			if i := strings.Index(text, address); i >= 0 {
				return fmt.Errorf("recording %s: line %d: %s is a place of the recording, and has no placeholder in this form", g.Name, 1+strings.Count(text[:i], "\n"), address)
			}
		}
	}
	return nil
}

// locationNames maps the hash of every location in the text to that location. Config locations and targets with
// blanks are no words of the text, so they are added.
func locationNames(text string) map[string]string {
	locations := patternLocation.FindAllString(text, -1)
	locations = append(locations, "url: ", "url:"+Recorded.Fixtures+"/fixtures/catalog/root.yaml", "file:"+Recorded.Files+"/templates/root.yaml")
	names := map[string]string{}
	for _, l := range locations {
		names[generatedName(l)] = l
	}
	return names
}

// Private characters stand for the places while strings are normalised, because normalising replaces placeholders.
const (
	holdFixtures  = "\uE000"
	holdFiles     = "\uE001"
	holdGenerated = "\uE002" // …location…holdEnd
	holdEnd       = "\uE003"
	holdCluster   = "\uE004"
)

func withPlaceholders(text string, names map[string]string) (string, error) {
	var unknown string
	text = patternHash.ReplaceAllStringFunc(text, func(s string) string {
		location, ok := names[s]
		if !ok {
			unknown = s
		}
		return holdGenerated + location + holdEnd
	})
	if unknown != "" {
		return "", fmt.Errorf("no location in it has the name %s", unknown)
	}
	text = strings.NewReplacer(
		Recorded.Fixtures, holdFixtures, Recorded.Files, holdFiles, recordedCluster, holdCluster,
		recordedBase, "{{BASE}}", url.QueryEscape(recordedBase), "{{BASE|query}}",
		strings.ReplaceAll(url.QueryEscape(recordedBase), "%2F", "/"), "{{BASE|query}}",
		strings.TrimPrefix(recordedBase, "http://"), "{{HOST}}",
		"Bearer "+StaticToken, "Bearer {{token:static}}", "Bearer "+LimitedToken, "Bearer {{token:limited}}",
	).Replace(text)
	return text, nil
}

var unhold = strings.NewReplacer(holdFixtures, "{{FIXTURES}}", holdFiles, "{{FILES}}", holdGenerated, "{{generated ", holdEnd, "}}", holdCluster, "{{CLUSTER}}")

// release puts the placeholders into every string of v.
func release(v any) any {
	switch v := v.(type) {
	case string:
		return unhold.Replace(v)
	case []any:
		for i := range v {
			v[i] = release(v[i])
		}
	case map[string]any:
		for k, e := range v {
			delete(v, k)
			v[unhold.Replace(k)] = release(e)
		}
	}
	return v
}

func (rec *recordedExchange) convert() (*Exchange, error) {
	x := &Exchange{Name: rec.Name, Note: rec.Note, Unordered: rec.Unordered}
	for _, path := range rec.Ignore {
		if path != "request" { // the recording tool's own mark for requests that differ from run to run
			x.Ignore = append(x.Ignore, path)
		}
	}
	x.Request.Method, x.Request.Path = rec.Request.Method, unhold.Replace(rec.Request.Path)
	for _, k := range slices.Sorted(maps.Keys(rec.Request.Headers)) {
		x.Request.Header = append(x.Request.Header, Field{k, unhold.Replace(rec.Request.Headers[k])})
	}
	if rec.Request.Body != nil {
		body, err := requestBody(rec.Request.Body)
		if err != nil {
			return nil, err
		}
		x.Request.Body = unhold.Replace(body)
	}
	x.Answer.Status = rec.Response.Status
	header, err := rec.header()
	if err != nil {
		return nil, err
	}
	x.Answer.Header = header
	body := normal(stripProse(rec.Request.Path, rec.Response.Body), "")
	for _, path := range x.Ignore {
		if strings.HasPrefix(path, "$") {
			for _, s := range slots(&body, path) {
				s.set(markIgnored)
			}
		}
	}
	if body == nil {
		body = ""
	}
	x.Answer.Body = release(body)
	if rec.Response.JWT != nil {
		x.Answer.JWT = release(normal(stripProse("", rec.Response.JWT), ""))
	}
	if rec.Response.Message != nil {
		x.Answer.Message = release(normal(stripProse("", rec.Response.Message), ""))
	}
	return x, nil
}

// header has the compared headers of a recording, with cookies under one name.
func (rec *recordedExchange) header() (map[string][]string, error) {
	out := map[string][]string{}
	for k, v := range rec.Response.Headers {
		switch k {
		case "set-cookie-names": // the attributes below start with the name
		case "set-cookie-attrs":
			var list []string
			if err := json.Unmarshal(v, &list); err != nil {
				return nil, fmt.Errorf("header %s: %w", k, err)
			}
			sort.Strings(list)
			out["set-cookie"] = normalHeader("set-cookie", list)
		default:
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return nil, fmt.Errorf("header %s: %w", k, err)
			}
			out[k] = []string{unhold.Replace(normalHeader(k, []string{s})[0])}
		}
	}
	return out, nil
}

// requestBody is the bytes that were sent: a recorded string as it is, else the document with a blank after commas
// and colons, as the recording tool sent it.
func requestBody(data json.RawMessage) (string, error) {
	var s string
	if json.Unmarshal(data, &s) == nil {
		return s, nil
	}
	var b strings.Builder
	inString, escaped := false, false
	blank := false // inside the white space between tokens
	for _, c := range string(data) {
		if !inString && strings.ContainsRune(" \n\t\r", c) {
			blank = true
			continue
		}
		if blank && strings.HasSuffix(b.String(), ",") {
			b.WriteByte(' ')
		}
		blank = false
		b.WriteRune(c)
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && c == ':':
			b.WriteByte(' ')
		}
	}
	return b.String(), nil
}

// prepare merges the flow into the group.
func (g *Group) prepare(flow *Group) error {
	if flow == nil {
		return nil
	}
	for _, f := range flow.Exchanges {
		i := slices.IndexFunc(g.Exchanges, func(x *Exchange) bool { return x.Name == f.Name })
		if i < 0 {
			return fmt.Errorf("there is no exchange %q", f.Name)
		}
		x := g.Exchanges[i]
		x.Steps, x.Captures = f.Steps, f.Captures
		x.Unordered = append(x.Unordered, f.Unordered...)
		x.Ignore = append(x.Ignore, f.Ignore...)
		for _, path := range f.Ignore {
			if strings.HasPrefix(path, "$") {
				for _, s := range slots(&x.Answer.Body, path) {
					s.set(markIgnored)
				}
			}
		}
		if f.Timeout != 0 {
			x.Timeout = f.Timeout
		}
		if f.Request.Path != "" {
			x.Request.Path = f.Request.Path
		}
		for _, h := range f.Request.Header {
			for j := range x.Request.Header {
				if strings.EqualFold(x.Request.Header[j].Name, h.Name) {
					x.Request.Header[j] = h
				}
			}
		}
	}
	return nil
}
