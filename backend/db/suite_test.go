package db_test

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

//go:embed testdata/migrations
var testdata embed.FS

// migrations creates the table things, version 2 is the newest.
var migrations = func() fs.FS {
	fsys, err := fs.Sub(testdata, "testdata/migrations")
	if err != nil {
		panic(err)
	}
	return fsys
}()

var (
	insertThing = db.Same(`INSERT INTO things (id) VALUES ($1)`)
	countThings = db.Same(`SELECT count(*) FROM things`)
)

// each is dbtest.Each, and once more in memory: what holds for the suite holds there.
func each(t *testing.T, test func(t *testing.T, d db.DB)) {
	t.Parallel()
	dbtest.Each(t, migrations, test)
	t.Run("SQLiteInMemory", func(t *testing.T) { test(t, dbtest.Memory(t, migrations)) })
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		at := time.Date(2026, 2, 3, 4, 5, 6, 789123456, time.FixedZone("", 3600))
		body := db.JSON(`{"a": [1, "<&>"]}`)
		insert := db.Same(`INSERT INTO things (raw, created_at, id, count, ratio, done, body) VALUES ($7, $6, $1, $2, $3, $4, $5)`)
		if n, err := d.Exec(ctx, insert, "x", int64(1)<<53, 0.5, true, body, db.At(at), []byte{0, 255}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		var (
			id      string
			count   int64
			ratio   *float64
			done    bool
			got     db.JSON
			created db.Time
			raw     []byte
			parent  *string
		)
		row := d.QueryRow(ctx, db.Same(`SELECT id, count, ratio, done, body, created_at, raw, parent FROM things WHERE id = $1 AND count > 0 AND $1 <> ''`), "x")
		if err := row.Scan(&id, &count, &ratio, &done, &got, &created, &raw, &parent); err != nil {
			t.Fatal(err)
		}
		var decoded map[string][]any
		if err := got.Decode(&decoded); err != nil {
			t.Error(err)
		}
		if id != "x" || count != 1<<53 || *ratio != 0.5 || !done || parent != nil || !reflect.DeepEqual(raw, []byte{0, 255}) || decoded["a"][1] != "<&>" {
			t.Errorf("got %v %v %v %v %v %v %s", id, count, *ratio, done, parent, raw, got)
		}
		if want := time.Date(2026, 2, 3, 3, 5, 6, 789123000, time.UTC); created.Time != want {
			t.Errorf("created_at is %v, want %v", created, want)
		}
		if n, err := d.Exec(ctx, db.Same(`UPDATE things SET ratio = 1 WHERE created_at <= $1 AND created_at >= $1`), db.At(at)); err != nil || n != 1 {
			t.Errorf("times do not compare: %d rows, %v", n, err)
		}
	})
}

func TestNullIsTheZeroValue(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		insert := db.Same(`INSERT INTO things (id, body, created_at, raw) VALUES ($1, $2, $3, $4)`)
		if _, err := d.Exec(ctx, insert, "x", db.JSON(nil), db.Time{}, []byte(nil)); err != nil {
			t.Fatal(err)
		}
		body, at, raw := db.JSON("{}"), db.At(time.Now()), []byte("x")
		row := d.QueryRow(ctx, db.Same(`SELECT body, created_at, raw FROM things WHERE body IS NULL AND created_at IS NULL AND raw IS NULL`))
		if err := row.Scan(&body, &at, &raw); err != nil || body != nil || !at.IsZero() || raw != nil {
			t.Errorf("got %s %v %v, %v", body, at, raw, err)
		}
		var id string
		if err := d.QueryRow(ctx, db.Same(`SELECT parent FROM things`)).Scan(&id); err == nil {
			t.Error("NULL was scanned into a string")
		}
	})
}

