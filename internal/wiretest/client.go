package wiretest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// comparedHeaders are the headers of an answer that count, besides set-cookie.
var comparedHeaders = []string{"content-type", "etag", "link", "cache-control", "location", "www-authenticate",
	"content-disposition", "vary", "access-control-allow-origin", "access-control-allow-credentials", "x-upstream",
	"allow", "content-security-policy", "retry-after", "content-encoding", "content-language"}

const defaultTimeout = 40 * time.Second

// agentStep marks the requests of steps, which are not part of the recording. Recorded requests carry no User-Agent.
const agentStep = "callboard-wiretest"

// raw is an answer as it came.
type raw struct {
	status int
	header http.Header
	body   []byte
}

// client sends requests with their path byte for byte, follows no redirects, and adds no headers of its own.
type client struct {
	base *url.URL
	http *http.Client
}

func newClient(base string) (*client, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("base URL %q is no http address", base)
	}
	// A connection per request, without a Connection: close header that the recorded requests do not have.
	return &client{base: u, http: &http.Client{
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: -1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// send returns what came until timeout. A connection that gives no answer is status 0, with the reason as the body.
func (c *client) send(ctx context.Context, r Request, timeout time.Duration) raw {
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body io.Reader
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base.String(), body)
	if err != nil {
		return raw{body: []byte("no response: " + err.Error())}
	}
	// Opaque goes onto the request line as it is: %2F, .. and // stay.
	req.URL = &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Opaque: c.base.Path + r.Path}
	req.Header["User-Agent"] = nil
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return raw{body: []byte("no response: TimeoutError")}
	}
	if err != nil {
		return raw{body: []byte("no response: " + err.Error())}
	}
	defer resp.Body.Close()
	// A stream is cut by the timeout; what came counts.
	data, _ := io.ReadAll(resp.Body)
	return raw{resp.StatusCode, resp.Header, data}
}

// cookie is the value of a cookie that the answer sets.
func (r raw) cookie(name string) (string, bool) {
	for _, line := range r.header.Values("set-cookie") {
		if rest, ok := strings.CutPrefix(line, name+"="); ok && !strings.HasPrefix(rest, ";") {
			value, _, _ := strings.Cut(rest, ";")
			return value, true
		}
	}
	return "", false
}

// json decodes the body; nil if it is no JSON document.
func (r raw) json() any {
	var v any
	if json.Unmarshal(r.body, &v) != nil {
		return nil
	}
	return v
}

var (
	patternCookie  = regexp.MustCompile(`^([^=]+)=[^;]*`)
	patternMessage = regexp.MustCompile(`decodeURIComponent\('([^']*)'\)`)
)

// answer brings what came into the form of recordings. hide replaces tokens and captured values in a text.
func (r raw) answer(hide func(string) string) Answer {
	a := Answer{Status: r.status, Header: map[string][]string{}}
	for _, name := range comparedHeaders {
		if v := r.header.Values(name); len(v) > 0 {
			a.Header[name] = []string{hide(v[0])}
		}
	}
	for _, cookie := range r.header.Values("set-cookie") {
		a.Header["set-cookie"] = append(a.Header["set-cookie"], patternCookie.ReplaceAllString(cookie, "$1=…"))
	}
	sort.Strings(a.Header["set-cookie"])
	text := strings.ToValidUTF8(string(r.body), "\uFFFD")
	hidden := hide(text)
	var body any
	switch {
	case strings.HasPrefix(r.header.Get("content-type"), "text/event-stream"):
		body = map[string]any{"$sse": events(hidden)}
	case json.Unmarshal([]byte(hidden), &body) == nil && body != nil:
	case len([]rune(text)) >= 20000:
		// Of long texts, such as bundles, the recordings keep the head and the length.
		runes := []rune(text)
		body = map[string]any{"length": float64(len(runes)), "head": hide(string(runes[:2000]))}
	default:
		body = hidden
	}
	a.Body = body
	a.JWT = decodeTokens(text, hide)
	if m := patternMessage.FindStringSubmatch(text); m != nil {
		if decoded, err := url.PathUnescape(m[1]); err == nil {
			// A message that is no JSON stays nil and is reported as missing.
			_ = json.Unmarshal([]byte(hide(decoded)), &a.Message)
		}
	}
	return a
}

// events decodes the blocks of a text/event-stream.
func events(text string) []any {
	out := []any{}
	for _, block := range strings.Split(text, "\n\n") {
		event := map[string]any{}
		for _, line := range strings.Split(block, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				event[name] = value
			}
		}
		if len(event) == 0 {
			continue
		}
		if data, ok := event["data"].(string); ok {
			var v any
			if json.Unmarshal([]byte(data), &v) == nil {
				event["data"] = v
			}
		}
		out = append(out, event)
	}
	return out
}

// decodeTokens returns header and payload of every token in text, nil if there is none.
func decodeTokens(text string, hide func(string) string) any {
	var out []any
	for _, token := range patternJWT.FindAllString(text, -1) {
		parts := strings.Split(token, ".")
		var header, payload any
		if decodeSegment(parts[0], hide, &header) && decodeSegment(parts[1], hide, &payload) {
			out = append(out, map[string]any{"header": header, "payload": payload})
		}
	}
	if out == nil {
		return nil
	}
	return out
}

func decodeSegment(s string, hide func(string) string, out *any) bool {
	data, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && json.Unmarshal([]byte(hide(string(bytes.TrimSpace(data)))), out) == nil
}

// clone copies an answer so that a deviation can be applied to it.
func (a Answer) clone() Answer {
	header := make(map[string][]string, len(a.Header))
	for k, v := range a.Header {
		header[k] = slices.Clone(v)
	}
	a.Header = header
	return a
}
