package logging

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
)

// Redact returns a handler that gives next no text that redact has not seen: messages,
// and the values of fields, also within maps and lists. What else is no text is formatted,
// and stays what it is if redact finds nothing in it.
func Redact(next slog.Handler, redact func(string) string) slog.Handler {
	return redacting{next, redact}
}

type redacting struct {
	next   slog.Handler
	redact func(string) string
}

// Enabled implements slog.Handler.
func (h redacting) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithGroup implements slog.Handler.
func (h redacting) WithGroup(name string) slog.Handler {
	return redacting{h.next.WithGroup(h.redact(name)), h.redact}
}

// WithAttrs implements slog.Handler.
func (h redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return redacting{h.next.WithAttrs(h.attrs(attrs)), h.redact}
}

// Handle implements slog.Handler.
func (h redacting) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.redact(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

func (h redacting) attrs(in []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(in))
	for i, a := range in {
		out[i] = h.attr(a)
	}
	return out
}

func (h redacting) attr(a slog.Attr) slog.Attr {
	a.Key, a.Value = h.redact(a.Key), a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindGroup:
		a.Value = slog.GroupValue(h.attrs(a.Value.Group())...)
	case slog.KindString:
		a.Value = slog.StringValue(h.redact(a.Value.String()))
	case slog.KindAny:
		a.Value = slog.AnyValue(h.value(a.Value.Any()))
	}
	return a
}

// value redacts the texts in the containers that JSON has, and leaves those as they are.
func (h redacting) value(v any) any {
	switch v := v.(type) {
	case string:
		return h.redact(v)
	case []byte:
		return h.redact(string(v))
	case map[string]any:
		return mapped(v, h.value)
	case map[string]string:
		return mapped(v, h.redact)
	case []any:
		return listed(v, h.value)
	case []string:
		return listed(v, h.redact)
	}
	text := fmt.Sprintf("%+v", v)
	if shown := h.redact(text); shown != text {
		return shown
	}
	return v
}

func mapped[T any](in map[string]T, redact func(T) T) map[string]T {
	if in == nil {
		return nil
	}
	out := make(map[string]T, len(in))
	for k, v := range in {
		out[k] = redact(v)
	}
	return out
}

func listed[T any](in []T, redact func(T) T) []T {
	out := slices.Clone(in)
	for i, v := range out {
		out[i] = redact(v)
	}
	return out
}
