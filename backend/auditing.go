package backend

import (
	"context"
	"log/slog"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/internal/audit"
)

// Auditor records what somebody must be able to look up later: who did what, from where,
// and how it ended. It is injected into plugins and modules.
//
//	event := auditor.CreateEvent(ctx, backend.AuditEvent{ID: "entity-mutate", Severity: backend.AuditMedium, Request: r})
//	if err := change(); err != nil {
//		event.Fail(err, nil)
//		return err
//	}
//	event.Success(map[string]any{"entityRef": ref})
//
// An event is two records of the plugin's log with the message "<plugin>.<id>": one says
// status initiated, and the other succeeded or failed. backend.auditor.severityLogLevelMappings
// decides their level. Members of meta whose names are those of secrets are masked.
type Auditor interface {
	// CreateEvent records that something is about to happen.
	CreateEvent(ctx context.Context, e AuditEvent) AuditedEvent
}

// AuditEvent is what is about to happen.
type AuditEvent = audit.Event

// AuditSeverity is how much an event matters.
type AuditSeverity = audit.Severity

// The severities of events.
const (
	AuditLow      = audit.Low
	AuditMedium   = audit.Medium
	AuditHigh     = audit.High
	AuditCritical = audit.Critical
)

// AuditedEvent is an event whose outcome is not known yet. The first outcome counts.
type AuditedEvent interface {
	// Success records that it happened; meta is added to that of the event and may be nil.
	Success(meta map[string]any)
	// Fail records that it did not happen, and why.
	Fail(err error, meta map[string]any)
}

// pluginAuditor is the Auditor of one plugin.
type pluginAuditor struct{ *audit.Auditor }

// CreateEvent implements Auditor.
func (p pluginAuditor) CreateEvent(ctx context.Context, e AuditEvent) AuditedEvent {
	return p.Begin(ctx, e)
}

// auditServices is the auditor of a plugin, in its own scope.
func (c *core) auditServices(id PluginID) fx.Option {
	return fx.Provide(
		func(log *slog.Logger) Auditor {
			return pluginAuditor{audit.New(string(id), c.sections.Auditor, log)}
		},
		fx.Private,
	)
}
