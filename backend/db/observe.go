package db

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// An Observer is told of every statement sent to a database, also of those through
// Conn.Pgx, of BEGIN and COMMIT on PostgreSQL, and of migrations. A batch is one
// call for each of its statements; COPY is one call. plugin is the plugin's id.
//
// It is called before the statement from the goroutine that runs it, and returns a
// function that is called with the outcome, or nil. Arguments are not passed on:
// they may be secrets.
type Observer func(ctx context.Context, plugin, statement string) (done func(error))

func (o Observer) start(ctx context.Context, plugin, statement string) func(error) {
	if o == nil {
		return func(error) {}
	}
	if done := o(ctx, plugin, statement); done != nil {
		return done
	}
	return func(error) {}
}

// pgxTracer reports to an Observer what pgx does, whichever handle was used, and to
// reconnects whether connecting works.
type pgxTracer struct {
	observe    Observer
	plugin     string
	server     string
	reconnects *reconnects
}

var (
	_ pgx.QueryTracer    = pgxTracer{}
	_ pgx.BatchTracer    = pgxTracer{}
	_ pgx.CopyFromTracer = pgxTracer{}
	_ pgx.ConnectTracer  = pgxTracer{}
)

type (
	traceKey   struct{}
	connectKey struct{} // in the context of an attempt to connect
)

func (t pgxTracer) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return context.WithValue(ctx, connectKey{}, true)
}

func (t pgxTracer) TraceConnectEnd(ctx context.Context, d pgx.TraceConnectEndData) {
	t.reconnects.connected(ctx, t.server, d.Err)
}

func (t pgxTracer) begin(ctx context.Context, statement string) context.Context {
	if t.observe == nil {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, t.observe.start(ctx, t.plugin, statement))
}

func (t pgxTracer) end(ctx context.Context, err error) {
	if done, ok := ctx.Value(traceKey{}).(func(error)); ok {
		done(err)
	}
}

func (t pgxTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return t.begin(ctx, d.SQL)
}

func (t pgxTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	t.end(ctx, d.Err)
}

func (t pgxTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery is the only call that a statement of a batch gets, so it is begin and end.
func (t pgxTracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	t.observe.start(ctx, t.plugin, d.SQL)(d.Err)
}

func (t pgxTracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (t pgxTracer) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromStartData) context.Context {
	return t.begin(ctx, "COPY "+d.TableName.Sanitize())
}

func (t pgxTracer) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromEndData) {
	t.end(ctx, d.Err)
}
