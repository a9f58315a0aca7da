package proxy

import (
	"net"
	"net/http"
	"strings"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// usualHeaders pass in both directions (contract/backend.md section 16). The length of a body
// and the host are not copied: they follow from the message.
func usualHeaders() []string {
	return []string{"Cache-Control", "Content-Language", "Content-Type", "Expires", "Last-Modified", "Pragma", "Accept", "Accept-Language", "User-Agent"}
}

// hopByHop reports whether a header is about one connection (RFC 9110 section 7.6.1).
func hopByHop(canonical string) bool {
	switch canonical {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Http2-Settings", "Expect":
		return true
	}
	return false
}

// cookies reports whether a header carries cookies. They are those of the portal's own name in
// one direction, and would become that in the other.
func cookies(canonical string) bool {
	switch canonical {
	case "Cookie", "Set-Cookie", "Cookie2", "Set-Cookie2":
		return true
	}
	return false
}

// framing are headers that follow from the message and are never copied.
func framing(canonical string) bool { return canonical == "Content-Length" || canonical == "Host" }

// pass copies the headers that are allowed, except those that the sender has declared to be
// about its connection.
func pass(to, from http.Header, allowed map[string]bool) {
	for name, values := range from {
		if !allowed[name] || framing(name) || named(from["Connection"], name) {
			continue
		}
		to[name] = values
	}
}

// named reports whether a comma-separated list names a token.
func named(lines []string, token string) bool {
	for _, line := range lines {
		for el := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(el), token) {
				return true
			}
		}
	}
	return false
}

// header returns the headers of the request to the target.
func (r *route) header(in *http.Request) http.Header {
	out := make(http.Header, 8)
	pass(out, in.Header, r.requests)
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = nil // else the transport adds its own
	}
	if r.endpoint.XFwd {
		c := httpx.ClientOf(in)
		if c.IP.IsValid() { // a plugin of this process has none
			out["X-Forwarded-For"] = []string{c.IP.String()}
		}
		out["X-Forwarded-Proto"] = []string{c.Scheme}
		out["X-Forwarded-Host"] = []string{c.Host}
		out["X-Forwarded-Port"] = []string{portOf(c)}
	}
	if !r.endpoint.Auth.IsZero() {
		out["Authorization"] = []string{basic(r.endpoint.Auth)}
	}
	for _, h := range r.set {
		if h.name != "Host" {
			out[h.name] = []string{h.value.Reveal()}
		}
	}
	if !repeatable(in.Method) {
		hideRepeatKeys(out)
	}
	return out
}

func portOf(c httpx.Client) string {
	if _, port, err := net.SplitHostPort(c.Host); err == nil {
		return port
	}
	if c.Scheme == "https" {
		return "443"
	}
	return "80"
}

// hostFor is the Host that the target sees.
func (r *route) hostFor(in *http.Request) string {
	for _, h := range r.set {
		if h.name == "Host" {
			return h.value.Reveal()
		}
	}
	if r.endpoint.ChangeOrigin {
		return r.host
	}
	return in.Host
}

// repeatable reports whether the transport may send a request again when a connection that was
// kept open turns out to be closed.
func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}

// hideRepeatKeys keeps http.Transport from sending a request twice because of a header: it takes
// one with an Idempotency-Key for repeatable, and looks for that in canonical form. Whether to
// try again is for the client to decide, who knows what became of the first try.
func hideRepeatKeys(h http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}

// pageSandbox gives a page an origin of its own. Browsers would show it as one of the portal,
// where its scripts could act as whoever looks at it.
const pageSandbox = "sandbox allow-scripts allow-forms allow-popups allow-downloads"

// sandbox adds to the policy of an answer that is a page. Answers that scripts of the portal read,
// and pictures in its pages, are not affected by it.
func (r *route) sandbox(h http.Header) {
	if !r.endpoint.Sandbox {
		return
	}
	for _, kind := range h["Content-Type"] {
		kind, _, _ = strings.Cut(strings.ToLower(kind), ";")
		if strings.Contains(kind, "html") || strings.Contains(kind, "xml") {
			h["Content-Security-Policy"] = append(h["Content-Security-Policy"], pageSandbox)
			return
		}
	}
}
