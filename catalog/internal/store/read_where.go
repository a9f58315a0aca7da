package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
)

// A Selection says which served entities a read is about. The zero value is all.
type Selection struct {
	// Where is a condition in lower case (filter.Predicate.Lower); nil is none.
	Where *filter.Predicate
	// Auth is what the caller may see, ANDed with Where; nil is everything.
	Auth *filter.Predicate
	// Text, lower case, is contained in a value of one of TextKeys; empty is no text search.
	Text     string
	TextKeys []string
}

// Keys lists the index keys that a selection speaks of, and those of more.
func (s Selection) Keys(more ...string) []string {
	out := append([]string(nil), more...)
	var walk func(p filter.Predicate)
	walk = func(p filter.Predicate) {
		switch p.Op {
		case filter.Exists, filter.In, filter.Prefix:
			out = append(out, p.Key)
		}
		for _, q := range p.Of {
			walk(q)
		}
	}
	for _, p := range []*filter.Predicate{s.Where, s.Auth} {
		if p != nil {
			walk(*p)
		}
	}
	if s.Text != "" {
		out = append(out, s.TextKeys...)
	}
	return out
}

// keyIDs looks keys up without making new ones: a key that no entity has is absent.
func (s *Store) keyIDs(ctx context.Context, keys []string) (map[string]int32, error) {
	out := make(map[string]int32, len(keys))
	var missing []string
	s.keysMu.RLock()
	for _, key := range keys {
		if id, ok := s.keys[key]; ok {
			out[key] = id
		} else {
			missing = append(missing, key)
		}
	}
	s.keysMu.RUnlock()
	if len(missing) == 0 {
		return out, nil
	}
	found := map[string]int32{}
	rows, err := s.db.Query(ctx, selectSearchKeys, missing)
	err = each(rows, err, func(r db.Row) error {
		var id int32
		var key string
		err := r.Scan(&id, &key)
		found[key] = id
		return err
	})
	if err != nil {
		return nil, err
	}
	s.keysMu.Lock()
	defer s.keysMu.Unlock()
	for key, id := range found {
		out[key] = id
		if len(s.keys) < maxKnownKeys {
			s.keys[key] = id
		}
	}
	return out, nil
}

// A statement is SQL that is put together at run time, alike in both dialects.
type statement struct {
	strings.Builder
	args []any
	keys map[string]int32
	// entity is the column that conditions are about: the row of an entity.
	entity string
	// scan makes conditions sets of ids, for statements that read all that match;
	// without it they are looked up entity by entity, for those that stop early.
	scan bool
	// apart keeps PostgreSQL from planning the conditions as one join, whose planning
	// takes seconds from some fifty of them on and minutes from two hundred (SEC-11).
	apart bool
}

// arg adds an argument and returns its placeholder.
func (q *statement) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// list adds a list argument, for IN.
func (q *statement) list(v any) string { return "(" + q.arg(v) + "...)" }

// sql is planned for its values: a prepared statement does not know whether a key is that
// of kind or of a rare annotation, and reads all of an ordered list for its first page.
// maxJoined sees to it that planning is quick.
func (q *statement) sql() db.SQL {
	s := db.List(q.String())
	s.ForValues = true
	return s
}

// selection writes the conditions on the entity, each after AND.
func (q *statement) selection(s Selection) {
	q.apart = len(s.Keys()) > maxJoined
	for _, p := range []*filter.Predicate{s.Where, s.Auth} {
		if p != nil && !p.Everything() {
			q.WriteString(" AND ")
			q.predicate(*p)
		}
	}
	if s.Text == "" {
		return
	}
	var ids []int32
	for _, key := range s.TextKeys {
		if id, ok := q.keys[key]; ok {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		q.WriteString(" AND 1 = 0")
		return
	}
	q.WriteString(" AND ")
	// No value is longer; SQLite refuses patterns of 50,000 bytes.
	if len(s.Text) > 3*entity.MaxSearchText {
		q.WriteString("1 = 0")
		return
	}
	q.rows("key_id IN " + q.list(ids) + " AND value LIKE " + q.arg("%"+likeEscape.Replace(s.Text)+"%") + ` ESCAPE '\'`)
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// rows says that the entity has an index row for which cond holds.
func (q *statement) rows(cond string) {
	if q.apart {
		q.WriteString("EXISTS (SELECT 1 FROM search WHERE entity_id = " + q.entity + " AND " + cond + " LIMIT 1 OFFSET 0)")
		return
	}
	if q.scan {
		q.WriteString(q.entity + " IN (SELECT entity_id FROM search WHERE " + cond + ")")
		return
	}
	q.WriteString("EXISTS (SELECT 1 FROM search WHERE entity_id = " + q.entity + " AND " + cond + ")")
}

// maxJoined is how many conditions a database may choose the order of. People ask for
// two or three.
const maxJoined = 10

// after is the least text that is greater than every text with the prefix, in the
// order of bytes, which is that of code points; false if there is none.
func after(prefix string) (string, bool) {
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch r {
		case utf8.MaxRune:
			continue
		case 0xD7FF:
			r = 0xE000 // what lies between are no characters
		default:
			r++
		}
		return prefix + string(r), true
	}
	return "", false
}

func (q *statement) predicate(p filter.Predicate) {
	switch p.Op {
	case filter.All:
		q.join(p.Of, " AND ", "1 = 1")
		return
	case filter.Any:
		q.join(oneList(p.Of), " OR ", "1 = 0")
		return
	case filter.Not:
		q.WriteString("NOT (")
		q.predicate(p.Of[0])
		q.WriteString(")")
		return
	}
	id, known := q.keys[p.Key]
	if !known || p.Op == filter.In && len(p.Values) == 0 {
		q.WriteString("1 = 0")
		return
	}
	cond := "key_id = " + q.arg(id)
	switch {
	case p.Op == filter.In && len(p.Values) == 1:
		cond += " AND value = " + q.arg(p.Values[0])
	case p.Op == filter.In:
		cond += " AND value IN " + q.list(p.Values)
	case p.Op == filter.Prefix:
		cond += " AND value >= " + q.arg(p.Values[0])
		if end, ok := after(p.Values[0]); ok {
			cond += " AND value < " + q.arg(end)
		}
	}
	q.rows(cond)
}

// oneList makes one list of alternatives that are lists of values for the same key:
// filter=kind=api&filter=kind=group costs one look-up, and a thousand of them too.
func oneList(of []filter.Predicate) []filter.Predicate {
	var out []filter.Predicate
	at := map[string]int{}
	for _, p := range of {
		i, ok := at[p.Key]
		if p.Op != filter.In || !ok {
			if p.Op == filter.In {
				at[p.Key] = len(out)
			}
			out = append(out, p)
			continue
		}
		out[i].Values = slices.Concat(out[i].Values, p.Values)
	}
	return out
}

func (q *statement) join(of []filter.Predicate, op, empty string) {
	if len(of) == 0 {
		q.WriteString(empty)
		return
	}
	// Halves within halves: SQLite refuses a chain of a thousand as too deep.
	if len(of) == 1 {
		q.predicate(of[0])
		return
	}
	q.WriteString("(")
	q.join(of[:len(of)/2], op, empty)
	q.WriteString(op)
	q.join(of[len(of)/2:], op, empty)
	q.WriteString(")")
}
