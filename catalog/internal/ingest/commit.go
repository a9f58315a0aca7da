package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/catalog/internal/telemetry"
)

// A finished is an outcome with what is needed to commit it.
type finished struct {
	outcome
	due       *store.Due
	processed []byte
	errors    []byte
	cache     []byte
	hash      []byte
}

// engineVersion is part of every result hash: raising it makes all entities commit
// anew after an upgrade that changes what is stored for them.
const engineVersion = 1

// finish encodes an outcome and computes the hash that tells whether anything changed.
func finish(due *store.Due, out outcome) (*finished, error) {
	f := &finished{outcome: out, due: due}
	var err error
	if f.errors, err = encodeFailures(out.failures); err != nil {
		return nil, err
	}
	h := newDigest()
	h.bool(out.fatal)
	h.bytes(f.errors)
	if out.fatal {
		f.cache, f.hash = due.Cache, h.sum()
		return f, nil
	}
	if f.processed, err = out.entity.MarshalStable(); err != nil {
		return nil, err
	}
	if f.cache, err = out.cache.encode(); err != nil {
		return nil, err
	}
	f.outcome.cache = nil // which is as large as its JSON, and not needed any more
	h.bytes(f.processed)
	slices.SortFunc(f.relations, compareRelations)
	f.relations = slices.Compact(f.relations)
	slices.Sort(f.refreshKeys)
	h.number(int64(len(f.children)))
	for _, c := range f.children { // their order is the order of the documents
		h.bytes([]byte(c.Ref))
		h.bytes([]byte(c.Key))
		h.bytes(c.Hash)
		h.number(c.via)
	}
	for _, r := range f.relations {
		h.bytes([]byte(r.Source))
		h.bytes([]byte(r.Type))
		h.bytes([]byte(r.Target))
	}
	for _, key := range f.refreshKeys {
		h.bytes([]byte(key))
	}
	for _, via := range sortedKeys(f.unreadable) {
		h.number(via)
	}
	for _, ref := range sortedKeys(f.keptRefs) {
		h.bytes([]byte(ref))
	}
	f.hash = h.sum()
	return f, nil
}

func compareRelations(a, b entity.Relation) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Target, b.Target))
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// digest hashes a sequence of values so that no two sequences run together.
type digest struct {
	hash hash.Hash
	buf  []byte // waits to be hashed
}

func newDigest() *digest { return &digest{hash: sha256.New(), buf: []byte{engineVersion}} }

func (d *digest) bytes(b []byte) {
	d.buf = binary.AppendUvarint(d.buf, uint64(len(b)))
	d.buf = append(d.buf, b...)
	if len(d.buf) > 4096 {
		d.hash.Write(d.buf)
		d.buf = d.buf[:0]
	}
}
func (d *digest) number(n int64) { d.buf = binary.AppendVarint(d.buf, n) }
func (d *digest) bool(b bool) {
	if b {
		d.number(1)
	} else {
		d.number(0)
	}
}
func (d *digest) sum() []byte {
	d.hash.Write(d.buf)
	return d.hash.Sum(nil)
}

// unchanged says that there is nothing to write but, perhaps, the cache.
func (f *finished) unchanged() bool { return bytes.Equal(f.hash, f.due.ResultHash) }

// backsOff says whether the next runs may wait longer: if a run as a whole failed, or
// something could not be read. A bad document does not make its siblings old.
func (f *finished) backsOff() bool {
	return f.fatal || slices.ContainsFunc(f.failures, func(one Failure) bool { return one.code == CodeTarget })
}

// came says what a run came to, for telemetry.
func (f *finished) came() string {
	switch {
	case len(f.failures) > 0:
		return telemetry.Errors
	case f.unchanged():
		return telemetry.Unchanged
	}
	return telemetry.Changed
}

// committed is what a batch of outcomes changed.
type committed struct {
	conflicts []Conflict
	added     int // children that are new
	deleted   int
	orphans   bool
	woken     bool
	stale     int // outcomes that were dropped, to be run again
}

