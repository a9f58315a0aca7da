package index

import (
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// patience is how long a read waits for what it needs to be loaded. Up to some ten
// thousand entities that takes less time than the database does to answer.
const patience = 300 * time.Millisecond

// at runs read with everything that was committed before, and with the columns of keys.
func (x *Index) at(ctx context.Context, keys []string, read func() error) error {
	loading, err := x.try(ctx, keys, read)
	if loading == nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-loading:
	case <-timer.C:
		return ErrUnready
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = x.try(ctx, keys, read)
	return err
}

// try is at without waiting. If it returns ErrUnready because something is missing,
// loading is closed when that has been loaded, as far as it can be.
func (x *Index) try(ctx context.Context, keys []string, read func() error) (loading <-chan struct{}, err error) {
	err = x.current(ctx)
	if err == ErrUnready { // and not that the database is away, which no waiting helps
		return x.want(keys...), err
	}
	if err != nil {
		return nil, err
	}
	var absent []string // keys that no entity had when x.known was known
	known := int64(-1)
	for range maxTries {
		x.mu.RLock()
		if !x.loaded {
			x.mu.RUnlock()
			return x.want(keys...), ErrUnready
		}
		if x.known != known {
			absent = nil // that may be different now
		}
		missing := x.missing(keys, absent)
		if missing == nil {
			defer x.mu.RUnlock()
			return nil, read()
		}
		large := slices.ContainsFunc(missing, func(key string) bool { return x.large[key] })
		known = x.known
		x.mu.RUnlock()
		if large {
			return nil, ErrUnready
		}
		ids, err := x.store.KeyIDs(ctx, missing)
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			return x.want(slices.Collect(maps.Keys(ids))...), ErrUnready
		}
		absent = missing
	}
	return nil, ErrUnready
}

// missing is those of keys that have no column, except absent ones, and notes that the
// others are used.
func (x *Index) missing(keys, absent []string) (out []string) {
	for _, key := range keys {
		switch h := x.columns[key]; {
		case h != nil:
			h.used.Store(x.clock.Add(1))
		case !slices.Contains(absent, key):
			out = append(out, key)
		}
	}
	return out
}

// column is that of a key, which is loaded or absent.
func (x *Index) column(key string) *column {
	if h := x.columns[key]; h != nil {
		return h.column
	}
	return x.empty
}

// A wanted is an entity as it was when it was found.
type wanted struct {
	slot uint32
	id   int64
	seq  int64
}

func (x *Index) wantedOf(slot uint32) wanted { return wanted{slot, x.ids[slot], x.seqs[slot]} }

// documents returns the bytes of entities as they were when they were found; those that
// have changed since are nil, and changed says so.
func (x *Index) documents(ctx context.Context, list []wanted, passing bool) (out [][]byte, changed bool, err error) {
	out = make([][]byte, len(list))
	var missing []int64
	x.cache.mu.RLock()
	for i, w := range list {
		if int(w.slot) < len(x.cache.docs) {
			out[i] = x.cache.get(w.slot, w.seq)
		}
		if out[i] == nil {
			missing = append(missing, w.id)
		}
	}
	x.cache.mu.RUnlock()
	if missing == nil {
		return out, false, nil
	}
	found := make(map[int64]store.Document, len(missing))
	if err := x.store.Documents(ctx, missing, func(d store.Document) { found[d.ID] = d }); err != nil {
		return nil, false, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.cache.mu.Lock()
	defer x.cache.mu.Unlock()
	for i, w := range list {
		if out[i] != nil {
			continue
		}
		d, ok := found[w.id]
		if !ok || d.Seq != w.seq {
			changed = true
			continue
		}
		out[i] = d.Entity
		if x.ids[w.slot] == w.id && x.seqs[w.slot] == w.seq {
			x.cache.put(w.slot, w.seq, d.Entity, passing)
		}
	}
	return out, changed, nil
}

// maxTries is how often a read looks again because something has changed meanwhile: what
// it found, before its bytes were there. What a caller may see is decided by the state that the bytes are of.
const maxTries = 3

// find runs pick, and returns what it picked with its bytes.
func (x *Index) find(ctx context.Context, keys []string, pick func() []wanted) ([][]byte, error) {
	for range maxTries {
		var list []wanted
		if err := x.at(ctx, keys, func() error { list = pick(); return nil }); err != nil {
			return nil, err
		}
		docs, changed, err := x.documents(ctx, list, false)
		if err != nil || !changed {
			return docs, err
		}
	}
	return nil, ErrUnready
}

// ByRef returns the bytes of an entity; db.ErrNoRows if there is none that sel has.
func (x *Index) ByRef(ctx context.Context, ref string, sel store.Selection) ([]byte, error) {
	return x.one(ctx, sel, func() (uint32, bool) {
		slot, ok := x.byRef[ref]
		return slot, ok
	})
}

// ByUID is ByRef by uid.
func (x *Index) ByUID(ctx context.Context, uid string, sel store.Selection) ([]byte, error) {
	return x.one(ctx, sel, func() (uint32, bool) {
		slots := x.uidLine.slots
		i, ok := sort.Find(len(slots), func(i int) int { return strings.Compare(uid, x.uids[slots[i]]) })
		if !ok {
			return 0, false
		}
		return slots[i], true
	})
}

func (x *Index) one(ctx context.Context, sel store.Selection, slot func() (uint32, bool)) ([]byte, error) {
	k := keyOf(sel, nil)
	docs, err := x.find(ctx, sel.Keys(), func() []wanted {
		if s, ok := slot(); ok && (k.everything() || x.matches(k).has(s)) {
			return []wanted{x.wantedOf(s)}
		}
		return nil
	})
	if err == nil && len(docs) == 0 {
		err = db.ErrNoRows
	}
	if err != nil {
		return nil, err
	}
	return docs[0], nil
}

// ByRefs returns the bytes of those of refs that sel has, by reference.
func (x *Index) ByRefs(ctx context.Context, refs []string, sel store.Selection) (map[string][]byte, error) {
	k := keyOf(sel, nil)
	var found []string
	docs, err := x.find(ctx, sel.Keys(), func() []wanted {
		m := x.matches(k)
		found = make([]string, 0, len(refs))
		list := make([]wanted, 0, len(refs))
		for _, ref := range refs {
			if slot, ok := x.byRef[ref]; ok && m.has(slot) {
				list, found = append(list, x.wantedOf(slot)), append(found, ref)
			}
		}
		return list
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(found))
	for i, ref := range found {
		out[ref] = docs[i]
	}
	return out, nil
}

// Facets counts the values of keys among the entities of a selection.
func (x *Index) Facets(ctx context.Context, keys []string, sel store.Selection) (out []store.Facet, err error) {
	k := keyOf(sel, nil)
	err = x.at(ctx, sel.Keys(keys...), func() error {
		for _, key := range keys {
			col := x.column(key)
			var counts []Count
			if k.everything() {
				counts = col.all()
			} else {
				m := x.matches(k)
				counts = x.results.tally(k.text+"#"+key, func() []Count { return col.tally(m.set) })
			}
			for _, c := range counts {
				out = append(out, store.Facet{Key: key, Value: c.Value, Count: c.Count})
			}
		}
		return nil
	})
	return out, err
}
