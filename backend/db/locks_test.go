package db_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

func TestLocksBelongToOneSession(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		ctx := t.Context()
		m := manager(t, fmt.Sprintf("{client: pg, connection: %q, pluginDivisionMode: schema}", s.Database(t)))
		first, second := locks(t, m), locks(t, m)
		take := func(l *db.Locks, name string, want bool) {
			t.Helper()
			if ok, err := l.TryLock(ctx, name); err != nil || ok != want {
				t.Errorf("lock %s: %v, want %v, %v", name, ok, want, err)
			}
		}
		take(first, "a", true)
		take(first, "a", false)
		take(second, "a", false)
		take(second, "b", true)
		if err := first.Unlock(ctx, "a"); err != nil {
			t.Error(err)
		}
		take(second, "a", true)
		if err := first.Unlock(ctx, "a"); err == nil {
			t.Error("a lock that is not held was given up")
		}
		if err := first.Check(ctx); err != nil {
			t.Error(err)
		}
		// The server ends the second session: its locks are free, and it knows.
		s.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = $1)", database(t, m))
		waitUntil(t, "the locks of an ended session", func() bool {
			ok, err := first.TryLock(ctx, "b")
			return ok && err == nil
		})
		if err := second.Check(ctx); !errors.Is(err, db.ErrLocksLost) {
			t.Errorf("the ended session says %v", err)
		}
		if _, err := second.TryLock(ctx, "c"); !errors.Is(err, db.ErrLocksLost) {
			t.Errorf("the ended session says %v", err)
		}
		first.Close()
		take(locks(t, m), "b", true)
	})
}

func TestLocksOnSQLiteAreOfTheProcess(t *testing.T) {
	t.Parallel()
	l := locks(t, manager(t, "{client: sqlite3, connection: ':memory:'}"))
	for _, want := range []bool{true, false} {
		if ok, err := l.TryLock(t.Context(), "a"); err != nil || ok != want {
			t.Error(ok, err)
		}
	}
	l.Close()
	if err := l.Check(t.Context()); !errors.Is(err, db.ErrLocksLost) {
		t.Error(err)
	}
}

func locks(t *testing.T, m *db.Manager) *db.Locks {
	t.Helper()
	l, err := m.Locks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func database(t *testing.T, m *db.Manager) (name string) {
	t.Helper()
	if err := m.Plugin("any").DB().QueryRow(t.Context(), db.Same("SELECT current_database()")).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLocksRefuseAPoolerInTransactionMode(t *testing.T) {
	t.Parallel()
	yaml := fmt.Sprintf("{client: pg, connection: 'postgres://u@127.0.0.1:%d/x', pluginDivisionMode: schema}", pgtest.Pooler(t))
	_, err := manager(t, yaml).Locks(t.Context())
	want := "backend.database.lockConnection: locks do not hold on 127.0.0.1: it is a pooler in transaction mode; name the PostgreSQL server itself here"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLockConnectionLeadsAroundThePooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"schema", "database"} {
		s := pgtest.Open(t, pgtest.Versions()[0])
		yaml := fmt.Sprintf("{client: pg, connection: 'postgres://u@127.0.0.1:%d/x', lockConnection: %q, pluginDivisionMode: %s}", pgtest.Pooler(t), withoutDatabase(s.Database(t)), mode)
		if mode == "schema" {
			yaml = fmt.Sprintf("{client: pg, connection: 'postgres://u@127.0.0.1:%d/x', lockConnection: %q, pluginDivisionMode: schema}", pgtest.Pooler(t), s.Database(t))
		}
		if ok, err := locks(t, manager(t, yaml)).TryLock(t.Context(), "a"); !ok || err != nil {
			t.Errorf("division mode %s: %v %v", mode, ok, err)
		}
	}
}

func withoutDatabase(url string) string {
	head, query, _ := strings.Cut(url, "?")
	return head[:strings.LastIndex(head, "/")] + "?" + query
}
