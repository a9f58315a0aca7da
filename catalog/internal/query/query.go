// Package query is the read path of the catalog: what the API asks of the entities
// that are served (contract catalog.md, section 1).
//
// Entities pass through as the bytes that are stored; nothing here decodes them. Every
// method takes an Auth, the outcome of asking who may see what, which is ANDed into
// the condition of the read, so that lists, counts and single entities agree.
package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

const (
	// DefaultLimit is the size of a page if the request has none.
	DefaultLimit = 200
	// MaxLimit bounds the size of a page.
	MaxLimit = 10_000
)

// An Auth says which entities a caller may see. The zero value is all of them.
type Auth struct {
	Deny  bool              // none
	Where *filter.Predicate // those for which it holds
}

// A Query answers reads: from memory while Run runs, else from the database. The answers
// are the same. It is safe for concurrent use.
type Query struct {
	store *store.Store
	index *index.Index
}

// New returns the read path over a store.
func New(st *store.Store, o index.Options) *Query { return &Query{st, index.New(st, o)} }

// Run keeps what reads ask for in memory, until ctx ends.
func (q *Query) Run(ctx context.Context) { q.index.Run(ctx) }

// Load takes entities and the index rows of keys into memory before somebody asks.
func (q *Query) Load(ctx context.Context, keys ...string) error { return q.index.Load(ctx, keys...) }

// either reads from memory, and what is not there from the database.
func either[T any](memory, database func() (T, error)) (T, error) {
	v, err := memory()
	if errors.Is(err, index.ErrUnready) {
		return database()
	}
	return v, err
}

// lower is a condition as the index has it; nil and what always holds are nil.
func lower(p *filter.Predicate) *filter.Predicate {
	if p == nil || p.Everything() {
		return nil
	}
	l := p.Lower()
	return &l
}

func selection(where *filter.Predicate, a Auth) store.Selection {
	return store.Selection{Where: lower(where), Auth: lower(a.Where)}
}

// saying adds to the error of a database what was being done; nil stays nil.
func saying(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// ByRef returns an entity, or an apierr.NotFound.
func (q *Query) ByRef(ctx context.Context, ref entity.Ref, a Auth) (json.RawMessage, error) {
	missing := func() error { return apierr.NotFound.New("no entity %s", ref) }
	if a.Deny || !db.IsText(ref.String()) {
		return nil, missing()
	}
	e, err := q.final(ctx, ref.String(), selection(nil, a))
	if errors.Is(err, db.ErrNoRows) {
		return nil, missing()
	}
	return e, saying(err, "read entity %s", ref)
}

func (q *Query) final(ctx context.Context, ref string, sel store.Selection) ([]byte, error) {
	return either(
		func() ([]byte, error) { return q.index.ByRef(ctx, ref, sel) },
		func() ([]byte, error) { return q.store.FinalByRef(ctx, ref, sel) })
}

// ByUID returns an entity, or an apierr.NotFound.
func (q *Query) ByUID(ctx context.Context, uid string, a Auth) (json.RawMessage, error) {
	missing := func() error { return apierr.NotFound.New("no entity with the uid %s", uid) }
	if a.Deny || !db.IsText(uid) {
		return nil, missing()
	}
	sel := selection(nil, a)
	e, err := either(
		func() ([]byte, error) { return q.index.ByUID(ctx, uid, sel) },
		func() ([]byte, error) { return q.store.FinalByUID(ctx, uid, sel) })
	if errors.Is(err, db.ErrNoRows) {
		return nil, missing()
	}
	return e, saying(err, "read the entity with the uid %s", uid)
}

// ByRefs returns the entities of refs in their order, nil for what is not there, what
// where excludes, and what is no reference. References are taken in any case, and
// without a namespace (contract catalog.md, 1.6.8, CB).
func (q *Query) ByRefs(ctx context.Context, refs []string, where *filter.Predicate, a Auth) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(refs))
	if a.Deny || len(refs) == 0 {
		return out, nil
	}
	canonical := make([]string, len(refs))
	var ask []string
	for i, s := range refs {
		if ref, err := entity.ParseRef(s); err == nil && db.IsText(s) {
			canonical[i] = ref.String()
			ask = append(ask, canonical[i])
		}
	}
	slices.Sort(ask)
	ask = slices.Compact(ask)
	sel := selection(where, a)
	found, err := either(
		func() (map[string][]byte, error) { return q.index.ByRefs(ctx, ask, sel) },
		func() (map[string][]byte, error) { return q.store.FinalsByRefs(ctx, ask, sel) })
	if err != nil {
		return nil, saying(err, "read %d entities by reference", len(refs))
	}
	for i, ref := range canonical {
		if ref != "" {
			out[i] = found[ref]
		}
	}
	return out, nil
}

