package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// The table has the columns of contract/backend.md section 10, and run_number, which
// names the lock of the next run.
var (
	createTable = db.SQL{
		Postgres: `CREATE TABLE IF NOT EXISTS backstage_backend_tasks__tasks (
			id text PRIMARY KEY, settings_json text NOT NULL, next_run_start_at timestamptz,
			current_run_ticket text, current_run_started_at timestamptz, current_run_expires_at timestamptz,
			last_run_ended_at timestamptz, last_run_error_json text, run_number bigint NOT NULL DEFAULT 0)`,
		SQLite: `CREATE TABLE IF NOT EXISTS backstage_backend_tasks__tasks (
			id TEXT PRIMARY KEY, settings_json TEXT NOT NULL, next_run_start_at INTEGER,
			current_run_ticket TEXT, current_run_started_at INTEGER, current_run_expires_at INTEGER,
			last_run_ended_at INTEGER, last_run_error_json TEXT, run_number INTEGER NOT NULL DEFAULT 0)`,
	}
	// A registration takes over the settings. It moves the next run forward only if the
	// task is due later than it says, so that restarts do not put runs off.
	register = db.Same(`INSERT INTO backstage_backend_tasks__tasks (id, settings_json, next_run_start_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET settings_json = excluded.settings_json,
		next_run_start_at = CASE WHEN excluded.next_run_start_at IS NULL THEN backstage_backend_tasks__tasks.next_run_start_at
			WHEN backstage_backend_tasks__tasks.next_run_start_at IS NULL OR backstage_backend_tasks__tasks.next_run_start_at > excluded.next_run_start_at
			THEN excluded.next_run_start_at ELSE backstage_backend_tasks__tasks.next_run_start_at END`)
	selectTasks = db.List(`SELECT id, next_run_start_at, current_run_ticket, current_run_started_at, current_run_expires_at,
		last_run_ended_at, last_run_error_json, run_number FROM backstage_backend_tasks__tasks WHERE id IN ($1...)`)
	claim = db.Same(`UPDATE backstage_backend_tasks__tasks SET current_run_ticket = $2, current_run_started_at = $3, current_run_expires_at = $4
		WHERE id = $1 AND current_run_ticket IS NULL AND run_number = $5 AND next_run_start_at <= $3`)
	// finish ends the run that still has the ticket.
	finish = db.Same(`UPDATE backstage_backend_tasks__tasks SET current_run_ticket = NULL, current_run_started_at = NULL, current_run_expires_at = NULL,
		last_run_ended_at = $3, last_run_error_json = $4, next_run_start_at = $5, run_number = run_number + 1
		WHERE id = $1 AND current_run_ticket = $2`)
	trigger = db.Same(`UPDATE backstage_backend_tasks__tasks SET next_run_start_at = $2 WHERE id = $1 AND current_run_ticket IS NULL`)
	// The row lock keeps the ticket until the transaction ends. A process that is paused in
	// it would keep others out for as long; so the server ends a transaction that does
	// nothing for five seconds.
	holds = db.SQL{
		Postgres: `SELECT (SELECT count(*) FROM (SELECT 1 FROM backstage_backend_tasks__tasks WHERE id = $1 AND current_run_ticket = $2 FOR SHARE) AS held)
			WHERE set_config('idle_in_transaction_session_timeout', '5000', true) IS NOT NULL`,
		SQLite: `SELECT count(*) FROM backstage_backend_tasks__tasks WHERE id = $1 AND current_run_ticket = $2`,
	}
)

// A row is a task in the database.
type row struct {
	id                     string
	next, started, expires time.Time // zero: none
	ended                  time.Time
	ticket                 string
	lastError              string // JSON, or empty
	number                 int64
}

// settings is settings_json.
type settings struct {
	Version      int    `json:"version"`
	Cadence      string `json:"cadence"`
	InitialDelay string `json:"initialDelayDuration,omitempty"`
	Timeout      string `json:"timeoutAfterDuration"`
}

// create makes the table unless this process knows that it is there. Two replicas that
// create it at once can collide, in more than one way: the second try finds it.
func (s *Scheduler) create(ctx context.Context) error {
	if s.created.Load() {
		return nil
	}
	var err error
	for range 2 {
		if _, err = s.DB.Exec(ctx, createTable); err == nil {
			s.created.Store(true)
			return nil
		}
	}
	return err
}

func (s *Scheduler) rows(ctx context.Context, ids []string) (map[string]row, error) {
	rows, err := s.DB.Query(ctx, selectTasks, ids)
	if err != nil {
		return nil, err
	}
	list, err := db.Collect(rows, func(r db.Row, out *row) error {
		var next, started, expires, ended db.Time
		var ticket, lastError *string
		err := r.Scan(&out.id, &next, &ticket, &started, &expires, &ended, &lastError, &out.number)
		out.next, out.started, out.expires, out.ended = next.Time, started.Time, expires.Time, ended.Time
		if ticket != nil {
			out.ticket = *ticket
		}
		if lastError != nil {
			out.lastError = *lastError
		}
		return err
	})
	out := make(map[string]row, len(list))
	for _, r := range list {
		out[r.id] = r
	}
	return out, err
}

// end writes the outcome of a run, and reports whether the run still had its ticket.
func (s *Scheduler) end(ctx context.Context, id, ticket string, failure error, next time.Time) (bool, error) {
	var text *string
	if failure != nil {
		b, err := json.Marshal(map[string]string{"name": "Error", "message": failure.Error()})
		if err != nil {
			return false, err
		}
		t := string(b)
		text = &t
	}
	n, err := s.DB.Exec(ctx, finish, id, ticket, db.At(s.Now()), text, db.At(next))
	return n == 1, err
}

// ErrFenced says that a run is not the current one of its task any more.
var ErrFenced = errors.New("this run of the task is over: its time has ended, it was cancelled, or another replica has taken it over")

// A Fence is in the context of every run of a global task.
type Fence struct{ id, ticket string }

type fenceKey struct{}

// Check fails with ErrFenced unless the run of ctx still holds its ticket. On a
// transaction it also keeps others from taking the ticket away until that ends. Outside
// of a run there is nothing to check.
func Check(ctx context.Context, c db.Conn) error {
	f, ok := ctx.Value(fenceKey{}).(Fence)
	if !ok {
		return nil
	}
	var n int
	if err := c.QueryRow(ctx, holds, f.id, f.ticket).Scan(&n); err != nil {
		return fmt.Errorf("check the ticket of task %s: %w", f.id, err)
	}
	if n != 1 {
		return fmt.Errorf("task %s: %w", f.id, ErrFenced)
	}
	return nil
}
