package db_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// manager opens a Manager with the YAML of backend.database.
func manager(t testing.TB, yaml string, opts ...db.Option) *db.Manager {
	t.Helper()
	m, err := db.New(decode(t, yaml), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func decode(t testing.TB, yaml string) db.Config {
	t.Helper()
	cfg, err := parse(yaml)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func parse(yaml string) (cfg db.Config, err error) {
	tree, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		return cfg, err
	}
	return cfg, tree.Decode("", &cfg)
}

// ask returns the one text that a query on the database at url yields.
func ask(t testing.TB, url, query string, args ...any) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var s *string
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if s == nil {
		return ""
	}
	return *s
}

func migrate(t testing.TB, p *db.Plugin) db.Migration {
	t.Helper()
	done, err := p.Migrate(t.Context(), migrations)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestSchemaPerPlugin(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		url := s.Database(t)
		m := manager(t, fmt.Sprintf("{client: pg, connection: %q, pluginDivisionMode: schema, schemaPrefix: p_}", url))
		for _, id := range []string{"catalog", "user-settings"} {
			if done := migrate(t, m.Plugin(id)); done.From != 0 || done.To != 2 {
				t.Errorf("migrated from %d to %d, want 0 to 2", done.From, done.To)
			}
			insertThings(t, m.Plugin(id).DB(), "x")
		}
		tables := ask(t, url, `SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'p\_%'`)
		if want := "p_catalog.callboard_migrations p_catalog.things p_user-settings.callboard_migrations p_user-settings.things"; tables != want {
			t.Errorf("tables are %s, want %s", tables, want)
		}
		names := ask(t, url, `SELECT string_agg(DISTINCT application_name, ' ') FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		if names != "backstage_plugin_catalog backstage_plugin_user-settings" {
			t.Errorf("application names are %q", names)
		}
	})
}

func TestDatabasePerPlugin(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		prefix, own := s.Name(t), s.Name(t)
		for _, name := range []string{prefix + "-catalog", prefix + "-user-settings", own} {
			t.Cleanup(func() { s.Drop(t, name) })
		}
		m := manager(t, fmt.Sprintf(`
client: pg
connection: {connectionString: %q, database: ignored}
prefix: %s-
plugin: {search: {connection: {database: %s}}}`, s.URL("also_ignored"), prefix, own))
		for _, id := range []string{"catalog", "user-settings", "search"} {
			migrate(t, m.Plugin(id))
			insertThings(t, m.Plugin(id).DB(), "x")
		}
		for _, name := range []string{prefix + "-catalog", prefix + "-user-settings", own} {
			if n := ask(t, s.URL(name), "SELECT count(*)::text FROM public.things"); n != "1" {
				t.Errorf("%s has %s rows", name, n)
			}
		}
		// A plugin without migrations has its database created by its first statement.
		t.Cleanup(func() { s.Drop(t, prefix+"-events") })
		if err := m.Plugin("events").Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOneRoleForAllAndOnePerPlugin(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		base := s.Name(t)
		login, shared, catalog, owner := base+"_login", base+"_shared", base+"_catalog", base+"_owner"
		for _, sql := range []string{
			"CREATE ROLE " + login + " LOGIN CREATEDB PASSWORD 'role'",
			"CREATE ROLE " + owner + " LOGIN CREATEDB PASSWORD 'role'",
			"CREATE ROLE " + shared, "CREATE ROLE " + catalog,
			fmt.Sprintf("GRANT %s, %s TO %s", shared, catalog, login),
		} {
			s.Exec(t, sql)
		}
		url := s.Database(t)
		database := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
		s.Exec(t, fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s, %s", database, login, owner))
		t.Cleanup(func() {
			s.Drop(t, base+"_d_catalog")
			s.Drop(t, database)
			s.Exec(t, fmt.Sprintf("DROP ROLE %s, %s, %s, %s", login, shared, catalog, owner))
		})
		yaml := fmt.Sprintf(`
client: pg
connection: {connectionString: %q, user: %s, password: role}
pluginDivisionMode: %%s
prefix: %s_d_
role: %s
plugin:
  catalog: {role: %s}
  search: {connection: {user: %s}, role: %s}`, withoutUser(url), login, base, shared, catalog, owner, owner)
		m := manager(t, fmt.Sprintf(yaml, "schema"))
		for id, want := range map[string]string{"app": shared, "catalog": catalog, "search": owner} {
			migrate(t, m.Plugin(id))
			insertThings(t, m.Plugin(id).DB(), "x")
			if got := ask(t, url, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1", id); got != want {
				t.Errorf("schema %s belongs to %s, want %s", id, got, want)
			}
			if got := ask(t, url, "SELECT tableowner FROM pg_tables WHERE schemaname = $1 AND tablename = 'things'", id); got != want {
				t.Errorf("tables of %s belong to %s, want %s", id, got, want)
			}
			var user string
			if err := m.Plugin(id).DB().QueryRow(t.Context(), db.Same("SELECT current_user")).Scan(&user); err != nil || user != want {
				t.Errorf("%s works as %s, want %s, %v", id, user, want, err)
			}
		}
		d := manager(t, fmt.Sprintf(yaml, "database"))
		migrate(t, d.Plugin("catalog"))
		if got := ask(t, s.Admin(), "SELECT datdba::regrole::text FROM pg_database WHERE datname = $1", base+"_d_catalog"); got != catalog {
			t.Errorf("the database belongs to %s, want %s", got, catalog)
		}
	})
}

func withoutUser(url string) string {
	_, rest, _ := strings.Cut(url, "@")
	return "postgres://" + rest
}

func TestNothingIsCreatedWhenThatIsTurnedOff(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t, pgtest.Versions()[0])
	url := s.Database(t)
	const yaml = "{client: pg, connection: %q, pluginDivisionMode: schema, ensureExists: false, ensureSchemaExists: %v}"
	m := manager(t, fmt.Sprintf(yaml, url, false))
	_, err := m.Plugin("catalog").Migrate(t.Context(), migrations)
	if err == nil || !strings.Contains(err.Error(), `schema "catalog" does not exist`) || !strings.Contains(err.Error(), "backend.database.ensureExists") {
		t.Errorf("a schema that is not there: %v", err)
	}
	migrate(t, manager(t, fmt.Sprintf(yaml, url, true)).Plugin("catalog"))
	migrate(t, m.Plugin("catalog")) // it is there now
	gone := manager(t, fmt.Sprintf("{client: pg, connection: %q, ensureExists: false, prefix: nowhere_}", url))
	if err := gone.Plugin("catalog").Ping(t.Context()); err == nil || !strings.Contains(err.Error(), `database "nowhere_catalog" does not exist`) {
		t.Errorf("a database that is not there: %v", err)
	}
}

func TestMigrationsSayWhatTheyDid(t *testing.T) {
	t.Parallel()
	older := fstest.MapFS{}
	broken := fstest.MapFS{}
	outside := fstest.MapFS{}
	for _, dialect := range []string{"postgres", "sqlite"} {
		text, err := testdata.ReadFile("testdata/migrations/" + dialect + "/00001_things.sql")
		if err != nil {
			t.Fatal(err)
		}
		first := &fstest.MapFile{Data: text}
		older[dialect+"/00001_things.sql"] = first
		broken[dialect+"/00001_things.sql"] = first
		broken[dialect+"/00002_broken.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE half (id int);\nSELECT nothing FROM nowhere;\n")}
		outside[dialect+"/00001_outside.sql"] = &fstest.MapFile{Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 1;\n")}
	}
	run := func(t *testing.T, m *db.Manager) {
		p, ctx := m.Plugin("catalog"), t.Context()
		if _, err := p.Migrate(ctx, outside); err == nil || !strings.Contains(err.Error(), "00001_outside.sql is marked NO TRANSACTION") {
			t.Errorf("outside a transaction: %v", err)
		}
		if done, err := p.Migrate(ctx, broken); err == nil || done.To != 1 || !strings.Contains(err.Error(), "migrate plugin catalog: 00002_broken.sql") {
			t.Errorf("a broken second one: %+v, %v", done, err)
		}
		if _, err := p.DB().Exec(ctx, db.Same("SELECT * FROM half")); err == nil {
			t.Error("the broken migration left a table behind")
		}
		if done, err := p.Migrate(ctx, migrations); err != nil || done.From != 1 || done.To != 2 {
			t.Errorf("the rest: %+v, %v", done, err)
		}
		if done, err := p.Migrate(ctx, migrations); err != nil || done.From != 2 || done.To != 2 {
			t.Errorf("again: %+v, %v", done, err)
		}
		if done, err := p.Migrate(ctx, older); err != nil || done.From != 2 || done.To != 2 {
			t.Errorf("an older release: %+v, %v", done, err)
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		run(t, manager(t, fmt.Sprintf("{client: better-sqlite3, connection: {directory: %q}}", t.TempDir())))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		run(t, manager(t, fmt.Sprintf("{client: pg, connection: %q, pluginDivisionMode: schema}", pgtest.New(t))))
	})
	t.Run("Skipped", func(t *testing.T) {
		m := manager(t, `{client: better-sqlite3, connection: ':memory:', plugin: {catalog: {skipMigrations: true}}}`)
		if done := migrate(t, m.Plugin("catalog")); !done.Skipped {
			t.Errorf("not skipped: %+v", done)
		}
		if done := migrate(t, m.Plugin("search")); done.To != 2 {
			t.Errorf("skipped: %+v", done)
		}
	})
}

func TestConnectionsAreClosedWhenNobodyUsesThem(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	m := manager(t, fmt.Sprintf(`{client: pg, connection: %q, pluginDivisionMode: schema,
  knexConfig: {pool: {max: 3, idleTimeoutMillis: 200, reapIntervalMillis: 50}}}`, url))
	const plugins = 20
	const open = `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
	var wg sync.WaitGroup
	for i := range plugins {
		d := m.Plugin(fmt.Sprintf("p%d", i)).DB()
		for range 3 {
			wg.Go(func() {
				if _, err := d.Exec(t.Context(), db.Same("SELECT pg_sleep(0.2)")); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	atRest := ""
	for range 500 {
		var n int
		atRest = ask(t, url, open)
		if fmt.Sscan(atRest, &n); n <= 2*plugins+2 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%s connections of %d plugins stay open", atRest, plugins)
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	m := manager(t, fmt.Sprintf(`{client: pg, connection: %q, pluginDivisionMode: schema,
  plugin: {catalog: {knexConfig: {pool: {max: 1, acquireTimeoutMillis: 100}}}}}`, pgtest.New(t)))
	d := m.Plugin("catalog").DB()
	err := d.Tx(t.Context(), func(db.Conn) error {
		_, err := d.Exec(t.Context(), db.Same("SELECT 1"))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "plugin catalog waited 100ms for a database connection: all 1 are in use (backend.database.knexConfig.pool.max)") {
		t.Errorf("a second connection of one: %v", err)
	}
	lite := manager(t, `{client: better-sqlite3, connection: ':memory:', knexConfig: {pool: {acquireTimeoutMillis: 50}}}`).Plugin("catalog").DB()
	err = lite.Tx(t.Context(), func(db.Conn) error {
		_, err := lite.Exec(t.Context(), db.Same("SELECT 1"))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "is a DB used inside its own transaction?") {
		t.Errorf("a second writer: %v", err)
	}
}

func TestClosedDatabasesSaySo(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{
		"{client: better-sqlite3, connection: ':memory:'}",
		fmt.Sprintf("{client: pg, connection: %q, pluginDivisionMode: schema}", pgtest.New(t)),
	} {
		m := manager(t, yaml)
		p := m.Plugin("catalog")
		migrate(t, p)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Ping(t.Context()); err == nil {
			t.Error("it still answers")
		}
		if err := m.Plugin("late").Ping(t.Context()); err == nil {
			t.Error("a plugin that came late is served")
		}
	}
}

// Backends make their graph more than once, and only start one: what was made and
// not used must leave nothing behind.
func TestNothingRunsBeforeTheFirstStatement(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	for _, yaml := range []string{
		"{client: pg, connection: 'postgres://u:p@127.0.0.1:1/x', knexConfig: {pool: {min: 2}}}",
		fmt.Sprintf("{client: better-sqlite3, connection: {directory: %q}}", filepath.Join(dir, "data")),
	} {
		m, err := db.New(decode(t, yaml))
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Plugin("catalog"); p.DB() == nil || p.Where() == "" || m.Summary() == "" {
			t.Error("the plugin has no database")
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the disk was touched: %v %v", entries, err)
	}
}
