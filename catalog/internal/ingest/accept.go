package ingest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// An offer is an emission on its way into the catalog.
type offer struct {
	source  store.Source
	content store.Content
}

// A Conflict is an offer that lost to the holder of another location key.
type Conflict struct {
	Ref         string
	Key         string // the one that lost; empty: none
	ExistingKey string
	Source      store.Source
	Unprocessed []byte
}

// accepted is what became of offers.
type accepted struct {
	edges     []store.Edge    // of offers that hold their row; to be stored
	kept      map[int64]bool  // claims that stay as they are
	shadows   []store.Claim   // of holders whose content another one's replaced; to be stored if they stay
	conflicts []Conflict      // that are new
	displaced []store.Edge    // of holders without a key, whose row somebody with a key took
	refused   map[[2]any]bool // source and reference of offers that lost
	restitch  []string        // no longer orphans
	inserted  int
	updated   int
	woken     bool // something is due now
}

// errRace asks for the transaction to be run again: another one inserted the same
// reference in between.
var errRace = errors.New("another transaction inserted the same reference")

// A slot is one reference while offers for it are judged.
type slot struct {
	ref      string
	state    *store.State  // nil: no row yet
	claims   []store.Claim // on the reference
	key      string        // by which it is held
	original string        // the key before
	winners  []*offer      // they hold the row; the contents of all but the writer do not stand
	writer   *offer        // whose content is to be written; nil: the row stays
	losers   []*offer
}

// accept judges offers by the matrix of the contract (catalog.md 3.5), and stores rows
// and claims; edges and shadows are the caller's. states are the locked rows by reference, to
// which new rows are added.
//
//	existing key   offered key   result
//	none           none          update
//	none           K             update, K takes the row; other holders become claims
//	K              K             update
//	K              other, none   claim, unless no other source holds the row by K
//	no row         any           insert
//
// Of several sources with one key the last content stands, and those of the others are
// kept as claims with the same key.
func accept(ctx context.Context, tx *store.Tx, now time.Time, states map[string]*store.State, offers []offer) (*accepted, error) {
	a := &acceptance{tx: tx, now: now, states: states, slots: map[string]*slot{},
		out: &accepted{kept: map[int64]bool{}, refused: map[[2]any]bool{}}}
	if err := a.load(ctx, offers); err != nil {
		return nil, err
	}
	var contested []*offer
	for i := range offers {
		o := &offers[i]
		s := a.slots[o.content.Ref]
		switch {
		case s.state == nil && len(s.winners) == 0:
			s.key = o.content.LocationKey
			s.win(o)
		case s.key == o.content.LocationKey:
			s.win(o)
		case s.key == "":
			s.take(o)
		default:
			contested = append(contested, o)
		}
	}
	for _, o := range contested {
		a.slots[o.content.Ref].judge(o, a.holders(o.content.Ref))
	}
	for _, s := range a.order {
		s.rejoin()
	}
	if err := a.writeRows(ctx); err != nil {
		return nil, err
	}
	return a.out, a.writeClaims(ctx)
}

type acceptance struct {
	tx     *store.Tx
	now    time.Time
	states map[string]*store.State
	slots  map[string]*slot
	order  []*slot
	edges  map[int64][]store.Edge // by target
	out    *accepted
}

func (a *acceptance) load(ctx context.Context, offers []offer) error {
	var refs []string
	var ids []int64
	looked := map[int64]bool{}
	for _, o := range offers {
		ref := o.content.Ref
		s := a.slots[ref]
		if s == nil {
			s = &slot{ref: ref, state: a.states[ref]}
			a.slots[ref], a.order = s, append(a.order, s)
			if s.state == nil {
				continue
			}
			s.key, s.original = s.state.LocationKey, s.state.LocationKey
			refs = append(refs, ref)
		}
		// Where all is as it is offered, it does not matter who else is there.
		if s.state != nil && !looked[s.state.ID] && (s.key != o.content.LocationKey || !bytes.Equal(s.state.Hash, o.content.Hash)) {
			looked[s.state.ID] = true
			ids = append(ids, s.state.ID)
		}
	}
	edges, err := a.tx.EdgesTo(ctx, ids)
	if err != nil {
		return err
	}
	a.edges = map[int64][]store.Edge{}
	for _, e := range edges {
		a.edges[e.Target] = append(a.edges[e.Target], e)
	}
	claims, err := a.tx.ClaimsOn(ctx, refs)
	for _, c := range claims {
		s := a.slots[c.Ref]
		s.claims = append(s.claims, c)
	}
	return err
}