// An Order is a field that results are ordered by, and the direction.
type Order struct {
	Field string
	Desc  bool
}

func (o Order) store() store.Order {
	return store.Order{Key: entity.SearchText(o.Field), Desc: o.Desc}
}

// A ListRequest is GET /entities.
type ListRequest struct {
	Where *filter.Predicate
	Order []Order
	// Limit and Offset make it a page; both nil is everything.
	Limit, Offset *int
	Auth          Auth
}

// List yields everything that a request without a page asks for, ordered by its first
// order, where entities without a value are left out, or by uid. No connection is held
// while the caller takes its time.
func (q *Query) List(ctx context.Context, r ListRequest) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if r.Auth.Deny {
			return
		}
		var order *store.Order
		if len(r.Order) > 0 {
			o := r.Order[0].store()
			order = &o
		}
		sel := selection(r.Where, r.Auth)
		list, err := either(
			func() (iter.Seq2[[]byte, error], error) {
				return q.index.List(ctx, sel, order, q.recheck(ctx, sel))
			},
			func() (iter.Seq2[[]byte, error], error) { return q.store.StreamFinals(ctx, sel, order), nil })
		if err != nil {
			yield(nil, saying(err, "list entities"))
			return
		}
		for e, err := range list {
			if !yield(e, saying(err, "list entities")) {
				return
			}
		}
	}
}

// maxOrders bounds the joins of one page.
const maxOrders = 8

// ListPage yields a page of GET /entities, and says whether there is more behind it. Here
// entities without a value for an order come last. Like List it holds no connection.
func (q *Query) ListPage(ctx context.Context, r ListRequest) (items iter.Seq2[json.RawMessage, error], more bool, err error) {
	if r.Auth.Deny {
		return func(func(json.RawMessage, error) bool) {}, false, nil
	}
	if len(r.Order) > maxOrders {
		return nil, false, apierr.Input.New("at most %d orders can be given", maxOrders)
	}
	limit, offset := -1, 0
	if r.Limit != nil {
		limit = min(*r.Limit, MaxLimit)
	}
	if r.Offset != nil {
		offset = *r.Offset
	}
	var orders []store.Order
	for _, o := range r.Order {
		orders = append(orders, o.store())
	}
	sel := selection(r.Where, r.Auth)
	list, err := either(
		func() (found iter.Seq2[[]byte, error], err error) {
			found, more, err = q.index.ListPage(ctx, sel, orders, limit, offset, q.recheck(ctx, sel))
			return found, err
		},
		func() (iter.Seq2[[]byte, error], error) {
			ask := limit
			if limit >= 0 {
				ask++
			}
			ids, err := q.store.FinalIDsAt(ctx, sel, orders, ask, offset)
			if limit >= 0 && len(ids) > limit {
				ids, more = ids[:limit], true
			}
			return q.store.StreamByID(ctx, ids, sel), err
		})
	if err != nil {
		return nil, false, saying(err, "list entities from %d on", offset)
	}
	return func(yield func(json.RawMessage, error) bool) {
		for e, err := range list {
			if !yield(e, saying(err, "list entities from %d on", offset)) {
				return
			}
		}
	}, more, nil
}

// recheck returns the bytes of those of ids that a selection still has.
func (q *Query) recheck(ctx context.Context, sel store.Selection) func(ids []int64) (map[int64][]byte, error) {
	return func(ids []int64) (map[int64][]byte, error) { return q.store.FinalsByID(ctx, ids, sel) }
}

// A FacetValue is a value of a facet, and how many entities have it.
type FacetValue struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// Facets counts the values of each facet, which the answer names as it was asked for.
func (q *Query) Facets(ctx context.Context, facets []string, where *filter.Predicate, a Auth) (map[string][]FacetValue, error) {
	out := make(map[string][]FacetValue, len(facets))
	var keys []string
	askedAs := map[string][]string{} // the index's key to the facets that mean it
	for _, f := range facets {
		if _, twice := out[f]; twice {
			continue
		}
		out[f] = []FacetValue{}
		key := entity.SearchText(f)
		keys = append(keys, key)
		askedAs[key] = append(askedAs[key], f)
	}
	if a.Deny {
		return out, nil
	}
	sel := selection(where, a)
	found, err := either(
		func() ([]store.Facet, error) { return q.index.Facets(ctx, keys, sel) },
		func() ([]store.Facet, error) { return q.store.Facets(ctx, keys, sel) })
	if err != nil {
		return nil, saying(err, "count the values of %d facets", len(keys))
	}
	for _, v := range found {
		for _, f := range askedAs[v.Key] {
			out[f] = append(out[f], FacetValue{v.Value, v.Count})
		}
	}
	return out, nil
}

