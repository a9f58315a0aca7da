package store

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/db"
)

var (
	selectFinalByRef = db.Same(`SELECT entity FROM final_entities WHERE ref = $1`)
	selectFinalByUID = db.Same(`SELECT entity FROM final_entities WHERE uid = $1`)
)

// An Order is a key that results are ordered by, in lower case.
type Order struct {
	Key  string
	Desc bool
}

func (o Order) word() string {
	if o.Desc {
		return " DESC"
	}
	return " ASC"
}

// end is the aggregate that makes one value of several: the first in the order.
func (o Order) end() string {
	if o.Desc {
		return "max"
	}
	return "min"
}

// FinalByRef returns an entity as it is served; db.ErrNoRows if there is none, or
// if auth hides it.
func (s *Store) FinalByRef(ctx context.Context, ref string, sel Selection) ([]byte, error) {
	return s.final(ctx, selectFinalByRef, "ref", ref, sel)
}

// FinalByUID is FinalByRef by uid.
func (s *Store) FinalByUID(ctx context.Context, uid string, sel Selection) ([]byte, error) {
	return s.final(ctx, selectFinalByUID, "uid", uid, sel)
}

func (s *Store) final(ctx context.Context, plain db.SQL, column, value string, sel Selection) (out []byte, err error) {
	if sel.Where == nil && sel.Auth == nil {
		err = s.db.QueryRow(ctx, plain, value).Scan(&out)
		return out, err
	}
	q, err := s.statement(ctx, sel, false)
	if err != nil {
		return nil, err
	}
	q.WriteString("SELECT e.entity FROM final_entities e WHERE e." + column + " = " + q.arg(value))
	q.selection(sel)
	err = s.db.QueryRow(ctx, q.sql(), q.args...).Scan(&out)
	return out, err
}

func (s *Store) statement(ctx context.Context, sel Selection, scan bool, keys ...string) (*statement, error) {
	ids, err := s.keyIDs(ctx, sel.Keys(keys...))
	if err != nil {
		return nil, err
	}
	return &statement{keys: ids, entity: "e.id", scan: scan}, nil
}

// FinalsByRefs returns the entities of refs that there are, by ref.
func (s *Store) FinalsByRefs(ctx context.Context, refs []string, sel Selection) (map[string][]byte, error) {
	q, err := s.statement(ctx, sel, false)
	if err != nil {
		return nil, err
	}
	q.WriteString("SELECT e.ref, e.entity FROM final_entities e WHERE e.ref IN " + q.list(refs))
	q.selection(sel)
	out := make(map[string][]byte, len(refs))
	rows, err := s.db.Query(ctx, q.sql(), q.args...)
	err = each(rows, err, func(r db.Row) error {
		var ref string
		var entity []byte
		err := r.Scan(&ref, &entity)
		out[ref] = entity
		return err
	})
	return out, err
}

// StreamFinals yields all entities of a selection: by uid, or by the first value of
// order, where entities without one are left out. What leaves the selection meanwhile is
// left out.
func (s *Store) StreamFinals(ctx context.Context, sel Selection, order *Order) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ids, err := s.finalIDs(ctx, sel, order)
		if err != nil {
			yield(nil, err)
			return
		}
		s.StreamByID(ctx, ids, sel)(yield)
	}
}

// StreamByID yields those of ids that a selection has, in their order. It reads batches,
// so that a client that reads slowly holds no connection.
func (s *Store) StreamByID(ctx context.Context, ids []int64, sel Selection) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for batch := range slices.Chunk(ids, streamBatch) {
			found, err := s.FinalsByID(ctx, batch, sel)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, id := range batch {
				if e, ok := found[id]; ok && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// streamBatch is how many entities of a stream are in memory.
const streamBatch = 200

func (s *Store) finalIDs(ctx context.Context, sel Selection, order *Order) ([]int64, error) {
	var key []string
	if order != nil {
		key = []string{order.Key}
	}
	q, err := s.statement(ctx, sel, true, key...)
	if err != nil {
		return nil, err
	}
	q.WriteString("SELECT e.id FROM final_entities e")
	if order != nil {
		q.WriteString(" JOIN (SELECT entity_id, " + order.end() + "(value) AS value FROM search WHERE key_id = " + q.arg(q.keys[order.Key]) +
			" AND value IS NOT NULL GROUP BY entity_id) o ON o.entity_id = e.id")
	}
	q.WriteString(" WHERE 1 = 1")
	q.selection(sel)
	if order != nil {
		q.WriteString(" ORDER BY o.value" + order.word() + ", e.uid" + order.word())
	} else {
		q.WriteString(" ORDER BY e.uid")
	}
	return column[int64](s.db.Query(ctx, q.sql(), q.args...))
}

// FinalsByID returns those of ids that a selection has.
func (s *Store) FinalsByID(ctx context.Context, ids []int64, sel Selection) (map[int64][]byte, error) {
	q, err := s.statement(ctx, sel, false)
	if err != nil {
		return nil, err
	}
	q.WriteString("SELECT e.id, e.entity FROM final_entities e WHERE e.id IN " + q.list(ids))
	q.selection(sel)
	out := make(map[int64][]byte, len(ids))
	rows, err := s.db.Query(ctx, q.sql(), q.args...)
	err = each(rows, err, func(r db.Row) error {
		var id int64
		var entity []byte
		err := r.Scan(&id, &entity)
		out[id] = entity
		return err
	})
	return out, err
}

// FinalIDsAt returns the rows of the entities from offset on, limit of them at most; a negative
// limit is none. They are ordered by the keys, those without a value last, and then
// by uid; without a key by ref.
func (s *Store) FinalIDsAt(ctx context.Context, sel Selection, orders []Order, limit, offset int) ([]int64, error) {
	var keys []string
	for _, o := range orders {
		keys = append(keys, o.Key)
	}
	q, err := s.statement(ctx, sel, true, keys...)
	if err != nil {
		return nil, err
	}
	q.WriteString("SELECT e.id FROM final_entities e")
	var by []string
	for i, o := range orders {
		alias := "o" + string(rune('a'+i))
		q.WriteString(" LEFT JOIN (SELECT entity_id, " + o.end() + "(value) AS value FROM search WHERE key_id = " + q.arg(q.keys[o.Key]) +
			" AND value IS NOT NULL GROUP BY entity_id) " + alias + " ON " + alias + ".entity_id = e.id")
		by = append(by, "("+alias+".value IS NULL)", alias+".value"+o.word())
	}
	if len(orders) == 0 {
		by = []string{"e.ref"}
	} else {
		by = append(by, "e.uid")
	}
	q.WriteString(" WHERE 1 = 1")
	q.selection(sel)
	q.WriteString(" ORDER BY " + strings.Join(by, ", "))
	if limit < 0 {
		limit = 1 << 30
	}
	q.WriteString(" LIMIT " + q.arg(limit) + " OFFSET " + q.arg(offset))
	return column[int64](s.db.Query(ctx, q.sql(), q.args...))
}
