// Package index answers reads of the catalog from memory: which entities match, how many,
// in which order, and the bytes of those that are asked for often.
//
// It is a copy of what is served, by key of the search index (a column), made of the keys
// that are asked for, and of the entities' bytes as far as they fit into its cache. The
// database numbers its changes in the order in which they are committed. Before every
// read the index asks for the number of the latest one, and takes over what it has not
// seen; so a read sees every write that was committed before it began, by whichever
// replica, as one that goes to the database does. Reads that come while that question is
// on its way share the next one: under load it costs a fraction of a statement.
//
// What it cannot answer (ErrUnready) is answered by the database: keys whose column is
// not loaded yet, what comes while it is far behind, and everything if nobody runs it.
// docs/adr has the decision.
package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// ErrUnready says that a read has to go to the database.
var ErrUnready = errors.New("the read index does not know")

// Options bound the memory of an index. Zero values stand for the defaults.
type Options struct {
	Columns int          // bytes of loaded columns; 128 MB
	Cache   int          // bytes of entities; 32 MB
	Log     *slog.Logger // nil: nothing is logged
}

const (
	// maxInline is how many changes a read takes over itself; more are left to Run, and
	// the database answers meanwhile.
	maxInline = 1000
	// maxBehind is how many changes are taken over at all; with more, loading again is
	// cheaper.
	maxBehind = 20_000
	// maxAge is how old an index may be that takes over changes. The catalog forgets
	// deletions after an hour.
	maxAge = 20 * time.Minute
	// checkTimeout bounds the question for changes.
	checkTimeout = 10 * time.Second
)

// An Index is safe for concurrent use. It holds nothing and loads nothing until Run.
type Index struct {
	Options
	store *store.Store

	checks   flights[struct{}]
	lineages flights[map[int64][]store.Emitter]
	// applying is held by whoever takes over changes or loads.
	applying sync.Mutex
	wake     chan struct{}
	running  atomic.Bool
	wantedMu sync.Mutex
	wanted   map[string]bool // keys to load
	done     chan struct{}   // closed when they are, as far as they can be

	fresh   atomic.Int64 // when known was last the latest change, in Unix nanoseconds
	mu      sync.RWMutex // guards what follows; columns and sets are immutable
	loaded  bool
	known   int64   // the latest change that is in here
	ids     []int64 // by slot; 0: free
	seqs    []int64
	uids    []string
	refs    []string
	free    []uint32
	byID    map[int64]uint32
	byRef   map[string]uint32
	uidLine line
	refLine line
	live    set
	columns map[string]*held
	large   map[string]bool // keys whose column would take too much room
	empty   *column         // of keys that no entity has
	clock   atomic.Int64    // orders uses of columns

	results results
	cache   cache
}

type held struct {
	*column
	used atomic.Int64 // at which tick of clock
}

