package telemetry

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// maxStatement bounds how much of a statement a span holds.
const maxStatement = 2048

// Statement is a db.Observer. Statements become spans where they are part of a trace;
// polling on nobody's behalf does not start one. Texts of errors may quote values, which
// may be secrets, so only their code is noted.
func (t *Telemetry) Statement(ctx context.Context, plugin, statement string) func(error) {
	l := t.live.Load()
	if l == nil || l.tracer == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	text := strings.TrimSpace(statement)
	verb := operation(text)
	if len(text) > maxStatement {
		text = strings.ToValidUTF8(text[:maxStatement], "") + "…"
	}
	_, span := l.tracer.Start(ctx, verb, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", t.opts.System), attribute.String("db.operation.name", verb),
		attribute.String("db.query.text", text), attribute.String("backstage.plugin.id", plugin)))
	return func(err error) {
		if err != nil {
			var coded interface{ SQLState() string }
			if errors.As(err, &coded) {
				span.SetAttributes(attribute.String("db.response.status_code", coded.SQLState()))
			}
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// operation is the first word of a statement.
func operation(text string) string {
	if i := strings.IndexFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }); i > 0 {
		text = text[:i]
	}
	if text == "" || len(text) > 20 {
		return "SQL"
	}
	return strings.ToUpper(text)
}