func (a *acceptance) holders(ref string) []store.Edge {
	if s := a.slots[ref].state; s != nil {
		return a.edges[s.ID]
	}
	return nil
}

// claim is the stored claim of a source with a key.
func (s *slot) claim(source store.Source, key string) *store.Claim {
	for i, c := range s.claims {
		if c.Source == source && c.LocationKey == key {
			return &s.claims[i]
		}
	}
	return nil
}

// win makes o a holder. Its content stands, unless it is what the source offered
// before and a later source has taken its place.
func (s *slot) win(o *offer) {
	s.winners = append(s.winners, o)
	if s.state != nil && s.key == s.original {
		if own := s.claim(o.source, s.key); own != nil && bytes.Equal(own.Hash, o.content.Hash) {
			return
		}
		if s.writer == nil && bytes.Equal(s.state.Hash, o.content.Hash) {
			return
		}
	}
	s.writer = o
}

// take gives a row that is held without a key to an offer that has one.
func (s *slot) take(o *offer) {
	for _, w := range s.winners {
		if w.source != o.source {
			s.losers = append(s.losers, w)
		}
	}
	s.winners, s.key, s.writer = []*offer{o}, o.content.LocationKey, o
}

// judge decides about an offer whose key is not the one the row is held by: it gets
// the row if nobody else holds it any more. Whoever waits with a key goes before
// those who have none.
func (s *slot) judge(o *offer, holders []store.Edge) {
	key := o.content.LocationKey
	if s.key == key {
		s.win(o)
		return
	}
	held := len(s.winners) > 0
	if s.key == s.original {
		held = held || slices.ContainsFunc(holders, func(e store.Edge) bool { return e.Source != o.source })
	}
	if key == "" {
		held = held || slices.ContainsFunc(s.claims, func(c store.Claim) bool { return c.LocationKey != "" && c.Source != o.source })
	}
	if held {
		s.losers = append(s.losers, o)
		return
	}
	s.key, s.winners, s.writer = key, []*offer{o}, o
}

// rejoin makes holders of offers that lost before another one with their key got the row.
func (s *slot) rejoin() {
	lost := s.losers
	s.losers = nil
	for _, o := range lost {
		if len(s.winners) > 0 && o.content.LocationKey == s.key {
			s.win(o)
		} else {
			s.losers = append(s.losers, o)
		}
	}
}

func (s *slot) holds(source store.Source) bool {
	return slices.ContainsFunc(s.winners, func(w *offer) bool { return w.source == source })
}

// writeRows inserts and updates rows, and reports the edges of their holders.
func (a *acceptance) writeRows(ctx context.Context) error {
	var inserts, updates []*store.Content
	var revived, rewritten []int64
	for _, s := range a.order {
		if len(s.winners) == 0 {
			continue
		}
		switch {
		case s.state == nil:
			c := &s.writer.content
			if c.UID == "" {
				c.UID = uuid.NewString()
			}
			inserts = append(inserts, c)
		case s.writer != nil:
			c := &s.writer.content
			c.ID = s.state.ID
			updates = append(updates, c)
			if len(a.edges[s.state.ID]) > 0 {
				rewritten = append(rewritten, s.state.ID)
			}
		case s.state.Orphan:
			revived = append(revived, s.state.ID)
		}
		if s.state != nil && s.state.Orphan {
			a.out.restitch = append(a.out.restitch, s.state.Ref)
		}
	}
	if err := a.keepContents(ctx, rewritten); err != nil {
		return err
	}
	out := a.out
	out.inserted, out.updated, out.woken = len(inserts), len(updates), len(inserts)+len(updates) > 0
	if len(inserts) > 0 {
		ids, err := a.tx.InsertStates(ctx, a.now, inserts)
		if err != nil {
			return err
		}
		if len(ids) < len(inserts) {
			return errRace
		}
		for _, c := range inserts {
			a.states[c.Ref] = &store.State{ID: ids[c.Ref], UID: c.UID, Ref: c.Ref, Hash: c.Hash, LocationKey: c.LocationKey}
		}
	}
	if err := a.tx.UpdateContents(ctx, a.now, updates); err != nil {
		return err
	}
	for _, s := range a.order {
		if s.state != nil && s.writer != nil {
			s.state.Hash, s.state.LocationKey = s.writer.content.Hash, s.key
		}
		for _, w := range s.winners {
			out.edges = append(out.edges, store.Edge{Source: w.source, Target: a.states[s.ref].ID, Via: w.content.Via})
		}
	}
	return a.tx.SetOrphans(ctx, revived, false)
}