// An AncestryItem is an entity, and who emits it.
type AncestryItem struct {
	Entity  json.RawMessage `json:"entity"`
	Parents []string        `json:"parentEntityRefs"`
}

// Ancestry returns an entity and what emits it, directly and through others, each once
// and the nearest first. What the caller may not see is left out with everything that
// is only reached through it; its reference stays among the parents. An apierr.NotFound
// says that there is no such entity, an apierr.NotAllowed that the caller may not see it.
func (q *Query) Ancestry(ctx context.Context, ref entity.Ref, a Auth) (root string, items []AncestryItem, err error) {
	root = ref.String()
	if !db.IsText(ref.Kind + ref.Namespace + ref.Name) {
		return "", nil, apierr.NotFound.New("no entity %s", ref)
	}
	if a.Deny {
		return "", nil, apierr.NotAllowed.New("")
	}
	sel := selection(nil, a)
	l, err := q.index.Ancestry(ctx, root, sel)
	emitters := func(level []int64) (out []store.Emitter, err error) {
		slices.Sort(level)
		for _, id := range level {
			out = append(out, l.Emitters[id]...)
		}
		return out, nil
	}
	if errors.Is(err, index.ErrUnready) {
		l, err = q.root(ctx, root, sel)
		emitters = func(level []int64) ([]store.Emitter, error) { return q.store.Emitters(ctx, level, sel) }
	}
	switch {
	case err != nil:
		return "", nil, saying(err, "read the ancestry of %s", ref)
	case !l.Exists:
		return "", nil, apierr.NotFound.New("no entity %s", ref)
	case l.Root == 0:
		return "", nil, apierr.NotAllowed.New("")
	}
	if items, err = ancestors(l, emitters); err != nil {
		return "", nil, saying(err, "read the ancestry of %s", ref)
	}
	return root, items, nil
}

// root is the lineage of an entity without its emitters, from the database.
func (q *Query) root(ctx context.Context, ref string, sel store.Selection) (l index.Lineage, err error) {
	id, err := q.store.FinalID(ctx, ref)
	if errors.Is(err, db.ErrNoRows) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.Exists = true
	l.Entity, err = q.store.FinalByRef(ctx, ref, sel)
	if errors.Is(err, db.ErrNoRows) {
		return l, nil
	}
	l.Root = id
	return l, err
}

// ancestors walks up level by level.
func ancestors(l index.Lineage, emitters func(level []int64) ([]store.Emitter, error)) ([]AncestryItem, error) {
	items := []AncestryItem{{Entity: l.Entity, Parents: []string{}}}
	at := map[int64]int{l.Root: 0} // row to item
	for level := []int64{l.Root}; len(level) > 0; {
		found, err := emitters(level)
		if err != nil {
			return nil, err
		}
		level = nil
		for _, e := range found {
			child := &items[at[e.Child]]
			child.Parents = append(child.Parents, e.Ref)
			if _, seen := at[e.ID]; seen || e.Entity == nil {
				continue
			}
			at[e.ID] = len(items)
			items = append(items, AncestryItem{Entity: e.Entity, Parents: []string{}})
			level = append(level, e.ID)
		}
	}
	return items, nil
}

// FullText is a search in the values of fields; by default in the one that results are
// ordered by, else in the uid.
type FullText struct {
	Term   string   `json:"term"`
	Fields []string `json:"fields,omitempty"`
}

func (f *FullText) add(sel *store.Selection, order *Order) {
	if f == nil {
		return
	}
	sel.Text = entity.SearchText(strings.TrimSpace(f.Term))
	if sel.Text == "" {
		return
	}
	fields := f.Fields
	if len(fields) == 0 {
		fields = []string{"metadata.uid"}
		if order != nil {
			fields = []string{order.Field}
		}
	}
	for _, field := range fields {
		sel.TextKeys = append(sel.TextKeys, entity.SearchText(field))
	}
}
