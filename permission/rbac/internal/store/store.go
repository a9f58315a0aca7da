// Package store keeps roles, rules, members and conditions in the database of the
// permission plugin, as one State with a version.
package store

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema, in the directories postgres and sqlite.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
}

// A Store is the tables. It is safe for concurrent use.
type Store struct{ db db.DB }

// New returns a Store over the database of the plugin.
func New(d db.DB) *Store { return &Store{d} }

var (
	selectVersion = db.Same(`SELECT version FROM rbac_version WHERE id = 1`)
	// Writers wait here for each other: what they read afterwards stays as it is until
	// they are done.
	nextVersion      = db.Same(`UPDATE rbac_version SET version = version + 1 WHERE id = 1 RETURNING version`)
	selectRules      = db.Same(`SELECT subject, permission, action, effect, source FROM rbac_rules ORDER BY id`)
	selectMembers    = db.Same(`SELECT ref, role, source FROM rbac_members ORDER BY id`)
	selectRoles      = db.Same(`SELECT ref, source, description, owner, author, modified_by, created_at, modified_at, former_ref FROM rbac_roles ORDER BY id`)
	selectConditions = db.Same(`SELECT id, role, plugin, resource_type, mapping, criteria FROM rbac_conditions ORDER BY id`)
	selectPlugins    = db.Same(`SELECT plugin_id FROM rbac_plugins ORDER BY id`)
)

// Version returns the number of the state that is stored.
func (s *Store) Version(ctx context.Context) (v int64, err error) {
	err = s.db.QueryRow(ctx, selectVersion).Scan(&v)
	return v, err
}

// Load returns the state that is stored. The version is read before and after: a change in
// between would have been read in parts. Where changes do not end, it has writers wait.
func (s *Store) Load(ctx context.Context) (*engine.State, error) {
	for range loadTries {
		version, err := s.Version(ctx)
		if err != nil {
			return nil, err
		}
		state, err := load(ctx, s.db)
		if err != nil {
			return nil, err
		}
		state.Version = version
		if after, err := s.Version(ctx); err != nil || after == version {
			return state, err
		}
	}
	return s.Change(ctx, nil, func(*engine.State) error { return nil })
}

const loadTries = 3

func load(ctx context.Context, c db.Conn) (*engine.State, error) {
	s := &engine.State{}
	err := errors.Join(
		collect(ctx, c, selectRules, &s.Rules, func(r db.Row, v *engine.Rule) error {
			return r.Scan(&v.Subject, &v.Permission, &v.Action, &v.Effect, &v.Source)
		}),
		collect(ctx, c, selectMembers, &s.Members, func(r db.Row, v *engine.Member) error {
			return r.Scan(&v.Ref, &v.Role, &v.Source)
		}),
		collect(ctx, c, selectRoles, &s.Roles, func(r db.Row, v *engine.Role) error {
			var created, modified db.Time
			err := r.Scan(&v.Ref, &v.Source, &v.Description, &v.Owner, &v.Author, &v.ModifiedBy, &created, &modified, &v.Former)
			v.Created, v.Modified = created.Time, modified.Time
			return err
		}),
		collect(ctx, c, selectConditions, &s.Conditions, scanCondition),
		collect(ctx, c, selectPlugins, &s.Plugins, func(r db.Row, v *string) error { return r.Scan(v) }),
	)
	return s, err
}

func collect[T any](ctx context.Context, c db.Conn, q db.SQL, into *[]T, scan func(db.Row, *T) error) error {
	rows, err := c.Query(ctx, q)
	if err != nil {
		return err
	}
	*into, err = db.Collect(rows, scan)
	return err
}

func scanCondition(r db.Row, c *engine.Condition) error {
	var mapping, criteria string
	if err := r.Scan(&c.ID, &c.Role, &c.Plugin, &c.ResourceType, &mapping, &criteria); err != nil {
		return err
	}
	if err := errors.Join(json.Unmarshal([]byte(mapping), &c.Mapping), json.Unmarshal([]byte(criteria), &c.Criteria)); err != nil {
		return fmt.Errorf("stored condition %d: %w", c.ID, err)
	}
	return nil
}

// errSame ends a transaction in which nothing was to be changed.
var errSame = errors.New("nothing has changed")

