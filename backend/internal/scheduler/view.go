package scheduler

import (
	"context"
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// A View is a task as GET /.backstage/scheduler/v1/tasks shows it.
type View struct {
	TaskID   string      `json:"taskId"`
	PluginID string      `json:"pluginId"`
	Scope    string      `json:"scope"`
	Settings settings    `json:"settings"`
	Task     *taskView   `json:"taskState"`
	Worker   *workerView `json:"workerState"`
}

type taskView struct {
	Status         string `json:"status"`
	StartedAt      string `json:"startedAt,omitempty"`
	TimesOutAt     string `json:"timesOutAt,omitempty"`
	StartsAt       string `json:"startsAt,omitempty"`
	LastRunEndedAt string `json:"lastRunEndedAt,omitempty"`
	LastRunError   string `json:"lastRunError,omitempty"`
}

type workerView struct {
	Status string `json:"status"`
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000-07:00")
}

// Tasks describes all tasks.
func (s *Scheduler) Tasks(ctx context.Context) ([]View, error) {
	_, ids := s.global()
	var rows map[string]row
	if len(ids) > 0 {
		if err := s.create(ctx); err != nil {
			return nil, err
		}
		var err error
		if rows, err = s.rows(ctx, ids); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []View{}
	for _, id := range s.order {
		t := s.tasks[id]
		v := View{TaskID: id, PluginID: s.Plugin, Scope: t.schedule.Scope, Settings: t.settings(), Worker: &workerView{t.state}}
		r, ok := rows[id]
		if t.schedule.Scope == "local" {
			r, ok = row{next: t.local.next, ended: t.local.ended, lastError: t.local.lastError}, true
			if t.stop != nil {
				r.ticket, r.started, r.expires = "local", t.local.started, t.local.started.Add(t.schedule.Timeout.Std())
			}
		}
		if ok {
			v.Task = &taskView{Status: "idle", StartsAt: timeText(r.next), LastRunEndedAt: timeText(r.ended), LastRunError: r.lastError}
			if r.ticket != "" {
				v.Task.Status, v.Task.StartsAt = "running", ""
				v.Task.StartedAt, v.Task.TimesOutAt = timeText(r.started), timeText(r.expires)
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// Prefix is where the routes are, below the plugin's mount.
const Prefix = "/.backstage/scheduler/v1/"

// Patterns lists the routes that Routes adds.
func Patterns() []string {
	return []string{"GET " + Prefix + "tasks", "POST " + Prefix + "tasks/{id}/trigger", "POST " + Prefix + "tasks/{id}/cancel"}
}

// Routes adds the REST API to mux.
func (s *Scheduler) Routes(mux *httpx.Mux) error {
	list := func(w http.ResponseWriter, r *http.Request) error {
		tasks, err := s.Tasks(r.Context())
		if err != nil {
			return err
		}
		return httpx.JSON(w, http.StatusOK, map[string]any{"tasks": tasks})
	}
	order := func(do func(context.Context, string) error) httpx.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) error {
			if err := do(r.Context(), r.PathValue("id")); err != nil {
				return err
			}
			return httpx.Empty(w, http.StatusOK)
		}
	}
	for i, h := range []httpx.HandlerFunc{list, order(s.Trigger), order(s.Cancel)} {
		if err := mux.Handle(Patterns()[i], h); err != nil {
			return err
		}
	}
	return nil
}