// commit stores a batch of outcomes in one transaction (contract catalog.md, 3.3).
// Outcomes of entities that changed or vanished while they were processed are dropped:
// what changed them made them due.
func (e *Engine) commit(ctx context.Context, batch []*finished) (*committed, error) {
	var out *committed
	err := e.tx(ctx, func(tx *store.Tx) (err error) {
		c := &commit{e: e, tx: tx, now: e.now(), out: &committed{}}
		out = c.out
		return c.run(ctx, batch)
	})
	return out, err
}

// tx runs fn in a transaction, again if it lost a race for a reference, or for the source
// of an edge or claim that another transaction deleted.
func (e *Engine) tx(ctx context.Context, fn func(*store.Tx) error) error {
	for try := 1; ; try++ {
		err := e.store.Tx(ctx, fn)
		if !errors.Is(err, errRace) && !db.IsForeignKeyViolation(err) || try == 5 {
			return err
		}
	}
}

type commit struct {
	e   *Engine
	tx  *store.Tx
	now time.Time
	out *committed

	batch    []*finished
	byRef    map[string]*store.State
	edges    map[int64][]store.Edge  // by source
	claims   map[int64][]store.Claim // by source
	restitch []string
	peers    []string
}

func (c *commit) run(ctx context.Context, batch []*finished) error {
	if err := c.lock(ctx, batch); err != nil || len(c.batch) == 0 {
		return err
	}
	if err := c.replaceChildren(ctx); err != nil {
		return err
	}
	if err := c.replaceRelations(ctx); err != nil {
		return err
	}
	results := make([]store.Result, len(c.batch))
	for i, f := range c.batch {
		results[i] = store.Result{ID: f.due.ID, Processed: f.processed, Hash: f.hash, Errors: f.errors, Cache: f.cache}
		c.restitch = append(c.restitch, f.due.Ref)
	}
	if err := c.tx.SaveResults(ctx, results); err != nil {
		return err
	}
	return queueStitches(ctx, c.tx, c.now, c.restitch, c.peers)
}

// queueStitches queues entities that changed themselves for now, and those of which
// only relations changed for later: many changes of a round often have one peer,
// such as the group of a thousand users. The round's end brings them forward.
func queueStitches(ctx context.Context, tx *store.Tx, now time.Time, own, peers []string) error {
	seen := make(map[string]bool, len(own))
	for _, ref := range own {
		seen[ref] = true
	}
	peers = slices.DeleteFunc(slices.Clone(peers), func(ref string) bool { return seen[ref] })
	// One after the other in one order would need one statement; two statements in
	// the order of references can cross, which Tx retries.
	if err := tx.QueueStitches(ctx, now, own); err != nil {
		return err
	}
	return tx.QueueStitches(ctx, now.Add(PeerDelay), peers)
}

// PeerDelay is how long the stitching of a peer may be put off while entities are
// being processed.
const PeerDelay = 20 * time.Second

// lock takes all rows that may change, in one statement and one order, and drops
// outcomes that are out of date.
func (c *commit) lock(ctx context.Context, batch []*finished) error {
	var ids, parents []int64
	var refs []string
	for _, f := range batch {
		ids = append(ids, f.due.ID)
		if !f.fatal {
			parents = append(parents, f.due.ID)
			for _, child := range f.children {
				refs = append(refs, child.Ref)
			}
		}
	}
	states, err := c.lockEmitted(ctx, parents, ids, refs)
	if err != nil {
		return err
	}
	byID := make(map[int64]*store.State, len(states))
	c.byRef = make(map[string]*store.State, len(states))
	for _, s := range states {
		byID[s.ID], c.byRef[s.Ref] = s, s
	}
	var reread []int64
	for _, f := range batch {
		s := byID[f.due.ID]
		switch {
		case s == nil || !bytes.Equal(s.Hash, f.due.Hash):
			c.out.stale++
		case !f.fatal && !c.replayable(f):
			c.out.stale++
			reread = append(reread, f.due.ID)
		default:
			c.batch = append(c.batch, f)
		}
	}
	if len(reread) > 0 {
		c.out.woken = true
	}
	return c.tx.ForgetResults(ctx, c.now, reread)
}