func TestDocumentsCanBeQueried(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		doc, err := db.JSONOf(map[string]any{"owner": "a&b"})
		if err != nil || string(doc) != `{"owner":"a&b"}` {
			t.Fatal(string(doc), err)
		}
		if _, err := d.Exec(ctx, db.Same(`INSERT INTO things (id, body) VALUES ($1, $2)`), "x", doc); err != nil {
			t.Fatal(err)
		}
		owner := db.SQL{
			Postgres: `SELECT body->>'owner' FROM things`,
			SQLite:   `SELECT json_extract(body, '$.owner') FROM things`,
		}
		var got string
		if err := d.QueryRow(ctx, owner).Scan(&got); err != nil || got != "a&b" {
			t.Errorf("got %q, %v", got, err)
		}
		var raw json.RawMessage
		if err := d.QueryRow(ctx, db.Same(`SELECT body FROM things`)).Scan(&raw); err != nil || !json.Valid(raw) {
			t.Errorf("got %s, %v", raw, err)
		}
	})
}

func TestNoRowIsErrNoRows(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		var id string
		query := db.Same(`SELECT id FROM things WHERE id = $1`)
		if err := d.QueryRow(t.Context(), query, "x").Scan(&id); !errors.Is(err, db.ErrNoRows) {
			t.Errorf("outside a transaction: %v", err)
		}
		err := d.Tx(t.Context(), func(c db.Conn) error { return c.QueryRow(t.Context(), query, "x").Scan(&id) })
		if !errors.Is(err, db.ErrNoRows) {
			t.Errorf("in a transaction: %v", err)
		}
	})
}

func TestListsMatchAnyOfTheirElements(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		insertThings(t, d, "a", "b", "c")
		for _, tt := range []struct {
			query string
			list  any
			want  int
		}{
			{query: `SELECT count(*) FROM things WHERE id IN ($1...)`, list: []string{"a", "c", `"`}, want: 2},
			{query: `SELECT count(*) FROM things WHERE id IN ($1...)`, list: []string{}, want: 0},
			{query: `SELECT count(*) FROM things WHERE id IN ($1...)`, list: []string(nil), want: 0},
			{query: `SELECT count(*) FROM things WHERE id NOT IN ( $1... )`, list: []string{"a"}, want: 2},
			{query: `SELECT count(*) FROM things WHERE id NOT IN ($1...)`, list: []string(nil), want: 3},
			{query: `SELECT count(*) FROM things WHERE id not in ($1...)`, list: []string{}, want: 3},
			{query: `SELECT count(*) FROM things WHERE count IN ($1...)`, list: []int64{0, 1}, want: 3},
		} {
			var n int
			if err := d.QueryRow(ctx, db.List(tt.query), tt.list).Scan(&n); err != nil {
				t.Errorf("%s of %v: %v", tt.query, tt.list, err)
			} else if n != tt.want {
				t.Errorf("%s of %v: %d rows, want %d", tt.query, tt.list, n, tt.want)
			}
		}
	})
}

func TestErrorsAreClassified(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		insertThings(t, d, "x")
		for _, tt := range []struct {
			name, statement string
			unique, foreign bool
		}{
			{name: "a second row with the key", statement: `INSERT INTO things (id) VALUES ('x')`, unique: true},
			{name: "a parent that is not there", statement: `INSERT INTO things (id, parent) VALUES ('y', 'z')`, foreign: true},
			{name: "a failed check", statement: `INSERT INTO things (id, count) VALUES ('y', -1)`},
			{name: "no value", statement: `INSERT INTO things (id, count) VALUES ('y', NULL)`},
		} {
			_, err := d.Exec(t.Context(), db.Same(tt.statement))
			err = fmt.Errorf("wrapped: %w", err)
			if db.IsUniqueViolation(err) != tt.unique || db.IsForeignKeyViolation(err) != tt.foreign || !db.IsConstraintViolation(err) || db.IsRetryable(err) {
				t.Errorf("%s: unique %v, foreign key %v, constraint %v: %v", tt.name, db.IsUniqueViolation(err), db.IsForeignKeyViolation(err), db.IsConstraintViolation(err), err)
			}
		}
		if _, err := d.Exec(t.Context(), db.Same(`INSERT INTO nothing (id) VALUES (1)`)); err == nil || db.IsConstraintViolation(err) {
			t.Errorf("an unknown table: %v", err)
		}
	})
}

func TestTransactionsAreAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		boom := errors.New("boom")
		err := d.Tx(ctx, func(c db.Conn) error {
			if _, err := c.Exec(ctx, insertThing, "a"); err != nil {
				return err
			}
			return boom
		})
		if err != boom {
			t.Errorf("the error is %v, want fn's own", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			d.Tx(ctx, func(c db.Conn) error {
				c.Exec(ctx, insertThing, "b")
				panic("boom")
			})
		}()
		cancelled, cancel := context.WithCancel(ctx)
		err = d.Tx(cancelled, func(c db.Conn) error {
			c.Exec(ctx, insertThing, "c")
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a transaction whose context ended says %v", err)
		}
		if n := count(t, d); n != 0 {
			t.Errorf("%d rows are left of transactions that did not commit", n)
		}
		err = d.Tx(ctx, func(c db.Conn) error {
			rows, err := c.Query(ctx, db.Same(`INSERT INTO things (id) VALUES ('d'), ('e') RETURNING id`))
			if err != nil {
				return err
			}
			ids, err := db.Collect(rows, func(r db.Row, id *string) error { return r.Scan(id) })
			if len(ids) != 2 {
				t.Errorf("RETURNING returned %v", ids)
			}
			return err
		})
		if err != nil || count(t, d) != 2 {
			t.Errorf("%d rows after the commit of 2, %v", count(t, d), err)
		}
	})
}

func TestQueriesThatChangeRowsAreSeenAtOnce(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		upsert := db.Same(`INSERT INTO things (id, count) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET count = things.count + 1 RETURNING count`)
		for want := 1; want <= 3; want++ {
			var got int
			if err := d.QueryRow(ctx, upsert, "x").Scan(&got); err != nil || got != want {
				t.Fatalf("upsert returned %d, want %d, %v", got, want, err)
			}
			if err := d.QueryRow(ctx, db.Same(`SELECT count FROM things`)).Scan(&got); err != nil || got != want {
				t.Fatalf("then it read %d, want %d, %v", got, want, err)
			}
		}
		var n int
		with := db.Same(`WITH gone AS (SELECT id FROM things) SELECT count(*) FROM gone`)
		if err := d.QueryRow(ctx, with).Scan(&n); err != nil || n != 1 {
			t.Error(n, err)
		}
	})
}

func TestWritesInALoopOverRows(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		insertThings(t, d, "a", "b", "c")
		rows, err := d.Query(ctx, db.Same(`SELECT id FROM things`))
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Exec(ctx, db.Same(`UPDATE things SET count = count + 1 WHERE id = $1`), id); err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		var sum int
		if err := d.QueryRow(ctx, db.Same(`SELECT sum(count) FROM things`)).Scan(&sum); err != nil || sum != 3 {
			t.Errorf("sum is %d, want 3, %v", sum, err)
		}
	})
}

func TestReadersDoNotWaitForAWriter(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, migrations, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		insertThings(t, d, "a")
		err := d.Tx(ctx, func(c db.Conn) error {
			if _, err := c.Exec(ctx, insertThing, "b"); err != nil {
				return err
			}
			// Inside the transaction, which is not going to end before these have read.
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if n := count(t, d); n != 1 {
						t.Errorf("a reader saw %d rows, want the 1 that was committed", n)
					}
				})
			}
			wg.Wait()
			return nil
		})
		if err != nil || count(t, d) != 2 {
			t.Error(count(t, d), err)
		}
	})
}

func TestConcurrentWritersAllGetThrough(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		insertThings(t, d, "x")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					err := db.Retry(ctx, d, func(c db.Conn) error {
						_, err := c.Exec(ctx, db.Same(`UPDATE things SET count = count + 1 WHERE id = 'x'`))
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var n int
		if err := d.QueryRow(ctx, db.Same(`SELECT count FROM things`)).Scan(&n); err != nil || n != 80 {
			t.Errorf("count is %d, want 80, %v", n, err)
		}
	})
}

