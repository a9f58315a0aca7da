// Package audit writes what somebody must be able to look up later: who did what, from
// where, and how it ended (contract/backend.md section 11). Events are records of the
// log, marked with isAuditEvent, so that they go wherever the log goes.
package audit

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/logging"
	"github.com/callboard-dev/callboard/backend/principal"
)

// Severity is how much an event matters.
type Severity string

// The severities, least first.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Config is backend.auditor.
type Config struct {
	SeverityLogLevelMappings Levels `config:"severityLogLevelMappings" doc:"the log level of events of each severity"`
}

// Levels are the log levels of severities.
type Levels struct {
	Low      string `config:"low" oneof:"error|warn|info|debug" doc:"debug if absent"`
	Medium   string `config:"medium" oneof:"error|warn|info|debug" doc:"info if absent"`
	High     string `config:"high" oneof:"error|warn|info|debug" doc:"info if absent"`
	Critical string `config:"critical" oneof:"error|warn|info|debug" doc:"info if absent"`
}

// level returns the level of a severity. Names were checked when the section was decoded.
func (l Levels) level(s Severity) slog.Level {
	name, otherwise := l.Low, slog.LevelDebug
	switch s {
	case Medium:
		name, otherwise = l.Medium, slog.LevelInfo
	case High:
		name, otherwise = l.High, slog.LevelInfo
	case Critical:
		name, otherwise = l.Critical, slog.LevelInfo
	}
	if level, err := logging.ParseLevel(name); err == nil {
		return level
	}
	return otherwise
}

// Event is what is about to happen.
type Event struct {
	// ID names the kind of event within the plugin, in lower case with dashes: "entity-fetch".
	ID string
	// Severity is Low if empty.
	Severity Severity
	// Request is what asks for it; nil if nobody does.
	Request *http.Request
	// Meta says more. It must have a JSON form.
	Meta map[string]any
}

// An Auditor audits the events of one plugin. It is safe for concurrent use.
type Auditor struct {
	plugin string
	levels Levels
	log    *slog.Logger
}

// New returns the auditor of a plugin; log is the plugin's.
func New(plugin string, cfg Config, log *slog.Logger) *Auditor {
	return &Auditor{plugin: plugin, levels: cfg.SeverityLogLevelMappings, log: log}
}

// Begin records that an event has begun.
func (a *Auditor) Begin(ctx context.Context, e Event) *Begun {
	if e.Severity == "" {
		e.Severity = Low
	}
	b := &Begun{a: a, ctx: context.WithoutCancel(ctx), e: e}
	b.write("initiated", e.Meta, nil)
	return b
}

// Begun is an event that waits for its outcome. The first outcome counts.
type Begun struct {
	a     *Auditor
	ctx   context.Context // of the log: the trace that the event is part of
	e     Event
	ended atomic.Bool
}

// Success records that it happened. meta is added to that of the event and may be nil.
func (b *Begun) Success(meta map[string]any) { b.end("succeeded", meta, nil) }

// Fail records that it did not happen, and why.
func (b *Begun) Fail(err error, meta map[string]any) { b.end("failed", meta, err) }

func (b *Begun) end(status string, meta map[string]any, err error) {
	if b.ended.Swap(true) {
		return
	}
	all := map[string]any{}
	for _, m := range []map[string]any{b.e.Meta, meta} {
		for k, v := range m {
			all[k] = v
		}
	}
	b.write(status, all, err)
}

func (b *Begun) write(status string, meta map[string]any, err error) {
	level := b.a.levels.level(b.e.Severity)
	if !b.a.log.Enabled(b.ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.Any("actor", b.actor()), slog.String("eventId", b.e.ID), slog.Bool("isAuditEvent", true),
		slog.String("severityLevel", string(b.e.Severity)), slog.String("status", status),
	}
	if len(meta) > 0 {
		attrs = append(attrs, slog.Any("meta", masked(meta)))
	}
	if r := b.e.Request; r != nil {
		attrs = append(attrs, slog.Any("request", map[string]string{"method": r.Method, "url": config.MaskCredentials(original(r))}))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	b.a.log.LogAttrs(b.ctx, level, b.a.plugin+"."+b.e.ID, attrs...)
}

// original is the URL as the client sent it, with the prefix that the mount has stripped.
func original(r *http.Request) string {
	if r.RequestURI != "" {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// actor is who asks. What happens without a request is the doing of whoever ctx says
// is served, or of the plugin itself.
func (b *Begun) actor() map[string]string {
	out := map[string]string{}
	r := b.e.Request
	if r == nil {
		out["actorId"] = "plugin:" + b.a.plugin
		if c := httpx.CallerFrom(b.ctx); c.Type() != principal.TypeNone {
			out["actorId"] = c.String()
		}
		return out
	}
	if c := httpx.CallerOf(r); c.Type() != principal.TypeNone {
		out["actorId"] = c.String()
	}
	client := httpx.ClientOf(r)
	if client.IP.IsValid() {
		out["ip"] = client.IP.String()
	}
	if host := hostname(client.Host); host != "" {
		out["hostname"] = host
	}
	if agent := r.UserAgent(); agent != "" {
		out["userAgent"] = agent
	}
	return out
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// masked returns v without the values of members that are secrets by their name. Secrets
// of the configuration are masked by the log itself, wherever they stand.
func masked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, el := range v {
			if secret(k) {
				el = "***"
			}
			out[k] = masked(el)
		}
		return out
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, el := range v {
			out[k] = el
		}
		return masked(out)
	case []any:
		out := make([]any, len(v))
		for i, el := range v {
			out[i] = masked(el)
		}
		return out
	case error:
		return v.Error() // encoding/json makes {} of most errors
	}
	return v
}

// secret reports whether a member of this name holds a secret, or several.
func secret(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	for _, end := range []string{"password", "secret", "secrets", "token", "authorization", "apikey", "privatekey", "cookie"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