// lockEmitted reads what parents emitted so far, and locks that, ids and refs. What was
// read before the locks is read again with them: until then, somebody else could make a
// claim of a parent an edge, or an edge's content a claim.
func (c *commit) lockEmitted(ctx context.Context, parents, ids []int64, refs []string) (states []*store.State, err error) {
	lockedIDs, lockedRefs := map[int64]bool{}, map[string]bool{}
	for {
		edges, err := c.tx.EdgesFrom(ctx, parents)
		if err != nil {
			return nil, err
		}
		claims, err := c.tx.ClaimsFrom(ctx, parents)
		if err != nil {
			return nil, err
		}
		c.edges, c.claims = map[int64][]store.Edge{}, map[int64][]store.Claim{}
		for _, e := range edges {
			c.edges[e.Source.Entity] = append(c.edges[e.Source.Entity], e)
			ids = append(ids, e.Target)
		}
		for _, claim := range claims {
			c.claims[claim.Source.Entity] = append(c.claims[claim.Source.Entity], claim)
			refs = append(refs, claim.Ref)
		}
		ids = slices.DeleteFunc(ids, func(id int64) bool { return lockedIDs[id] })
		refs = slices.DeleteFunc(refs, func(ref string) bool { return lockedRefs[ref] })
		if len(ids)+len(refs) == 0 {
			return states, nil
		}
		more, err := c.tx.LockStates(ctx, ids, refs)
		if err != nil {
			return nil, err
		}
		states = append(states, more...)
		if c.tx.Alone() {
			return states, nil
		}
		for _, id := range ids {
			lockedIDs[id] = true
		}
		for _, ref := range refs {
			lockedRefs[ref] = true
		}
		ids, refs = nil, nil
	}
}

// replayable says whether the children that came from the cache, whose documents
// nobody has read now, are in the catalog as they were.
func (c *commit) replayable(f *finished) bool {
	for _, child := range f.children {
		if child.document.fresh() {
			continue
		}
		if s := c.byRef[child.Ref]; s != nil && s.LocationKey == child.Key && bytes.Equal(s.Hash, child.Hash) {
			continue
		}
		if !slices.ContainsFunc(c.claims[f.due.ID], func(claim store.Claim) bool {
			return claim.Ref == child.Ref && claim.LocationKey == child.Key && bytes.Equal(claim.Hash, child.Hash)
		}) {
			return false
		}
	}
	return true
}

func (c *commit) replaceChildren(ctx context.Context) error {
	var offers []offer
	for _, f := range c.batch {
		if f.fatal {
			continue
		}
		for _, child := range f.children {
			doc := child.document
			if !doc.fresh() {
				doc.held = c.claimed(f.due.ID, child)
			}
			offers = append(offers, offer{source: store.Source{Entity: f.due.ID}, content: doc.into(store.Content{
				Ref: child.Ref, LocationKey: child.Key, Hash: child.Hash, Places: child.Places, Via: child.via,
			})})
		}
	}
	got, err := accept(ctx, c.tx, c.now, c.byRef, offers)
	if err != nil {
		return err
	}
	c.restitch = append(c.restitch, got.restitch...)
	c.out.added += got.inserted
	c.out.woken = c.out.woken || got.woken
	return c.replaceEdges(ctx, got)
}

// claimed is the document of a child that is known from a lost claim only.
func (c *commit) claimed(source int64, child child) []byte {
	for _, claim := range c.claims[source] {
		if claim.Ref == child.Ref && bytes.Equal(claim.Hash, child.Hash) {
			return claim.Unprocessed
		}
	}
	return nil
}