// New returns an index of what st serves.
func New(st *store.Store, o Options) *Index {
	if o.Columns <= 0 {
		o.Columns = 128 << 20
	}
	if o.Cache <= 0 {
		o.Cache = 32 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Index{Options: o, store: st, wake: make(chan struct{}, 1), wanted: map[string]bool{}, done: make(chan struct{}), columns: map[string]*held{}, cache: cache{limit: o.Cache}, empty: newColumn(0, 0, nil)}
}

// Run loads what reads ask for, until ctx ends. Reads work without it, and ask the
// database.
func (x *Index) Run(ctx context.Context) {
	x.running.Store(true)
	defer x.running.Store(false)
	failing := false // one line for an outage
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		}
		keys, done := x.take()
		err := x.Load(ctx, keys...)
		close(done)
		if err != nil && ctx.Err() == nil {
			if !failing {
				x.Log.WarnContext(ctx, "the read index cannot be loaded; reads go to the database meanwhile", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		failing = err != nil
	}
}

// maxWanted bounds what is remembered of requests for keys that may not exist.
const maxWanted = 64

// want has Run load the columns of keys, and returns what is closed when that is done;
// nil if nobody runs.
func (x *Index) want(keys ...string) <-chan struct{} {
	if !x.running.Load() {
		return nil
	}
	x.wantedMu.Lock()
	done := x.done
	for _, key := range keys {
		if len(x.wanted) < maxWanted {
			x.wanted[key] = true
		}
	}
	x.wantedMu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
	return done
}

func (x *Index) take() (keys []string, done chan struct{}) {
	x.wantedMu.Lock()
	defer x.wantedMu.Unlock()
	done, x.done = x.done, make(chan struct{})
	for key := range x.wanted {
		keys = append(keys, key)
	}
	clear(x.wanted)
	slices.Sort(keys)
	return keys, done
}

// Load brings the index up to date with the columns of keys, as far as there are such
// keys and they fit.
func (x *Index) Load(ctx context.Context, keys ...string) error {
	x.applying.Lock()
	defer x.applying.Unlock()
	if err := x.catchUp(ctx, maxBehind); err != nil {
		if !errors.Is(err, ErrUnready) {
			return err
		}
		if err := x.loadEntities(ctx); err != nil {
			return err
		}
	}
	ids, err := x.store.KeyIDs(ctx, keys)
	if err != nil {
		return err
	}
	for _, key := range keys {
		id, ok := ids[key]
		if _, has := x.columns[key]; !ok || has || x.large[key] {
			continue
		}
		if err := x.loadColumn(ctx, key, id); err != nil {
			return err
		}
	}
	return nil
}

// loadEntities begins anew, with the columns that there are. The number is read before
// the entities: what changes in between is taken over twice, and the second time counts.
func (x *Index) loadEntities(ctx context.Context) error {
	seq, err := x.store.Seq(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	var list []store.Served
	if err := x.store.EachServed(ctx, func(s store.Served) { list = append(list, s) }); err != nil {
		return err
	}
	x.mu.Lock()
	before := x.columns
	x.begin(list, seq)
	x.fresh.Store(at.UnixNano())
	x.mu.Unlock()
	for key, h := range before {
		if err := x.loadColumn(ctx, key, h.id); err != nil {
			return err
		}
	}
	return nil
}

// begin makes list what is served, without columns.
func (x *Index) begin(list []store.Served, seq int64) {
	slices.SortFunc(list, func(a, b store.Served) int { return strings.Compare(a.UID, b.UID) })
	n := len(list)
	x.loaded, x.known = true, seq
	x.ids, x.seqs, x.uids, x.refs = make([]int64, n), make([]int64, n), make([]string, n), make([]string, n)
	x.byID, x.byRef = make(map[int64]uint32, n), make(map[string]uint32, n)
	x.uidLine, x.refLine = newLine(n), newLine(n)
	x.live, x.free = newSet(n), nil
	x.columns, x.large = map[string]*held{}, map[string]bool{}
	for i, s := range list {
		slot := uint32(i)
		x.ids[i], x.seqs[i], x.uids[i], x.refs[i] = s.ID, s.Seq, s.UID, s.Ref
		x.byID[s.ID], x.byRef[s.Ref] = slot, slot
		x.live.add(slot)
	}
	slices.SortFunc(x.refLine.slots, func(a, b uint32) int { return strings.Compare(x.refs[a], x.refs[b]) })
	x.refLine.number()
	x.results.clear()
	x.cache.clear(n)
}

// loadColumn reads the rows of a key, and then what has changed since the index was last
// up to date: entities that have not changed since have the same rows in both states.
func (x *Index) loadColumn(ctx context.Context, key string, id int32) error {
	count, err := x.store.CountColumn(ctx, id)
	if err != nil {
		return err
	}
	if 80*count > x.Columns/2 {
		x.mu.Lock()
		x.large[key] = true
		x.mu.Unlock()
		return nil // the database answers for it
	}
	entries := make([]entry, 0, count)
	originals := map[string]string{}
	var value string
	err = x.store.EachRow(ctx, id, func(r store.ColumnRow) {
		slot, ok := x.byID[r.ID] // read by whoever holds applying
		if !ok {
			return // it came or went meanwhile
		}
		e := entry{slot: slot, null: r.Value == nil}
		if r.Value != nil {
			if value != *r.Value {
				value = *r.Value
			}
			e.value = value
		}
		if r.Original != nil {
			original, ok := originals[*r.Original]
			if !ok {
				original = *r.Original
				originals[original] = original
			}
			e.original = original
		}
		entries = append(entries, e)
	})
	if err != nil {
		return err
	}
	sortEntries(entries, x.uidLine.place)
	col := &held{column: newColumn(id, len(x.ids), entries)}
	col.used.Store(x.clock.Add(1))
	ids := []int32{id}
	for _, h := range x.columns {
		ids = append(ids, h.id)
	}
	changes, err := x.store.ChangesSince(ctx, x.known, ids)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.columns[key] = col
	x.apply(changes)
	x.evict(key)
	return nil
}

// sortEntries orders entries that are in the order of their values, or nearly so.
func sortEntries(entries []entry, rank []uint32) { slices.SortFunc(entries, compare(rank)) }

// evict makes room for the column that was just loaded, beginning with the one whose last
// use is longest ago.
func (x *Index) evict(keep string) {
	for {
		weight, oldest := 0, ""
		for key, h := range x.columns {
			weight += h.weight()
			if key != keep && (oldest == "" || h.used.Load() < x.columns[oldest].used.Load()) {
				oldest = key
			}
		}
		if weight <= x.Columns || oldest == "" {
			return
		}
		delete(x.columns, oldest)
		x.results.clear()
	}
}

// current makes sure that the index has every change that was committed before the call.
func (x *Index) current(ctx context.Context) error {
	if !x.running.Load() && !x.everLoaded() {
		return ErrUnready
	}
	_, err := x.checks.join(ctx, "", func([]string) (struct{}, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
		defer cancel()
		return struct{}{}, x.check(ctx)
	})
	return err
}

func (x *Index) everLoaded() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

func (x *Index) check(ctx context.Context) error {
	at := time.Now()
	seq, err := x.store.Seq(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnready, err) // the database says what is wrong with it
	}
	x.mu.RLock()
	ready := x.loaded && seq == x.known
	x.mu.RUnlock()
	if ready {
		x.fresh.Store(at.UnixNano())
		return nil
	}
	if !x.applying.TryLock() {
		return ErrUnready
	}
	defer x.applying.Unlock()
	err = x.catchUp(ctx, maxInline)
	if err != nil {
		x.want()
		return ErrUnready
	}
	return nil
}

// catchUp takes over what has changed, unless that is more than most. The caller holds
// applying.
func (x *Index) catchUp(ctx context.Context, most int64) error {
	if !x.loaded || time.Since(time.Unix(0, x.fresh.Load())) > maxAge {
		return ErrUnready
	}
	at := time.Now()
	seq, err := x.store.Seq(ctx)
	if err != nil {
		return err
	}
	if seq < x.known || seq-x.known > most {
		return ErrUnready
	}
	if seq == x.known {
		x.fresh.Store(at.UnixNano())
		return nil
	}
	ids := make([]int32, 0, len(x.columns))
	for _, h := range x.columns {
		ids = append(ids, h.id)
	}
	changes, err := x.store.ChangesSince(ctx, x.known, ids)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.apply(changes)
	x.fresh.Store(at.UnixNano())
	return nil
}
