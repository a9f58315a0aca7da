package rbac

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// existingTables are those of Backstage's RBAC plugin (contract permission.md 6.3).
var existingTables = []db.SQL{
	{
		Postgres: `CREATE TABLE casbin_rule (id serial PRIMARY KEY, ptype varchar, v0 varchar, v1 varchar, v2 varchar, v3 varchar, v4 varchar, v5 varchar, v6 varchar)`,
		SQLite:   `CREATE TABLE casbin_rule (id integer PRIMARY KEY AUTOINCREMENT, ptype varchar, v0 varchar, v1 varchar, v2 varchar, v3 varchar, v4 varchar, v5 varchar, v6 varchar)`,
	},
	{
		Postgres: `CREATE TABLE "role-metadata" (id serial PRIMARY KEY, "roleEntityRef" varchar(255), source varchar(255), description varchar(255), author varchar(255), "modifiedBy" varchar(255),
			"createdAt" timestamptz, "lastModified" timestamptz, owner varchar(255), "isDefault" boolean DEFAULT false)`,
		SQLite: `CREATE TABLE "role-metadata" (id integer PRIMARY KEY AUTOINCREMENT, "roleEntityRef" varchar(255), source varchar(255), description varchar(255), author varchar(255), "modifiedBy" varchar(255),
			"createdAt" datetime, "lastModified" datetime, owner varchar(255), "isDefault" boolean DEFAULT false)`,
	},
	{
		Postgres: `CREATE TABLE "role-condition-policies" (id serial PRIMARY KEY, "roleEntityRef" varchar(255), result varchar(255), "pluginId" varchar(255), "resourceType" varchar(255), permissions text, "conditionsJson" text)`,
		SQLite:   `CREATE TABLE "role-condition-policies" (id integer PRIMARY KEY AUTOINCREMENT, "roleEntityRef" varchar(255), result varchar(255), "pluginId" varchar(255), "resourceType" varchar(255), permissions text, "conditionsJson" text)`,
	},
	db.Same(`CREATE TABLE extra_permission_enabled_plugins ("pluginId" varchar(255) PRIMARY KEY)`),
}

func exec(t *testing.T, d db.DB, statements ...db.SQL) {
	t.Helper()
	for _, q := range statements {
		if _, err := d.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q.Postgres, err)
		}
	}
}

// installation is what somebody has stored with Backstage: a role of the user interface, one
// of a policy file that has changed since, one from before there was metadata.
var installation = []db.SQL{
	db.Same(`INSERT INTO casbin_rule (ptype, v0, v1, v2, v3) VALUES
		('p', 'role:default/ui', 'catalog.entity.create', 'create', 'allow'), ('p', 'role:default/ui', 'x', 'use', 'deny'), ('p', 'role:default/ui', 'x', 'use', 'deny'),
		('p', 'role:default/file', 'stays', 'use', 'allow'), ('p', 'role:default/file', 'left-the-file', 'use', 'allow'), ('p', 'user:default/somebody', 'left-the-file', 'use', 'allow'),
		('p', 'role:default/ancient', 'old', 'use', 'allow'), ('p', 'role:default/ui', 'x', 'fly', 'allow'), ('p', 'role:default/rbac_admin', 'policy-entity', 'read', 'allow')`),
	db.Same(`INSERT INTO casbin_rule (ptype, v0, v1) VALUES ('g', 'group:default/Team', 'role:default/ui'), ('g', 'user:default/bob', 'role:default/ui'),
		('g', 'user:default/f', 'role:default/file'), ('g', 'user:default/a', 'role:default/ancient'), ('g', 'user:default/was-admin', 'role:default/rbac_admin')`),
	{
		Postgres: `INSERT INTO "role-metadata" ("roleEntityRef", source, description, author, "modifiedBy", "createdAt", "lastModified", owner) VALUES
			('role:default/ui', 'rest', 'Made by hand', 'user:default/alice', 'user:default/bob', '2025-03-04 05:06:07.25+00', '2025-04-05 06:07:08+02', 'user:default/alice'),
			('role:default/file', 'csv-file', NULL, 'csv permission policy file', 'csv permission policy file', NULL, NULL, NULL),
			('role:default/rbac_admin', 'configuration', 'd', 'application configuration', 'application configuration', NULL, NULL, NULL)`,
		SQLite: `INSERT INTO "role-metadata" ("roleEntityRef", source, description, author, "modifiedBy", "createdAt", "lastModified", owner) VALUES
			('role:default/ui', 'rest', 'Made by hand', 'user:default/alice', 'user:default/bob', 1741064767250, 'Sat, 05 Apr 2025 04:07:08 GMT', 'user:default/alice'),
			('role:default/file', 'csv-file', NULL, 'csv permission policy file', 'csv permission policy file', NULL, NULL, NULL),
			('role:default/rbac_admin', 'configuration', 'd', 'application configuration', 'application configuration', NULL, NULL, NULL)`,
	},
	db.Same(`INSERT INTO "role-condition-policies" ("roleEntityRef", result, "pluginId", "resourceType", permissions, "conditionsJson") VALUES
		('role:default/ui', 'CONDITIONAL', 'catalog', 'catalog-entity', '[{"name":"catalog.entity.read","action":"read"}]',
			'{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["$ownerRefs"]}}'),
		('role:default/ui', 'CONDITIONAL', 'catalog', 'catalog-entity', '["delete"]', '{"not":{"rule":"HAS_LABEL","resourceType":"catalog-entity","params":{"label":"keep"}}}')`),
	db.Same(`INSERT INTO extra_permission_enabled_plugins ("pluginId") VALUES ('scaffolder')`),
}