// keepContents notes what rows held until now for the holders that do not say
// otherwise in this transaction: as claims with the row's old key. Holders whose
// row was taken by a key lose their edge.
func (a *acceptance) keepContents(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	byID := make(map[int64]*slot, len(ids))
	var others []store.Edge
	for _, s := range a.order {
		if s.state == nil || !slices.Contains(ids, s.state.ID) {
			continue
		}
		byID[s.state.ID] = s
		for _, e := range a.edges[s.state.ID] {
			if s.holds(e.Source) {
				continue
			}
			if s.key != s.original {
				a.out.displaced = append(a.out.displaced, e)
			}
			if s.claim(e.Source, s.original) == nil && !slices.ContainsFunc(s.losers, func(o *offer) bool { return o.source == e.Source }) {
				others = append(others, e)
			}
		}
	}
	if len(others) > 0 {
		docs, err := a.tx.Unprocessed(ctx, ids)
		if err != nil {
			return err
		}
		for _, e := range others {
			s := byID[e.Target]
			a.out.shadows = append(a.out.shadows, store.Claim{Source: e.Source, Content: store.Content{
				Ref: s.ref, LocationKey: s.original, Unprocessed: docs[e.Target], Hash: s.state.Hash, Via: e.Via,
			}})
		}
	}
	return a.tx.RemoveEdges(ctx, a.out.displaced)
}

// writeClaims stores offers that lost, and those of holders whose content does not
// stand; and makes holders of those who claimed rows by the key they have now.
func (a *acceptance) writeClaims(ctx context.Context) error {
	var add []store.Claim
	var join []store.Edge
	var done []int64
	for _, s := range a.order {
		for _, o := range s.losers {
			a.out.refused[[2]any{o.source, s.ref}] = true
			add = a.lost(s, o, add)
		}
		if len(s.winners) == 0 {
			continue
		}
		held := a.states[s.ref]
		for i, w := range s.winners {
			own := s.claim(w.source, s.key)
			switch {
			case slices.ContainsFunc(s.winners[i+1:], func(later *offer) bool { return later.source == w.source }):
			case !bytes.Equal(w.content.Hash, held.Hash) && own != nil && bytes.Equal(own.Hash, w.content.Hash):
				a.out.kept[own.ID] = true
			case !bytes.Equal(w.content.Hash, held.Hash):
				add = append(add, store.Claim{Source: w.source, Content: w.content})
			case own != nil:
				done = append(done, own.ID)
			}
		}
		for _, c := range s.claims {
			if c.LocationKey != s.key || s.holds(c.Source) {
				continue
			}
			if s.key == s.original {
				if bytes.Equal(c.Hash, held.Hash) {
					done = append(done, c.ID) // the content of that holder stands again
				}
				continue
			}
			join = append(join, store.Edge{Source: c.Source, Target: held.ID, Via: c.Via})
			if bytes.Equal(c.Hash, held.Hash) {
				done = append(done, c.ID)
			}
		}
	}
	for i := range add {
		if c := a.slots[add[i].Ref].claim(add[i].Source, add[i].LocationKey); c != nil {
			a.out.kept[c.ID] = true // it is written over
		}
	}
	if err := a.tx.AddClaims(ctx, add); err != nil {
		return err
	}
	if err := a.tx.AddEdges(ctx, join); err != nil {
		return err
	}
	return a.tx.RemoveClaims(ctx, done)
}

// lost notes an offer that lost, unless it is known to.
func (a *acceptance) lost(s *slot, o *offer, add []store.Claim) []store.Claim {
	old := s.claim(o.source, o.content.LocationKey)
	if old != nil && bytes.Equal(old.Hash, o.content.Hash) && old.Via == o.content.Via {
		a.out.kept[old.ID] = true
		return add
	}
	if old == nil {
		doc, err := o.content.Document()
		if err != nil {
			doc = nil // the conflict is reported without it
		}
		a.out.conflicts = append(a.out.conflicts, Conflict{
			Ref: s.ref, Key: o.content.LocationKey, ExistingKey: s.key, Source: o.source, Unprocessed: doc,
		})
	}
	return append(add, store.Claim{Source: o.source, Content: o.content})
}