// Change has fn change the state, and stores the result, all or nothing. Changes of all
// replicas happen one after the other. It returns the new state, or the one that is stored
// if fn changes nothing. fn may run more than once. known is a state that was stored once,
// or nil: if it still is, it need not be read.
func (s *Store) Change(ctx context.Context, known *engine.State, fn func(*engine.State) error) (out *engine.State, err error) {
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		var version int64
		if err := c.QueryRow(ctx, nextVersion).Scan(&version); err != nil {
			return err
		}
		before := known
		if known == nil || known.Version != version-1 {
			if before, err = load(ctx, c); err != nil {
				return err
			}
			before.Version = version - 1
		}
		after := before.Clone()
		if err := fn(after); err != nil {
			return err
		}
		changed, err := write(ctx, c, before, after)
		if err == nil && !changed {
			out = before
			return errSame
		}
		after.Version = version
		out = after
		return err
	})
	if errors.Is(err, errSame) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

var (
	deleteRule   = db.Same(`DELETE FROM rbac_rules WHERE subject = $1 AND permission = $2 AND action = $3 AND effect = $4`)
	ownRule      = db.Same(`UPDATE rbac_rules SET source = $5 WHERE subject = $1 AND permission = $2 AND action = $3 AND effect = $4`)
	deleteMember = db.Same(`DELETE FROM rbac_members WHERE ref = $1 AND role = $2`)
	ownMember    = db.Same(`UPDATE rbac_members SET source = $3 WHERE ref = $1 AND role = $2`)
	deleteRole   = db.Same(`DELETE FROM rbac_roles WHERE ref = $1`)
	upsertRole   = db.Same(`INSERT INTO rbac_roles (ref, source, description, owner, author, modified_by, created_at, modified_at, former_ref)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (ref) DO UPDATE SET source = $2, description = $3, owner = $4, author = $5, modified_by = $6, created_at = $7, modified_at = $8, former_ref = $9`)
	deleteCondition = db.Same(`DELETE FROM rbac_conditions WHERE id = $1`)
	insertCondition = db.Same(`INSERT INTO rbac_conditions (role, plugin, resource_type, mapping, criteria) VALUES ($1, $2, $3, $4, $5) RETURNING id`)
	updateCondition = db.Same(`UPDATE rbac_conditions SET role = $2, plugin = $3, resource_type = $4, mapping = $5, criteria = $6 WHERE id = $1`)
	deletePlugin    = db.Same(`DELETE FROM rbac_plugins WHERE plugin_id = $1`)
)

var (
	insertRules   = db.Insert{Table: "rbac_rules", Columns: []string{"subject", "permission", "action", "effect", "source"}}
	insertMembers = db.Insert{Table: "rbac_members", Columns: []string{"ref", "role", "source"}}
	insertPlugins = db.Insert{Table: "rbac_plugins", Columns: []string{"plugin_id"}}
)

// write stores the difference of two states. Conditions that are new get their ids.
func write(ctx context.Context, c db.Conn, before, after *engine.State) (changed bool, err error) {
	w := &writer{ctx: ctx, c: c}
	rules(w, before, after)
	members(w, before, after)
	roles(w, before, after)
	conditions(w, before, after)
	plugins(w, before, after)
	return w.changed, w.err
}

// writer keeps the first error.
type writer struct {
	ctx     context.Context // of the one call of write that it lives for
	c       db.Conn
	changed bool
	err     error
}

func (w *writer) exec(q db.SQL, args ...any) {
	if w.err == nil {
		w.changed = true
		_, w.err = w.c.Exec(w.ctx, q, args...)
	}
}

func (w *writer) insert(into db.Insert, rows [][]any) {
	if w.err == nil && len(rows) > 0 {
		w.changed = true
		_, w.err = db.InsertRows(w.ctx, w.c, into, rows)
	}
}

// differ calls gone for what is only in before, added for what is only in after, and both
// for what is in both.
func differ[T any, K comparable](before, after []T, key func(T) K, gone func(T), added func(T), both func(was, is T)) {
	have := make(map[K]T, len(before))
	for _, b := range before {
		have[key(b)] = b
	}
	want := make(map[K]bool, len(after))
	for _, a := range after {
		want[key(a)] = true
	}
	for _, b := range before {
		if !want[key(b)] {
			gone(b)
		}
	}
	for _, a := range after {
		if was, ok := have[key(a)]; ok {
			both(was, a)
		} else {
			added(a)
		}
	}
}