// TestAnExistingInstallation: whoever comes from Backstage keeps the roles of the user
// interface, and what the policy file and the configuration say is theirs as ever.
func TestAnExistingInstallation(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		exec(t, d, existingTables...)
		exec(t, d, installation...)
		c := defaults()
		c.PoliciesCSVFile = write(t, "g, user:default/f, role:default/file\np, role:default/file, stays, use, allow\n")
		l, p, f := replica(d, c)
		if err := f.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := l.state()
		var got []string
		for _, r := range s.Rules {
			if r.Subject != engine.Admin {
				got = append(got, strings.Join([]string{r.Subject, r.Permission, r.Action, r.Effect, r.Source}, " "))
			}
		}
		for _, m := range s.Members {
			got = append(got, m.Ref+" "+m.Role+" "+m.Source)
		}
		for _, cond := range s.Conditions {
			text, err := cond.Criteria.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(cond.Role, " ", cond.Plugin, " ", cond.ResourceType, " ", cond.Mapping, " ", string(text)))
		}
		want := []string{
			"role:default/ui catalog.entity.create create allow rest", "role:default/ui x use deny rest", "role:default/file stays use allow csv-file", "role:default/ancient old use allow legacy",
			"group:default/team role:default/ui rest", "user:default/bob role:default/ui rest", "user:default/f role:default/file csv-file", "user:default/a role:default/ancient legacy",
			`role:default/ui catalog catalog-entity [{catalog.entity.read read}] {"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["$ownerRefs"]}}`,
			`role:default/ui catalog catalog-entity [{ delete}] {"not":{"rule":"HAS_LABEL","resourceType":"catalog-entity","params":{"label":"keep"}}}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("stored\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
		r, ok := s.Role("role:default/ui")
		if !ok || r.Source != "rest" || *r.Description != "Made by hand" || *r.Owner != "user:default/alice" || r.Author != "user:default/alice" || r.ModifiedBy != "user:default/bob" ||
			!r.Created.Equal(time.Date(2025, 3, 4, 5, 6, 7, 250e6, time.UTC)) || !r.Modified.Equal(time.Date(2025, 4, 5, 4, 7, 8, 0, time.UTC)) {
			t.Errorf("metadata %+v", r)
		}
		if !slices.Equal(s.Plugins, []string{"scaffolder"}) {
			t.Errorf("plugins %q", s.Plugins)
		}
		bob := &permission.User{Ref: "user:default/bob", Ownership: []string{"user:default/bob"}}
		decisions, err := p.DecideAll(t.Context(), bob, []permission.Permission{
			{Name: "catalog.entity.create", Action: "create"}, use("x"), {Name: "catalog.entity.read", Action: "read", ResourceType: "catalog-entity"},
		})
		if err != nil || decisions[0] != permission.Allow || decisions[1] != permission.Deny || decisions[2].String() != "CONDITIONAL" {
			t.Errorf("decisions %v: %v", decisions, err)
		}

		// What changes from now on is not undone by the next start, and the tables stay.
		e := editor{"user:default/alice", time.Unix(1, 0)}
		if _, err := l.change(t.Context(), func(s *engine.State) error { return e.deleteRole(s, "role:default/ui", nil) }); err != nil {
			t.Fatal(err)
		}
		again, _, f := replica(d, c)
		if err := f.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, back := again.state().Role("role:default/ui"); back || len(again.state().Conditions) != 0 {
			t.Errorf("after a second start: %+v", again.state())
		}
		var lines int
		if err := d.QueryRow(t.Context(), db.Same(`SELECT count(*) FROM casbin_rule`)).Scan(&lines); err != nil || lines != 14 {
			t.Errorf("casbin_rule has %d rows: %v", lines, err)
		}
	})
}

// TestAnExistingInstallationThatIsWrong: without a condition, rules would allow what it has
// bounded. So nothing is taken over, and the portal does not start.
func TestAnExistingInstallationThatIsWrong(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		exec(t, d, existingTables...)
		exec(t, d, installation...)
		exec(t, d, db.Same(`UPDATE "role-condition-policies" SET "conditionsJson" = '{"anyOf":[]}' WHERE id = 2`))
		_, _, f := replica(d, defaults())
		if err := f.start(t.Context()); err == nil || !strings.Contains(err.Error(), "row 2 of role-condition-policies, which is about role:default/ui: ") || !strings.Contains(err.Error(), "mend the row, or delete it") {
			t.Errorf("the start ends with %v", err)
		}
		exec(t, d, db.Same(`DELETE FROM "role-condition-policies" WHERE id = 2`))
		l, _, f := replica(d, defaults())
		if err := f.start(t.Context()); err != nil || len(l.state().Conditions) != 1 {
			t.Errorf("after it is mended: %v, %+v", err, l.state())
		}
	})
}

// TestAnOldInstallation: the first versions had fewer tables and columns.
func TestAnOldInstallation(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		exec(t, d, existingTables[0], db.Same(`CREATE TABLE "role-metadata" (id integer PRIMARY KEY, "roleEntityRef" varchar(255), source varchar(255))`),
			db.Same(`INSERT INTO casbin_rule (ptype, v0, v1) VALUES ('g', 'user:default/u', 'role:default/r')`), db.Same(`INSERT INTO "role-metadata" VALUES (1, 'role:default/r', 'rest')`))
		l, _, f := replica(d, defaults())
		if err := f.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, ok := l.state().Role("role:default/r"); !ok || r.Source != "rest" || r.Created.IsZero() || !slices.Equal(l.state().MembersOf("role:default/r"), []string{"user:default/u"}) {
			t.Errorf("%+v", l.state())
		}
	})
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
