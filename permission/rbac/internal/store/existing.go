package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// Existing is what Backstage's RBAC plugin has stored in the same database (contract
// permission.md 6.3), unchecked. Columns that a version of it does not have are empty.
type Existing struct {
	Lines      [][]string // of casbin_rule: p or g, and the fields of it
	Roles      []ExistingRole
	Conditions []ExistingCondition
	Plugins    []string
}

// ExistingRole is a row of role-metadata.
type ExistingRole struct {
	Ref, Source, Author, ModifiedBy string
	Created, Modified               string // in any form
	Description, Owner              *string
}

// ExistingCondition is a row of role-condition-policies.
type ExistingCondition struct{ ID, Role, Result, Plugin, ResourceType, Permissions, Criteria string }

// Empty says whether there is nothing.
func (e Existing) Empty() bool {
	return len(e.Lines)+len(e.Roles)+len(e.Conditions)+len(e.Plugins) == 0
}

// Adopt has fn make the first state of what Backstage's RBAC plugin has stored. It calls
// fn only as long as no state has ever been stored here, and if there is something. Of
// replicas that start together, one adopts.
func (s *Store) Adopt(ctx context.Context, fn func(Existing, *engine.State) error) (adopted bool, err error) {
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		adopted = false
		var version int64
		if err := c.QueryRow(ctx, nextVersion).Scan(&version); err != nil {
			return err
		}
		if version != 1 {
			return errSame
		}
		have, err := existing(ctx, c)
		if err != nil {
			return err
		}
		if have.Empty() {
			return errSame
		}
		state := &engine.State{}
		if err := fn(have, state); err != nil {
			return err
		}
		adopted = true
		_, err = write(ctx, c, &engine.State{}, state)
		return err
	})
	if errors.Is(err, errSame) {
		err = nil
	}
	return adopted && err == nil, err
}

func existing(ctx context.Context, c db.Conn) (e Existing, err error) {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	lines, err := table(ctx, c, "casbin_rule", "ptype", "v0", "v1", "v2", "v3")
	if err != nil {
		return e, err
	}
	for _, l := range lines {
		fields := []string{text(l[0]), text(l[1]), text(l[2])}
		if fields[0] != "g" {
			fields = append(fields, text(l[3]), text(l[4]))
		}
		e.Lines = append(e.Lines, fields)
	}
	roles, err := table(ctx, c, "role-metadata", "roleEntityRef", "source", "author", "modifiedBy", "createdAt", "lastModified", "description", "owner")
	if err != nil {
		return e, err
	}
	for _, r := range roles {
		e.Roles = append(e.Roles, ExistingRole{text(r[0]), text(r[1]), text(r[2]), text(r[3]), text(r[4]), text(r[5]), r[6], r[7]})
	}
	conditions, err := table(ctx, c, "role-condition-policies", "id", "roleEntityRef", "result", "pluginId", "resourceType", "permissions", "conditionsJson")
	if err != nil {
		return e, err
	}
	for _, r := range conditions {
		e.Conditions = append(e.Conditions, ExistingCondition{text(r[0]), text(r[1]), text(r[2]), text(r[3]), text(r[4]), text(r[5]), text(r[6])})
	}
	plugins, err := table(ctx, c, "extra_permission_enabled_plugins", "pluginId")
	for _, r := range plugins {
		e.Plugins = append(e.Plugins, text(r[0]))
	}
	return e, err
}

var selectColumns = db.SQL{
	Postgres: `SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`,
	SQLite:   `SELECT name FROM pragma_table_info($1)`,
}

// table returns the rows of a table as texts, none if there is no such table. Columns that
// it does not have are NULL.
func table(ctx context.Context, c db.Conn, name string, columns ...string) ([][]*string, error) {
	found, err := c.Query(ctx, selectColumns, name)
	if err != nil {
		return nil, err
	}
	have, err := db.Collect(found, func(r db.Row, v *string) error { return r.Scan(v) })
	if err != nil || len(have) == 0 {
		return nil, err
	}
	list := make([]string, len(columns))
	for i, column := range columns {
		if list[i] = "NULL"; slices.Contains(have, column) {
			list[i] = fmt.Sprintf(`CAST("%s" AS text)`, column)
		}
	}
	order := ""
	if slices.Contains(have, "id") {
		order = " ORDER BY id"
	}
	rows, err := c.Query(ctx, db.Same(fmt.Sprintf(`SELECT %s FROM "%s"%s`, strings.Join(list, ", "), name, order)))
	if err != nil {
		return nil, fmt.Errorf("read the table %s: %w", name, err)
	}
	return db.Collect(rows, func(r db.Row, v *[]*string) error {
		*v = make([]*string, len(columns))
		into := make([]any, len(columns))
		for i := range columns {
			into[i] = &(*v)[i]
		}
		return r.Scan(into...)
	})
}
