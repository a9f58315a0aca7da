package rootserver

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// logRequest writes the line that follows every answer (contract/backend.md section 5).
func (s *Server) logRequest(r *http.Request, a *answer) {
	ctx := r.Context()
	if !s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	length := a.Header().Get("Content-Length")
	if length == "" && a.written > 0 {
		length = strconv.FormatInt(a.written, 10)
	}
	date := s.now().UTC().Format("2006-01-02T15:04:05.000Z")
	url := MaskQuery(r.RequestURI)
	version := strings.TrimPrefix(r.Proto, "HTTP/")
	referrer, agent := MaskQuery(r.Referer()), r.UserAgent()
	var b strings.Builder
	b.WriteString(`[` + date + `] "` + r.Method + ` ` + url + ` HTTP/` + version + `" `)
	b.WriteString(strconv.Itoa(status) + ` ` + orDash(length) + ` "` + orDash(referrer) + `" "` + orDash(agent) + `"`)
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs, slog.String("type", "incomingRequest"), slog.String("date", date), slog.String("method", r.Method),
		slog.String("url", url), slog.Int("status", status), slog.String("httpVersion", version))
	for _, opt := range []struct{ name, value string }{{"userAgent", agent}, {"referrer", referrer}} {
		if opt.value != "" {
			attrs = append(attrs, slog.String(opt.name, opt.value))
		}
	}
	if n, err := strconv.ParseInt(length, 10, 64); err == nil {
		attrs = append(attrs, slog.Int64("contentLength", n))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, b.String(), attrs...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// MaskQuery returns url without the values of query parameters that are credentials: sign-in
// redirects carry a code, and some clients put tokens into URLs.
func MaskQuery(url string) string {
	path, query, ok := strings.Cut(url, "?")
	if !ok {
		return url
	}
	parts := strings.Split(query, "&")
	masked := false
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if value == "" {
			continue
		}
		switch strings.ToLower(name) {
		case "code", "token", "access_token", "id_token", "refresh_token", "client_secret", "password", "secret", "api_key", "apikey":
			parts[i], masked = name+"=***", true
		}
	}
	if !masked {
		return url
	}
	return path + "?" + strings.Join(parts, "&")
}

// systemNow is the clock of servers that are given none.
func systemNow() time.Time { return time.Now() }
