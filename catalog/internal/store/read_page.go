package store

import (
	"context"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Position is a place between two entities of an ordered list: Value of the order
// key, if there is one, and uid.
type Position struct {
	Value string
	UID   string
}

// A PageQuery asks for a part of an ordered list.
type PageQuery struct {
	Selection Selection
	Order     *Order    // nil: by uid
	After     *Position // nil: from the start
	Backward  bool      // the entities before After, the nearest last
	Limit     int
	Offset    int
}

// A PageRow is one entity of a page.
type PageRow struct {
	Position
	Entity []byte
}

// Page returns one page. Entities without a value for the order key are not in the
// list; one with several is there once, by the first in the order.
func (s *Store) Page(ctx context.Context, p PageQuery) (out []PageRow, err error) {
	desc := p.Order != nil && p.Order.Desc != p.Backward || p.Order == nil && p.Backward
	word, beyond := " ASC", ">"
	if desc {
		word, beyond = " DESC", "<"
	}
	var keys []string
	if p.Order != nil {
		keys = []string{p.Order.Key}
	}
	q, err := s.statement(ctx, p.Selection, false, keys...)
	if err != nil {
		return nil, err
	}
	if p.Order == nil {
		q.WriteString("SELECT '', e.uid, e.entity FROM final_entities e WHERE 1 = 1")
		if p.After != nil {
			q.WriteString(" AND e.uid " + beyond + " " + q.arg(p.After.UID))
		}
		q.selection(p.Selection)
		q.WriteString(" ORDER BY e.uid" + word)
	} else {
		id, known := q.keys[p.Order.Key]
		if !known {
			return nil, nil
		}
		key := q.arg(id)
		// The index on (key, value, entity) gives the rows in order, so that the
		// statement ends when the page is full.
		q.WriteString("SELECT o.value, e.uid, e.entity FROM search o JOIN final_entities e ON e.id = o.entity_id WHERE o.key_id = " + key + " AND o.value IS NOT NULL")
		if p.After != nil {
			value, uid := q.arg(p.After.Value), q.arg(p.After.UID)
			q.WriteString(" AND o.value " + beyond + "= " + value + " AND (o.value " + beyond + " " + value + " OR e.uid " + beyond + " " + uid + ")")
		}
		nearer := "<"
		if p.Order.Desc {
			nearer = ">"
		}
		q.WriteString(" AND NOT EXISTS (SELECT 1 FROM search n WHERE n.entity_id = o.entity_id AND n.key_id = " + key + " AND n.value " + nearer + " o.value)")
		q.selection(p.Selection)
		q.WriteString(" ORDER BY o.value" + word + ", e.uid" + word)
	}
	q.WriteString(" LIMIT " + q.arg(p.Limit))
	if p.Offset > 0 {
		q.WriteString(" OFFSET " + q.arg(p.Offset))
	}
	rows, err := s.db.Query(ctx, q.sql(), q.args...)
	err = each(rows, err, func(r db.Row) error {
		var row PageRow
		err := r.Scan(&row.Value, &row.UID, &row.Entity)
		out = append(out, row)
		return err
	})
	if p.Backward {
		slices.Reverse(out)
	}
	return out, err
}

// Count returns how many entities a list has that Page cuts into pages.
func (s *Store) Count(ctx context.Context, sel Selection, order *Order) (n int, err error) {
	var keys []string
	if order != nil {
		keys = []string{order.Key}
	}
	q, err := s.statement(ctx, sel, true, keys...)
	if err != nil {
		return 0, err
	}
	q.WriteString("SELECT count(*) FROM final_entities e WHERE 1 = 1")
	if order != nil {
		id, known := q.keys[order.Key]
		if !known {
			return 0, nil
		}
		q.WriteString(" AND ")
		q.rows("key_id = " + q.arg(id) + " AND value IS NOT NULL")
	}
	q.selection(sel)
	err = s.db.QueryRow(ctx, q.sql(), q.args...).Scan(&n)
	return n, err
}

// A Facet is a value of a key, and how many entities have it.
type Facet struct {
	Key   string
	Value string
	Count int
}

// Facets counts the values of keys over a selection, ordered by key and value, which
// have the case of the entities.
func (s *Store) Facets(ctx context.Context, keys []string, sel Selection) (out []Facet, err error) {
	q, err := s.statement(ctx, sel, true, keys...)
	if err != nil {
		return nil, err
	}
	names := map[int32]string{}
	var ids []int32
	for _, key := range keys {
		if id, ok := q.keys[key]; ok && names[id] == "" {
			names[id] = key
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	q.WriteString("SELECT s.key_id, coalesce(s.original, s.value), count(*) FROM search s WHERE s.key_id IN " + q.list(ids) + " AND s.value IS NOT NULL")
	if sel.Where != nil || sel.Auth != nil {
		q.entity = "s.entity_id" // index rows are there only while their entity is served
		q.selection(sel)
	}
	q.WriteString(" GROUP BY 1, 2 ORDER BY 1, 2")
	rows, err := s.db.Query(ctx, q.sql(), q.args...)
	err = each(rows, err, func(r db.Row) error {
		var f Facet
		var id int32
		err := r.Scan(&id, &f.Value, &f.Count)
		f.Key = names[id]
		out = append(out, f)
		return err
	})
	return out, err
}

// An Emitter is an entity that emits another one, as it is served; Entity is nil if it
// is not, or if the selection hides it.
type Emitter struct {
	ID     int64
	Ref    string
	Child  int64 // the row of the entity that it emits
	Entity []byte
}

var selectFinalID = db.Same(`SELECT id FROM final_entities WHERE ref = $1`)

// FinalID returns the row of a served entity, 0 if there is none.
func (s *Store) FinalID(ctx context.Context, ref string) (id int64, err error) {
	err = s.db.QueryRow(ctx, selectFinalID, ref).Scan(&id)
	return id, err
}

// Emitters returns the entities that emit those of ids.
func (s *Store) Emitters(ctx context.Context, ids []int64, sel Selection) (out []Emitter, err error) {
	q, err := s.statement(ctx, sel, false)
	if err != nil {
		return nil, err
	}
	q.WriteString("SELECT p.id, p.ref, r.target_id, e.entity FROM refresh_edges r JOIN refresh_state p ON p.id = r.source_id LEFT JOIN final_entities e ON e.id = p.id")
	q.selection(sel) // continues the ON
	q.WriteString(" WHERE r.target_id IN " + q.list(ids) + " ORDER BY r.target_id, p.ref")
	rows, err := s.db.Query(ctx, q.sql(), q.args...)
	err = each(rows, err, func(r db.Row) error {
		var e Emitter
		err := r.Scan(&e.ID, &e.Ref, &e.Child, &e.Entity)
		out = append(out, e)
		return err
	})
	return out, err
}

// Every step looks up the edges of one row by the index. Left to itself, PostgreSQL
// guesses that there are many rows and reads all edges.
var selectLineages = db.SQL{
	Postgres: `
	WITH RECURSIVE root AS (SELECT id, ref FROM refresh_state WHERE ref = ANY($1)),
	up (id) AS (
		SELECT id FROM root
		UNION SELECT e.source_id FROM up, LATERAL (
			SELECT source_id FROM refresh_edges WHERE target_id = up.id AND source_id IS NOT NULL OFFSET 0) e)
	SELECT 0::bigint, id, ref FROM root
	UNION ALL SELECT up.id, e.id, e.ref FROM up, LATERAL (
		SELECT s.id, s.ref FROM refresh_edges r JOIN refresh_state s ON s.id = r.source_id WHERE r.target_id = up.id OFFSET 0) e`,
	SQLite: `
	WITH RECURSIVE root AS (SELECT id, ref FROM refresh_state WHERE ref IN (SELECT value FROM json_each($1))),
	up (id) AS (
		SELECT id FROM root
		UNION SELECT r.source_id FROM up CROSS JOIN refresh_edges r WHERE r.target_id = up.id AND r.source_id IS NOT NULL)
	SELECT 0, id, ref FROM root
	UNION ALL SELECT up.id, s.id, s.ref FROM up CROSS JOIN refresh_edges r CROSS JOIN refresh_state s
		WHERE r.target_id = up.id AND s.id = r.source_id`,
}

// Lineages returns who emits refs and who emits those, all the way up, by the row that is
// emitted, ordered by reference; refs themselves are below 0. Entities have no bytes.
func (s *Store) Lineages(ctx context.Context, refs []string) (map[int64][]Emitter, error) {
	out := map[int64][]Emitter{}
	rows, err := s.db.Query(ctx, selectLineages, refs)
	err = each(rows, err, func(r db.Row) error {
		var e Emitter
		err := r.Scan(&e.Child, &e.ID, &e.Ref)
		out[e.Child] = append(out[e.Child], e)
		return err
	})
	for _, list := range out {
		slices.SortFunc(list, func(a, b Emitter) int { return strings.Compare(a.Ref, b.Ref) })
	}
	return out, err
}
