package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Relation is one direction of a relation between two entities, which need not exist.
type Relation struct {
	Originating             int64 // the row of who declares it
	Source, Type, TargetRef string
}

var (
	selectRelations = db.List(`SELECT originating_id, source_ref, type, target_ref FROM relations WHERE originating_id IN ($1...)`)
	insertRelations = insertInto("relations", "", "originating_id bigint", "source_ref text", "type text", "target_ref text")
	deleteRelations = db.SQL{
		Postgres: `DELETE FROM relations r USING unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS u(o, s, t, x)
			WHERE r.originating_id = u.o AND r.source_ref = u.s AND r.type = u.t AND r.target_ref = u.x`,
		SQLite: `DELETE FROM relations WHERE originating_id = $1 AND source_ref = $2 AND type = $3 AND target_ref = $4`,
	}
	selectKeys = db.List(`SELECT entity_id, key FROM refresh_keys WHERE entity_id IN ($1...)`)
	insertKeys = insertInto("refresh_keys", "ON CONFLICT DO NOTHING", "entity_id bigint", "key text")
	deleteKeys = db.SQL{
		Postgres: `DELETE FROM refresh_keys k USING unnest($1::bigint[], $2::text[]) AS u(id, key) WHERE k.entity_id = u.id AND k.key = u.key`,
		SQLite:   `DELETE FROM refresh_keys WHERE entity_id = $1 AND key = $2`,
	}
)

// ReplaceRelations makes relations all that the entities ids declare. Only the
// difference is written; it returns the references whose relations changed.
func (tx *Tx) ReplaceRelations(ctx context.Context, ids []int64, relations []Relation) (changed []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	old := map[Relation]bool{}
	rows, err := tx.c.Query(ctx, selectRelations, ids)
	err = each(rows, err, func(r db.Row) error {
		var rel Relation
		err := r.Scan(&rel.Originating, &rel.Source, &rel.Type, &rel.TargetRef)
		old[rel] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	note := func(ref string) {
		if !seen[ref] {
			seen[ref] = true
			changed = append(changed, ref)
		}
	}
	var added, removed relationColumns
	for _, rel := range relations {
		if kept, ok := old[rel]; !ok {
			added.add(rel)
			note(rel.Source)
			old[rel] = false
		} else if kept {
			old[rel] = false
		}
	}
	for rel, gone := range old {
		if gone {
			removed.add(rel)
			note(rel.Source)
		}
	}
	if err := forEach(ctx, tx.c, deleteRelations, len(removed.ids), removed.ids, removed.sources, removed.types, removed.targets); err != nil {
		return nil, err
	}
	return changed, insertRelations.exec(ctx, tx.c, added.ids, added.sources, added.types, added.targets)
}

type relationColumns struct {
	ids                     []int64
	sources, types, targets []string
}

func (c *relationColumns) add(r Relation) {
	c.ids = append(c.ids, r.Originating)
	c.sources, c.types, c.targets = append(c.sources, r.Source), append(c.types, r.Type), append(c.targets, r.TargetRef)
}

// ReplaceRefreshKeys makes keys, by entity, all that the entities ids have. Only the
// difference is written.
func (tx *Tx) ReplaceRefreshKeys(ctx context.Context, ids []int64, keys map[int64][]string) error {
	if len(ids) == 0 {
		return nil
	}
	type pair struct {
		id  int64
		key string
	}
	old := map[pair]bool{}
	rows, err := tx.c.Query(ctx, selectKeys, ids)
	err = each(rows, err, func(r db.Row) error {
		var p pair
		err := r.Scan(&p.id, &p.key)
		old[p] = true
		return err
	})
	if err != nil {
		return err
	}
	var addIDs, dropIDs []int64
	var addKeys, dropKeys []string
	for _, id := range ids {
		for _, key := range keys[id] {
			p := pair{id, key}
			if _, ok := old[p]; !ok {
				addIDs, addKeys = append(addIDs, id), append(addKeys, key)
			}
			old[p] = false
		}
	}
	for p, gone := range old {
		if gone {
			dropIDs, dropKeys = append(dropIDs, p.id), append(dropKeys, p.key)
		}
	}
	if err := forEach(ctx, tx.c, deleteKeys, len(dropIDs), dropIDs, dropKeys); err != nil {
		return err
	}
	return insertKeys.exec(ctx, tx.c, addIDs, addKeys)
}