func TestManyRowsGoInAtOnce(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		thing := func(i int) []any {
			return []any{fmt.Sprintf("%06d", i), i, i%2 == 0, db.JSON(`{"n":1}`), db.At(time.Unix(int64(i), 0))}
		}
		columns := []string{"id", "count", "done", "body", "created_at"}
		rows := func(from, to int) (out [][]any) {
			for i := from; i < to; i++ {
				out = append(out, thing(i))
			}
			return out
		}
		if n, err := db.InsertRows(ctx, d, db.Insert{Table: "things", Columns: columns}, rows(0, 5000)); err != nil || n != 5000 {
			t.Fatal(n, err)
		}
		ignore := db.Insert{Table: "things", Columns: columns, OnConflict: "ON CONFLICT (id) DO NOTHING"}
		if n, err := db.InsertRows(ctx, d, ignore, rows(4000, 6500)); err != nil || n != 1500 {
			t.Error(n, err)
		}
		if n, err := db.InsertRows(ctx, d, ignore, nil); err != nil || n != 0 {
			t.Error(n, err)
		}
		if _, err := db.InsertRows(ctx, d, db.Insert{Table: "things", Columns: columns}, rows(6400, 6600)); !db.IsUniqueViolation(err) {
			t.Errorf("rows that are there: %v", err)
		}
		if _, err := db.InsertRows(ctx, d, ignore, [][]any{{"a"}}); err == nil {
			t.Error("a row that is too short went in")
		}
		if n := count(t, d); n != 6500 {
			t.Errorf("there are %d rows, want 6500: a failed insert left some", n)
		}
		var at db.Time
		if err := d.QueryRow(ctx, db.Same(`SELECT created_at FROM things WHERE id = '006499'`)).Scan(&at); err != nil || at.Unix() != 6499 {
			t.Error(at, err)
		}
	})
}

func TestRowsAreCopied(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		copied := func(table string, data *db.CopyData) (n int64, err error) {
			err = d.Tx(ctx, func(c db.Conn) error {
				n, err = db.Copy(ctx, c, table, []string{"big", "small", "words"}, data)
				return err
			})
			return n, err
		}
		var none, data db.CopyData
		add := func(big int64, small int32, words string) {
			data.Row(3)
			data.Int64(big)
			data.Int32(small)
			data.Text(words)
		}
		add(math.MaxInt64, math.MinInt32, "")
		add(-1, 7, "Grüße, \t \\N \n 語")
		data.Row(3)
		data.Int64(3)
		data.Null()
		data.Null()
		if db.DialectOf(d) == db.SQLite {
			if _, err := copied("things", &data); err == nil {
				t.Error("SQLite has COPY now")
			}
			return
		}
		if _, err := d.Exec(ctx, db.Same(`CREATE TABLE "Rows of all" (big bigint PRIMARY KEY, small integer, words text)`)); err != nil {
			t.Fatal(err)
		}
		if n, err := copied("Rows of all", &none); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := copied("Rows of all", &data); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		var got string
		const all = `SELECT string_agg(concat_ws('|', big, coalesce(small::text, 'NULL'), coalesce(words, 'NULL')), ';' ORDER BY big) FROM "Rows of all"`
		if err := d.QueryRow(ctx, db.Same(all)).Scan(&got); err != nil || got != "-1|7|Grüße, \t \\N \n 語;3|NULL|NULL;9223372036854775807|-2147483648|" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := copied("Rows of all", &data); !db.IsUniqueViolation(err) {
			t.Errorf("rows that are there: %v", err)
		}
		if _, err := db.Copy(ctx, d, "Rows of all", []string{"big"}, &data); err == nil {
			t.Error("a COPY outside of a transaction")
		}
		if n := count(t, d); n != 0 {
			t.Error(n)
		}
	})
}

func TestEndedContextsEndStatements(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		slow := db.SQL{
			Postgres: `SELECT count(*) FROM (SELECT pg_sleep(60)) s`,
			SQLite:   `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n`,
		}
		var n int64
		if err := d.QueryRow(ctx, slow).Scan(&n); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a deadline error", err)
		}
		insertThings(t, d, "a") // the connection is usable again, or was replaced
	})
}

