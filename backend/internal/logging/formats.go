package logging

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// JSON writes one object per line: timestamp, level, message, service, and the fields.
// Durations are texts such as "1.5s".
func JSON(w io.Writer) slog.Handler {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch a.Value.Kind() {
		case slog.KindDuration:
			return slog.String(a.Key, a.Value.Duration().String()) // a bare number would have no unit
		case slog.KindAny:
			if b, ok := a.Value.Any().([]byte); ok {
				return slog.String(a.Key, string(b)) // in base64 nobody would find a secret
			}
		}
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			return slog.String("timestamp", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
		case slog.LevelKey:
			return slog.String("level", levelName(a.Value.Any().(slog.Level)))
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}})
	return h.WithAttrs([]slog.Attr{slog.String("service", "backstage")})
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}

// Pretty writes lines for people: time, plugin, level, message, key=value. Colours
// only if color is set.
func Pretty(w io.Writer, color bool) slog.Handler {
	return &pretty{w: w, mu: new(sync.Mutex), color: color}
}

type pretty struct {
	w      io.Writer
	mu     *sync.Mutex
	color  bool
	plugin string
	attrs  string // already formatted
	prefix string // of the open groups
}

func (h *pretty) Enabled(context.Context, slog.Level) bool { return true }

func (h *pretty) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		if a.Key == "plugin" && h.prefix == "" {
			c.plugin = a.Value.String()
			continue
		}
		h.format(&b, h.prefix, a)
	}
	c.attrs = b.String()
	return &c
}

func (h *pretty) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}

func (h *pretty) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(h.paint("90", r.Time.UTC().Format("2006-01-02T15:04:05.000Z")))
	plugin := h.plugin
	if plugin == "" {
		plugin = "backend"
	}
	b.WriteString(" " + h.paint("34", plugin) + " ")
	b.WriteString(h.paint(map[string]string{"error": "31", "warn": "33", "info": "32", "debug": "90"}[levelName(r.Level)], levelName(r.Level)))
	b.WriteString(" " + printable(r.Message) + h.attrs)
	r.Attrs(func(a slog.Attr) bool { h.format(&b, h.prefix, a); return true })
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func (h *pretty) format(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, m := range v.Group() {
			h.format(b, prefix, m)
		}
		return
	}
	s := v.String()
	if v.Kind() == slog.KindTime {
		s = v.Time().UTC().Format(time.RFC3339Nano)
	} else if raw, ok := v.Any().([]byte); ok {
		s = string(raw)
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '=' }) {
		s = strconv.Quote(s)
	}
	b.WriteString(" " + h.paint("36", prefix+a.Key+"=") + s)
}

// printable keeps what a user wrote from moving the cursor of a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

func (h *pretty) paint(code, s string) string {
	if !h.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
