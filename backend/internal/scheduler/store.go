package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// The table has the columns of contract/backend.md section 10, and run_number, which
// names the lock of the next run. A table that upstream has made is taken over.
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
	addNumber  = db.Same(`ALTER TABLE backstage_backend_tasks__tasks ADD COLUMN run_number bigint NOT NULL DEFAULT 0`)
	isComplete = db.SQL{
		Postgres: `SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('backstage_backend_tasks__tasks') AND attname = 'run_number' AND NOT attisdropped`,
		SQLite:   `SELECT count(*) FROM pragma_table_info('backstage_backend_tasks__tasks') WHERE name = 'run_number'`,
	}

	// A registration takes over the settings. It moves the next run of a known task to $4
	// if it is later than that, and never back, so that restarts neither put runs off nor
	// cause them. A run that was ordered of a manual task stays ordered.
	register = db.Same(`INSERT INTO backstage_backend_tasks__tasks (id, settings_json, next_run_start_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET settings_json = excluded.settings_json, next_run_start_at = CASE
			WHEN excluded.next_run_start_at IS NULL AND backstage_backend_tasks__tasks.settings_json = excluded.settings_json
				THEN backstage_backend_tasks__tasks.next_run_start_at
			WHEN backstage_backend_tasks__tasks.next_run_start_at IS NULL THEN excluded.next_run_start_at
			WHEN backstage_backend_tasks__tasks.next_run_start_at > $4 OR excluded.next_run_start_at IS NULL THEN $4
			ELSE backstage_backend_tasks__tasks.next_run_start_at END`)

	// What PostgreSQL's clock says comes along, and a row of it alone if there are no tasks.
	selectTasks = db.SQL{
		Postgres: `SELECT t.id, t.next_run_start_at, t.current_run_ticket, t.current_run_started_at, t.current_run_expires_at,
			t.last_run_ended_at, t.last_run_error_json, t.run_number, clock.now
			FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN backstage_backend_tasks__tasks AS t ON t.id = ANY($1)`,
		SQLite: `SELECT id, next_run_start_at, current_run_ticket, current_run_started_at, current_run_expires_at,
			last_run_ended_at, last_run_error_json, run_number, NULL
			FROM backstage_backend_tasks__tasks WHERE id IN (SELECT value FROM json_each($1))`,
	}

	claim = db.Same(`UPDATE backstage_backend_tasks__tasks SET current_run_ticket = $2, current_run_started_at = $3, current_run_expires_at = $4
		WHERE id = $1 AND current_run_ticket IS NULL AND run_number = $5 AND next_run_start_at <= $3`)
	// finish ends the run that still has the ticket.
	finish = db.Same(finishText + ` WHERE id = $1 AND current_run_ticket = $2`)
	// giveUp is finish for the runs of others. It passes by a row that somebody keeps: who
	// is paused in a transaction must not keep the tasks of everybody waiting.
	giveUp = db.SQL{
		Postgres: finishText + ` WHERE id = (SELECT id FROM backstage_backend_tasks__tasks WHERE id = $1 AND current_run_ticket = $2 FOR UPDATE SKIP LOCKED)`,
		SQLite:   finish.SQLite,
	}
	// skip leaves the lock of a run that never began to whoever took it.
	skip = db.Same(`UPDATE backstage_backend_tasks__tasks SET run_number = run_number + 1 WHERE id = $1 AND current_run_ticket IS NULL AND run_number = $2`)

	trigger = db.Same(`UPDATE backstage_backend_tasks__tasks SET next_run_start_at = $2 WHERE id = $1 AND current_run_ticket IS NULL`)

	holds = db.Same(`SELECT count(*) FROM backstage_backend_tasks__tasks WHERE id = $1 AND current_run_ticket = $2`)
	// keeps is holds for a transaction: the row lock keeps the ticket until that ends. A
	// process that is paused in it would keep others out for as long; so the server ends a
	// transaction that does nothing for five seconds.
	keeps = db.SQL{
		Postgres: `SELECT (SELECT count(*) FROM (SELECT 1 FROM backstage_backend_tasks__tasks WHERE id = $1 AND current_run_ticket = $2 FOR SHARE) AS held)
			WHERE set_config('idle_in_transaction_session_timeout', '5000', true) IS NOT NULL`,
		SQLite: holds.SQLite,
	}
)