func TestObserverSeesEveryStatement(t *testing.T) {
	t.Parallel()
	var begun, ended atomic.Int64
	var failed atomic.Int64
	observe := db.WithObserver(func(_ context.Context, plugin, statement string) func(error) {
		if plugin != "test" {
			t.Errorf("plugin is %q", plugin)
		}
		if statement == "SELECT 'canary'" || statement == "SELECT nothing" {
			begun.Add(1)
			return func(err error) {
				ended.Add(1)
				if err != nil {
					failed.Add(1)
				}
			}
		}
		return nil
	})
	for name, d := range map[string]db.DB{
		"SQLite": dbtest.SQLite(t, nil, observe), "PostgreSQL": dbtest.Postgres(t, nil, observe),
	} {
		begun.Store(0)
		ended.Store(0)
		failed.Store(0)
		ctx := t.Context()
		var s string
		if err := d.QueryRow(ctx, db.Same("SELECT 'canary'")).Scan(&s); err != nil {
			t.Fatal(err)
		}
		d.Tx(ctx, func(c db.Conn) error {
			_, err := c.Exec(ctx, db.Same("SELECT nothing"))
			return err
		})
		if begun.Load() != 2 || ended.Load() != 2 || failed.Load() != 1 {
			t.Errorf("%s: %d begun, %d ended, %d failed, want 2, 2, 1", name, begun.Load(), ended.Load(), failed.Load())
		}
	}
}

func insertThings(t *testing.T, d db.DB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := d.Exec(t.Context(), insertThing, id); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, d db.Conn) (n int) {
	t.Helper()
	if err := d.QueryRow(t.Context(), countThings).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func TestRetryRunsCollidedTransactionsAgain(t *testing.T) {
	each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		collided := fmt.Errorf("claim: %w", &pgconn.PgError{Code: "40001"})
		for _, tt := range []struct {
			name      string
			errs      []error // of one run after the other
			runs      int
			wantErr   error
			committed bool
		}{
			{name: "no collision", errs: []error{nil}, runs: 1, committed: true},
			{name: "two collisions", errs: []error{collided, collided, nil}, runs: 3, committed: true},
			{name: "three collisions", errs: []error{collided, collided, collided, nil}, runs: 3, wantErr: collided},
			{name: "another error", errs: []error{db.ErrNoRows, nil}, runs: 1, wantErr: db.ErrNoRows},
		} {
			before, runs := count(t, d), 0
			err := db.Retry(ctx, d, func(c db.Conn) error {
				runs++
				if _, err := c.Exec(ctx, insertThing, tt.name); err != nil {
					return err
				}
				return tt.errs[runs-1]
			})
			if !errors.Is(err, tt.wantErr) || runs != tt.runs || (count(t, d) == before+1) != tt.committed {
				t.Errorf("%s: %d runs, %d rows more, %v", tt.name, runs, count(t, d)-before, err)
			}
		}
	})
}

// Two transactions take two rows in opposite order. PostgreSQL ends one of them.
func TestRetryResolvesADeadlock(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t, migrations)
	insertThings(t, d, "a", "b")
	ctx := t.Context()
	var first, wg sync.WaitGroup
	first.Add(2)
	var collided atomic.Int64
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			var once sync.Once
			err := db.Retry(ctx, d, func(c db.Conn) error {
				for i, id := range order {
					if i == 1 { // only on the first run: both hold a row by then
						once.Do(func() { first.Done(); first.Wait() })
					}
					if _, err := c.Exec(ctx, db.Same(`UPDATE things SET count = count + 1 WHERE id = $1`), id); err != nil {
						if db.IsRetryable(err) {
							collided.Add(1)
						}
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var sum int
	if err := d.QueryRow(ctx, db.Same(`SELECT sum(count) FROM things`)).Scan(&sum); err != nil || sum != 4 || collided.Load() == 0 {
		t.Errorf("sum is %d, want 4, after %d collisions, %v", sum, collided.Load(), err)
	}
}