// replaceEdges makes the accepted edges and claims all that the batch emits, except
// for what was not readable, and releases what is no longer emitted.
func (c *commit) replaceEdges(ctx context.Context, got *accepted) error {
	type pair = struct{ source, target int64 }
	old, now := map[pair]store.Edge{}, map[pair]bool{}
	for _, edges := range c.edges {
		for _, e := range edges {
			old[pair{e.Source.Entity, e.Target}] = e
		}
	}
	for _, e := range got.displaced {
		delete(old, pair{e.Source.Entity, e.Target})
	}
	var add []store.Edge
	for _, e := range got.edges {
		p := pair{e.Source.Entity, e.Target}
		now[p] = true
		if o, ok := old[p]; !ok || o.Via != e.Via {
			add = append(add, e)
		}
	}
	byID := make(map[int64]string, len(c.byRef))
	for ref, s := range c.byRef {
		byID[s.ID] = ref
	}
	var drop []store.Edge
	var freed, dropClaims []int64
	for _, f := range c.batch {
		if f.fatal {
			continue
		}
		for _, e := range c.edges[f.due.ID] {
			p := pair{f.due.ID, e.Target}
			ref := byID[e.Target]
			lost := got.refused[[2]any{e.Source, ref}]
			if _, still := old[p]; !still || now[p] || f.keeps(e.Via, ref) && !lost {
				continue
			}
			drop = append(drop, e)
			freed = append(freed, e.Target)
		}
		for _, claim := range c.claims[f.due.ID] {
			emitted := got.refused[[2]any{claim.Source, claim.Ref}] || c.emits(now, f.due.ID, claim.Ref)
			if !got.kept[claim.ID] && (emitted || !f.keeps(claim.Via, claim.Ref)) {
				dropClaims = append(dropClaims, claim.ID)
			}
		}
	}
	if err := c.tx.AddEdges(ctx, add); err != nil {
		return err
	}
	if err := c.tx.RemoveEdges(ctx, drop); err != nil {
		return err
	}
	if err := c.tx.RemoveClaims(ctx, dropClaims); err != nil {
		return err
	}
	dropped := map[pair]bool{}
	for _, e := range drop {
		dropped[pair{e.Source.Entity, e.Target}] = true
	}
	shadows := slices.DeleteFunc(got.shadows, func(s store.Claim) bool { return dropped[pair{s.Source.Entity, c.byRef[s.Ref].ID}] })
	if err := c.tx.AddClaims(ctx, shadows); err != nil {
		return err
	}
	c.out.conflicts = append(c.out.conflicts, got.conflicts...)
	slices.Sort(freed)
	rel, err := release(ctx, c.tx, c.now, slices.Compact(freed))
	if err != nil {
		return err
	}
	c.restitch = append(c.restitch, rel.restitch...)
	c.out.orphans, c.out.woken = c.out.orphans || rel.orphans, c.out.woken || rel.woken
	c.out.deleted += len(rel.deleted)
	// What goes at once may be in the batch itself: nothing more is stored for it.
	c.batch = slices.DeleteFunc(c.batch, func(f *finished) bool { return slices.Contains(rel.deleted, f.due.ID) })
	return nil
}

func (c *commit) emits(now map[struct{ source, target int64 }]bool, source int64, ref string) bool {
	s := c.byRef[ref]
	return s != nil && now[struct{ source, target int64 }{source, s.ID}]
}

// keeps says whether what was emitted earlier stays although it was not emitted now.
func (f *finished) keeps(via int64, ref string) bool {
	return f.unreadable[anyTarget] || f.unreadable[via] || f.keptRefs[ref]
}

func (c *commit) replaceRelations(ctx context.Context) error {
	var ids []int64
	var relations []store.Relation
	keys := map[int64][]string{}
	for _, f := range c.batch {
		if f.fatal {
			continue
		}
		ids = append(ids, f.due.ID)
		keys[f.due.ID] = f.refreshKeys
		for _, r := range f.relations {
			relations = append(relations, store.Relation{Originating: f.due.ID, Source: r.Source, Type: r.Type, TargetRef: r.Target})
		}
	}
	changed, err := c.tx.ReplaceRelations(ctx, ids, relations)
	if err != nil {
		return err
	}
	c.peers = append(c.peers, changed...)
	return c.tx.ReplaceRefreshKeys(ctx, ids, keys)
}