const finishText = `UPDATE backstage_backend_tasks__tasks SET current_run_ticket = NULL, current_run_started_at = NULL, current_run_expires_at = NULL,
		last_run_ended_at = $3, last_run_error_json = $4, next_run_start_at = $5, run_number = run_number + 1`

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

func (t *task) settings() settings {
	out := settings{Version: 2, Cadence: t.schedule.Frequency.String(), Timeout: t.schedule.Timeout.ISO()}
	if t.schedule.InitialDelay > 0 {
		out.InitialDelay = t.schedule.InitialDelay.ISO()
	}
	return out
}

// create makes the table unless this process knows that it is there. Two replicas that
// create it at once can collide, in more than one way: the second try finds it.
func (s *Scheduler) create(ctx context.Context) error {
	if s.created.Load() {
		return nil
	}
	var err error
	for range 2 {
		if err = s.createOnce(ctx); err == nil {
			s.created.Store(true)
			return nil
		}
	}
	return fmt.Errorf("create the table of scheduled tasks: %w", err)
}

func (s *Scheduler) createOnce(ctx context.Context) error {
	// Looking first spares a role that may not create anything, and the lock of ALTER TABLE.
	for _, change := range []db.SQL{createTable, addNumber} {
		var n int
		if err := s.DB.QueryRow(ctx, isComplete).Scan(&n); err != nil || n > 0 {
			return err
		}
		if _, err := s.DB.Exec(ctx, change); err != nil {
			return err
		}
	}
	return nil
}

// rows reads tasks, and sets the clock.
func (s *Scheduler) rows(ctx context.Context, ids []string) (map[string]row, error) {
	asked := time.Now() // measures, also when clocks are set
	rows, err := s.DB.Query(ctx, selectTasks, ids)
	if err != nil {
		return nil, err
	}
	var server db.Time
	list, err := db.Collect(rows, func(r db.Row, out *row) error {
		var id, ticket, lastError *string
		var next, started, expires, ended db.Time
		var number *int64
		err := r.Scan(&id, &next, &ticket, &started, &expires, &ended, &lastError, &number, &server)
		if err != nil || id == nil {
			return err
		}
		*out = row{id: *id, next: next.Time, started: started.Time, expires: expires.Time, ended: ended.Time, number: *number}
		if ticket != nil {
			out.ticket = *ticket
		}
		if lastError != nil {
			out.lastError = *lastError
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !server.IsZero() {
		s.setClock(server.Time, time.Since(asked))
	}
	out := make(map[string]row, len(list))
	for _, r := range list {
		if r.id != "" {
			out[r.id] = r
		}
	}
	return out, nil
}

func (s *Scheduler) registerOne(ctx context.Context, t *task) error {
	text, err := json.Marshal(t.settings())
	if err != nil {
		return err
	}
	now := s.now()
	if _, err := s.DB.Exec(ctx, register, t.id, string(text), db.At(t.first(now)), db.At(t.latest(now))); err != nil {
		return fmt.Errorf("register task %s: %w", t.id, err)
	}
	return nil
}

// end writes the outcome of a run with finish or giveUp, and reports whether the run
// still had its ticket.
func (s *Scheduler) end(ctx context.Context, how db.SQL, id, ticket string, failure error, next time.Time) (bool, error) {
	var text *string
	if failure != nil {
		t := errorJSON(failure)
		text = &t
	}
	n, err := s.DB.Exec(ctx, how, id, ticket, db.At(s.now()), text, db.At(next))
	return n == 1, err
}

// errorJSON is an error as lastRunError shows it.
func errorJSON(err error) string {
	message := err.Error()
	if errors.Is(err, errTimedOut) {
		message = "Task timed out" // the words that clients know
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct { // two strings
		Name    string `json:"name"`
		Message string `json:"message"`
	}{"Error", strings.ToValidUTF8(message, "\uFFFD")})
	return strings.TrimSuffix(buf.String(), "\n")
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
	if err := c.QueryRow(ctx, keeps, f.id, f.ticket).Scan(&n); err != nil {
		return fmt.Errorf("check the ticket of task %s: %w", f.id, err)
	}
	if n != 1 {
		return fmt.Errorf("task %s: %w", f.id, ErrFenced)
	}
	return nil
}
