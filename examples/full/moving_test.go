package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// fromBackstage is the database of a permission plugin that has run with Backstage's RBAC
// plugin (contract permission.md 6.3).
const fromBackstage = `
CREATE TABLE casbin_rule (id serial PRIMARY KEY, ptype varchar, v0 varchar, v1 varchar, v2 varchar, v3 varchar, v4 varchar, v5 varchar, v6 varchar);
CREATE TABLE "role-metadata" (id serial PRIMARY KEY, "roleEntityRef" varchar(255), source varchar(255), description varchar(255), author varchar(255), "modifiedBy" varchar(255),
	"createdAt" timestamptz, "lastModified" timestamptz, owner varchar(255), "isDefault" boolean DEFAULT false);
CREATE TABLE "role-condition-policies" (id serial PRIMARY KEY, "roleEntityRef" varchar(255), result varchar(255), "pluginId" varchar(255), "resourceType" varchar(255), permissions text, "conditionsJson" text);
CREATE TABLE extra_permission_enabled_plugins ("pluginId" varchar(255) PRIMARY KEY);
INSERT INTO casbin_rule (ptype, v0, v1, v2, v3) VALUES ('p', 'role:default/ui', 'catalog.entity.create', 'create', 'allow'), ('g', 'user:default/u', 'role:default/ui', NULL, NULL);
INSERT INTO "role-metadata" ("roleEntityRef", source, author, "modifiedBy", "createdAt", "lastModified", owner) VALUES ('role:default/ui', 'rest', 'user:default/alice', 'user:default/alice', now(), now(), 'user:default/alice');
INSERT INTO "role-condition-policies" ("roleEntityRef", result, "pluginId", "resourceType", permissions, "conditionsJson") VALUES
	('role:default/ui', 'CONDITIONAL', 'catalog', 'catalog-entity', '[{"name":"catalog.entity.read","action":"read"}]', '{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":["API"]}}');
INSERT INTO extra_permission_enabled_plugins VALUES ('scaffolder');
`

// TestMovingFromBackstage: the roles that an installation has made in the user interface are
// there after the move, wherever Backstage keeps the tables of a plugin.
func TestMovingFromBackstage(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		for _, mode := range []string{"schema", "database"} {
			t.Run(mode, func(t *testing.T) {
				name := s.Name(t)
				before, tables := name, "CREATE SCHEMA permission; SET search_path TO permission;"
				if mode == "database" {
					before, tables = name+"_permission", ""
				}
				s.Exec(t, "CREATE DATABASE "+before)
				t.Cleanup(func() {
					for _, plugin := range []string{"", "_permission", "_catalog", "_auth", "_events"} {
						s.Exec(t, "DROP DATABASE IF EXISTS "+name+plugin)
					}
				})
				conn, err := pgx.Connect(t.Context(), s.URL(before))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Exec(t.Context(), tables+fromBackstage); err != nil {
					t.Fatal(err)
				}
				if err := conn.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				url := s.URL(name)
				if mode == "database" {
					url = s.Admin()
				}
				base := "http://" + freeAddress(t)
				tokens := run(t, write(t, "app-config.yaml", fmt.Sprintf(`
backend:
  baseUrl: %[1]s
  listen: %[2]q
  database: {client: pg, pluginDivisionMode: %[4]s, prefix: %[6]s_, connection: {connectionString: %[5]q}}
  auth: {externalAccess: [{type: static, options: {token: %[3]s, subject: test}}]}
permission: {enabled: true, rbac: {admin: {superUsers: [{name: 'user:default/root'}]}}}
`, base, strings.TrimPrefix(base, "http://"), wiretest.StaticToken, mode, url, name)))
				root := tokens("user:default/root")
				var roles []struct {
					Name             string
					MemberReferences []string
					Metadata         struct{ Source, Owner string }
				}
				answer(t, base+"/api/permission/roles", root, &roles)
				var got []string
				for _, r := range roles {
					got = append(got, fmt.Sprint(r.Name, r.MemberReferences, r.Metadata.Source, r.Metadata.Owner))
				}
				if !slices.Contains(got, "role:default/ui[user:default/u]restuser:default/alice") {
					t.Errorf("roles %q", got)
				}
				var rules, conditions []map[string]any
				answer(t, base+"/api/permission/policies/role/default/ui", root, &rules)
				answer(t, base+"/api/permission/roles/conditions?roleEntityRef=role:default/ui", root, &conditions)
				var plugins struct{ IDs []string }
				answer(t, base+"/api/permission/plugins/id", root, &plugins)
				if len(rules) != 1 || rules[0]["permission"] != "catalog.entity.create" || len(conditions) != 1 || !slices.Equal(plugins.IDs, []string{"scaffolder"}) {
					t.Errorf("policies %v, conditions %v, plugins %q", rules, conditions, plugins.IDs)
				}
			})
		}
	})
}
