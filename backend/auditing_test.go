package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// audited returns the audit events of a log as JSON without what differs between runs.
func audited(t *testing.T, log *logtest.Buffer) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record["isAuditEvent"] != true {
			continue
		}
		delete(record, "time")
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

func TestAuditEvents(t *testing.T) {
	t.Parallel()
	cfg, err := backendtest.Config(t, `
backend:
  auditor: {severityLogLevelMappings: {low: info, critical: error}}
  auth: {externalAccess: [{type: static, options: {token: canary-of-a-token, subject: robot}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	log := &logtest.Buffer{}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.NewJSONHandler(log, nil)), backend.Development())
	b.Add(backend.NewPlugin("tools", fx.Invoke(func(r backend.Router, a backend.Auditor) {
		r.Handle("POST /run/{how}", func(w http.ResponseWriter, r *http.Request) error {
			e := a.CreateEvent(r.Context(), backend.AuditEvent{ID: "tool-execution", Severity: backend.AuditMedium, Request: r,
				Meta: map[string]any{"toolName": "search.query", "input": map[string]any{"apiToken": "canary-1", "list": []any{map[string]any{"password": "canary-2"}}},
					"secret": config.NewSecret("canary-3")}})
			if r.PathValue("how") == "fail" {
				e.Fail(errors.New("no such tool"), nil)
			}
			e.Success(map[string]any{"results": 3}) // after a failure it changes nothing
			return httpx.Empty(w, http.StatusNoContent)
		})
		r.Handle("GET /plain", func(w http.ResponseWriter, r *http.Request) error {
			a.CreateEvent(r.Context(), backend.AuditEvent{ID: "look"}).Success(nil)
			a.CreateEvent(context.Background(), backend.AuditEvent{ID: "tidy-up", Severity: backend.AuditCritical})
			return httpx.Empty(w, http.StatusNoContent)
		})
	})))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Stop(context.Background())
	for _, call := range []string{"POST /run/well?code=canary-4", "POST /run/fail", "GET /plain"} {
		method, path, _ := strings.Cut(call, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+b.Addr().String()+"/api/tools"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer canary-of-a-token")
		req.Header.Set("User-Agent", "curl/7.88.1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	const (
		actor = `"actor":{"actorId":"robot","hostname":"127.0.0.1","ip":"127.0.0.1","userAgent":"curl/7.88.1"},`
		input = `"input":{"apiToken":"***","list":[{"password":"***"}]},`
		event = `"eventId":"tool-execution","isAuditEvent":true,"level":"INFO",`
		tail  = `"msg":"tools.tool-execution","plugin":"tools",`
		more  = `"severityLevel":"medium","status":`
		well  = `"request":{"method":"POST","url":"/api/tools/run/well?code=***"},`
		fail  = `"request":{"method":"POST","url":"/api/tools/run/fail"},`
	)
	for i, want := range []string{
		`{` + actor + event + `"meta":{` + input + `"secret":"***","toolName":"search.query"},` + tail + well + more + `"initiated"}`,
		`{` + actor + event + `"meta":{` + input + `"results":3,"secret":"***","toolName":"search.query"},` + tail + well + more + `"succeeded"}`,
		`{` + actor + event + `"meta":{` + input + `"secret":"***","toolName":"search.query"},` + tail + fail + more + `"initiated"}`,
		`{` + actor + `"error":"no such tool",` + event + `"meta":{` + input + `"secret":"***","toolName":"search.query"},` + tail + fail + more + `"failed"}`,
		`{"actor":{"actorId":"robot"},"eventId":"look","isAuditEvent":true,"level":"INFO","msg":"tools.look","plugin":"tools","severityLevel":"low","status":"initiated"}`,
		`{"actor":{"actorId":"robot"},"eventId":"look","isAuditEvent":true,"level":"INFO","msg":"tools.look","plugin":"tools","severityLevel":"low","status":"succeeded"}`,
		`{"actor":{"actorId":"plugin:tools"},"eventId":"tidy-up","isAuditEvent":true,"level":"ERROR","msg":"tools.tidy-up","plugin":"tools","severityLevel":"critical","status":"initiated"}`,
	} {
		got := audited(t, log)
		if i >= len(got) || got[i] != want {
			t.Errorf("event %d:\ngot  %s\nwant %s", i, got[min(i, len(got)-1)], want)
		}
	}
	if strings.Contains(log.String(), "canary") {
		t.Error("a secret is in the log")
	}
}

func TestSeverityLevelsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := backendtest.Boot(t, `backend: {auditor: {severityLogLevelMappings: {high: loud}}}`)
	if err == nil || !strings.Contains(err.Error(), "backend.auditor.severityLogLevelMappings.high") {
		t.Errorf("got %v", err)
	}
}

// A plugin whose audit events also go elsewhere: the Auditor of every plugin is replaced
// by one that tells a second place.
func ExampleAuditor() {
	done := make(chan struct{})
	vault := backend.NewPlugin("vault", fx.Invoke(func(a backend.Auditor, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) {
			a.CreateEvent(ctx, backend.AuditEvent{ID: "unseal", Severity: backend.AuditHigh}).Success(nil)
			close(done)
		}))
	}))
	twice := backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
		return told{id, base}, nil
	})
	runExample(done, vault, twice)
	// Output: vault.unseal
}

type told struct {
	id   backend.PluginID
	next backend.Auditor
}

func (a told) CreateEvent(ctx context.Context, e backend.AuditEvent) backend.AuditedEvent {
	fmt.Printf("%s.%s\n", a.id, e.ID)
	return a.next.CreateEvent(ctx, e)
}
