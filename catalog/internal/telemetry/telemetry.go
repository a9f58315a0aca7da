// Package telemetry measures and traces the catalog's engine (contract catalog.md, 3.12).
//
// A nil *Telemetry records nothing, so that the engine needs no other form for tests and
// tools. Names of metrics and spans are upstream's; what they mean is in docs/catalog.md.
package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// What a run, or a stitch, comes to.
const (
	Changed   = "changed"
	Unchanged = "unchanged"
	Errors    = "errors"    // of a run: processors reported some
	Failed    = "failed"    // of a run: its outcome could not be stored
	Abandoned = "abandoned" // of a stitch: the entity is gone, or there is nothing to serve
	Broken    = "error"     // of a stitch
)

// Telemetry holds the instruments. It is safe for concurrent use.
type Telemetry struct {
	tracer trace.Tracer

	processed, stitched, scm, ingestions, ingested             metric.Int64Counter
	processing, processors, queueDelay, stitching, stitchDelay metric.Float64Histogram
	// Names that dashboards of earlier releases have. They are up-down counters because
	// Prometheus exporters put _total behind the names of others.
	processedBefore, stitchedBefore metric.Int64UpDownCounter
}

// New makes the instruments.
func New(tracer trace.Tracer, meter metric.Meter) (*Telemetry, error) {
	t := &Telemetry{tracer: tracer}
	var errs []error
	counter := func(into *metric.Int64Counter, name, what string) {
		c, err := meter.Int64Counter(name, metric.WithDescription(what))
		*into, errs = c, append(errs, err)
	}
	before := func(into *metric.Int64UpDownCounter, name, what string) {
		c, err := meter.Int64UpDownCounter(name, metric.WithDescription(what))
		*into, errs = c, append(errs, err)
	}
	seconds := func(into *metric.Float64Histogram, name, what string) {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what))
		*into, errs = h, append(errs, err)
	}
	counter(&t.processed, "catalog.processed.entities.count", "Entities that were processed, by what it came to.")
	counter(&t.stitched, "catalog.stitched.entities.count", "Entities that were stitched, by what it came to.")
	before(&t.processedBefore, "catalog_processed_entities_count", "The same as catalog.processed.entities.count.")
	before(&t.stitchedBefore, "catalog_stitched_entities_count", "The same as catalog.stitched.entities.count.")
	counter(&t.scm, "catalog.events.scm.messages", "Events of source code hosts, by type.")
	counter(&t.ingestions, "catalog_incremental.ingestions.started", "Rounds of sources that are listed in bursts, begun.")
	counter(&t.ingested, "catalog_incremental.ingestions.completed", "Rounds of sources that are listed in bursts, completed.")
	seconds(&t.processing, "catalog.processing.duration", "How long processing one entity took.")
	seconds(&t.processors, "catalog.processors.duration", "How long all processors took for one entity.")
	seconds(&t.queueDelay, "catalog.processing.queue.delay", "How late entities were claimed for processing.")
	seconds(&t.stitching, "catalog.stitching.duration", "How long stitching one batch of entities took.")
	seconds(&t.stitchDelay, "catalog.stitching.queue.delay", "How late entities were claimed for stitching.")
	return t, errors.Join(errs...)
}

func result(r string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("result", r))
}

// Processed records one run.
func (t *Telemetry) Processed(ctx context.Context, came string) {
	if t != nil {
		t.processed.Add(ctx, 1, result(came))
		t.processedBefore.Add(ctx, 1, result(came))
	}
}

// Claimed records how late an entity was claimed for processing.
func (t *Telemetry) Claimed(ctx context.Context, late time.Duration) {
	if t != nil {
		t.queueDelay.Record(ctx, max(late, 0).Seconds())
	}
}

// Stitched records n stitches that came to the same.
func (t *Telemetry) Stitched(ctx context.Context, came string, n int) {
	if t != nil && n > 0 {
		t.stitched.Add(ctx, int64(n), result(came))
		t.stitchedBefore.Add(ctx, int64(n), result(came))
	}
}

// StitchClaimed records how late an entity was claimed for stitching.
func (t *Telemetry) StitchClaimed(ctx context.Context, late time.Duration) {
	if t != nil {
		t.stitchDelay.Record(ctx, max(late, 0).Seconds())
	}
}

// StitchBatch records how long a batch took.
func (t *Telemetry) StitchBatch(ctx context.Context, took time.Duration) {
	if t != nil {
		t.stitching.Record(ctx, took.Seconds())
	}
}

// SCMEvent records an event of a source code host.
func (t *Telemetry) SCMEvent(ctx context.Context, typ string) {
	if t != nil {
		t.scm.Add(ctx, 1, metric.WithAttributes(attribute.String("eventType", typ)))
	}
}

// IngestionStarted records that a round of a source that is listed in bursts began.
func (t *Telemetry) IngestionStarted(ctx context.Context, provider string) {
	if t != nil {
		t.ingestions.Add(ctx, 1, metric.WithAttributes(attribute.String("providerName", provider)))
	}
}

// IngestionCompleted records that a round was completed.
func (t *Telemetry) IngestionCompleted(ctx context.Context, provider string) {
	if t != nil {
		t.ingested.Add(ctx, 1, metric.WithAttributes(attribute.String("providerName", provider)))
	}
}

// Loop is a span about the claiming of n entities that are due.
func (t *Telemetry) Loop(ctx context.Context, n int) (end func()) {
	if t == nil {
		return func() {}
	}
	_, span := t.tracer.Start(ctx, "TaskPipelineLoop", trace.WithNewRoot(), trace.WithAttributes(attribute.Int("backstage.catalog.entities", n)))
	return func() { span.End() }
}

// Run is a span about the processing of one entity, and measures it. end says whether it
// failed.
func (t *Telemetry) Run(ctx context.Context) (_ context.Context, end func(failed bool)) {
	if t == nil {
		return ctx, func(bool) {}
	}
	start := time.Now()
	ctx, span := t.tracer.Start(ctx, "ProcessingRun", trace.WithNewRoot())
	return ctx, func(failed bool) {
		took := time.Since(start).Seconds()
		t.processing.Record(ctx, took)
		t.processors.Record(ctx, took)
		if failed {
			span.SetStatus(codes.Error, "") // the message may quote what a source holds
		}
		span.End()
	}
}

var (
	stageKey = attribute.Key("backstage.catalog.processor.stage")
	nameKey  = attribute.Key("backstage.catalog.processor.name")
)

// Stage is a span about one stage of processing.
func (t *Telemetry) Stage(ctx context.Context, stage string) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, "ProcessingStage", trace.WithAttributes(stageKey.String(stage)))
}

// Step is a span about what one processor does in a stage.
func (t *Telemetry) Step(ctx context.Context, stage, processor string) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, "ProcessingStep", trace.WithAttributes(stageKey.String(stage), nameKey.String(processor)))
}
