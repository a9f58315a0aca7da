package rootserver

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
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
	url := config.MaskCredentials(r.RequestURI)
	version := strings.TrimPrefix(r.Proto, "HTTP/")
	referrer, agent := config.MaskCredentials(r.Referer()), r.UserAgent()
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

// systemNow is the clock of servers that are given none.
func systemNow() time.Time { return time.Now() }