func rules(w *writer, before, after *engine.State) {
	var rows [][]any
	differ(before.Rules, after.Rules, engine.Rule.Key,
		func(r engine.Rule) { w.exec(deleteRule, r.Subject, r.Permission, r.Action, r.Effect) },
		func(r engine.Rule) { rows = append(rows, []any{r.Subject, r.Permission, r.Action, r.Effect, r.Source}) },
		func(was, is engine.Rule) {
			if was != is {
				w.exec(ownRule, is.Subject, is.Permission, is.Action, is.Effect, is.Source)
			}
		})
	w.insert(insertRules, rows)
}

func members(w *writer, before, after *engine.State) {
	var rows [][]any
	differ(before.Members, after.Members, func(m engine.Member) [2]string { return [2]string{m.Ref, m.Role} },
		func(m engine.Member) { w.exec(deleteMember, m.Ref, m.Role) },
		func(m engine.Member) { rows = append(rows, []any{m.Ref, m.Role, m.Source}) },
		func(was, is engine.Member) {
			if was != is {
				w.exec(ownMember, is.Ref, is.Role, is.Source)
			}
		})
	w.insert(insertMembers, rows)
}

func roles(w *writer, before, after *engine.State) {
	put := func(r engine.Role) {
		w.exec(upsertRole, r.Ref, r.Source, r.Description, r.Owner, r.Author, r.ModifiedBy, db.At(r.Created), db.At(r.Modified), r.Former)
	}
	differ(before.Roles, after.Roles, func(r engine.Role) string { return r.Ref },
		func(r engine.Role) { w.exec(deleteRole, r.Ref) }, put,
		func(was, is engine.Role) {
			if !sameRole(was, is) {
				put(is)
			}
		})
}

func sameRole(a, b engine.Role) bool {
	same := func(x, y *string) bool { return x == nil && y == nil || x != nil && y != nil && *x == *y }
	return a.Source == b.Source && a.Former == b.Former && same(a.Description, b.Description) && same(a.Owner, b.Owner) &&
		a.Author == b.Author && a.ModifiedBy == b.ModifiedBy && a.Created.Equal(b.Created) && a.Modified.Equal(b.Modified)
}

func conditions(w *writer, before, after *engine.State) {
	for _, b := range before.Conditions {
		if !slices.ContainsFunc(after.Conditions, func(a engine.Condition) bool { return a.ID == b.ID }) {
			w.exec(deleteCondition, b.ID)
		}
	}
	for i := range after.Conditions {
		a := &after.Conditions[i]
		mapping, criteria, err := texts(*a)
		if w.err == nil {
			w.err = err
		}
		if w.err != nil {
			return
		}
		if a.ID == 0 {
			w.changed = true
			w.err = w.c.QueryRow(w.ctx, insertCondition, a.Role, a.Plugin, a.ResourceType, mapping, criteria).Scan(&a.ID)
			continue
		}
		at := slices.IndexFunc(before.Conditions, func(b engine.Condition) bool { return b.ID == a.ID })
		if m, c, err := texts(before.Conditions[at]); err != nil || m != mapping || c != criteria ||
			before.Conditions[at].Role != a.Role || before.Conditions[at].Plugin != a.Plugin || before.Conditions[at].ResourceType != a.ResourceType {
			w.exec(updateCondition, a.ID, a.Role, a.Plugin, a.ResourceType, mapping, criteria)
		}
	}
}

func texts(c engine.Condition) (mapping, criteria string, err error) {
	m, err := json.Marshal(c.Mapping)
	if err != nil {
		return "", "", err
	}
	text, err := json.Marshal(c.Criteria)
	return string(m), string(text), err
}

func plugins(w *writer, before, after *engine.State) {
	var rows [][]any
	differ(before.Plugins, after.Plugins, func(id string) string { return id },
		func(id string) { w.exec(deletePlugin, id) },
		func(id string) { rows = append(rows, []any{id}) },
		func(string, string) {})
	w.insert(insertPlugins, rows)
}
