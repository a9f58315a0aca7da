package ingest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// An offer is an emission on its way into the catalog.
type offer struct {
	source  store.Source
	content store.Content
	at      string // the location, for messages
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
	edges     []store.Edge
	claims    []store.Claim
	conflicts []Conflict
	displaced []store.Edge // of holders without a key, whose row somebody with a key took
	restitch  []string     // no longer orphans
	inserted  int
	updated   int
	woken     bool // something is due now
}

// errRace asks for the transaction to be run again: another one inserted the same
// reference in between.
var errRace = errors.New("another transaction inserted the same reference")

// A slot is one reference while offers for it are judged.
type slot struct {
	state    *store.State // nil: no row yet
	key      string
	content  *store.Content // to be written; nil: none
	byKey    bool           // a holder without a key is being displaced
	winners  []offer
	original string // the key before
}

// accept judges offers by the matrix of the contract (catalog.md 3.5) and stores
// them as edges or claims. states are the locked rows by reference; rows that are
// inserted are added to it.
//
//	existing key   offered key   result
//	none           none          update
//	none           K             update, K takes the row; other holders become claims
//	K              K             update
//	K              other, none   claim, unless no other source holds the row by K
//	no row         any           insert
func accept(ctx context.Context, tx *store.Tx, now time.Time, states map[string]*store.State, offers []offer) (*accepted, error) {
	out := &accepted{}
	slots := map[string]*slot{}
	order := make([]*slot, 0, len(offers))
	var contested []offer
	for _, o := range offers {
		s := slots[o.content.Ref]
		if s == nil {
			s = &slot{state: states[o.content.Ref]}
			if s.state != nil {
				s.key, s.original = s.state.LocationKey, s.state.LocationKey
			}
			slots[o.content.Ref] = s
			order = append(order, s)
		}
		switch {
		case s.state == nil && s.content == nil:
			s.key = o.content.LocationKey
			s.win(o)
		case s.key == o.content.LocationKey:
			s.win(o)
		case s.key == "":
			s.take(o, out)
		default:
			contested = append(contested, o)
		}
	}
	if err := judge(ctx, tx, slots, contested, out); err != nil {
		return nil, err
	}
	if err := displace(ctx, tx, order, out); err != nil {
		return nil, err
	}
	return out, write(ctx, tx, now, states, order, out)
}

// win makes o a holder. Of several contents the last one stands.
func (s *slot) win(o offer) {
	s.winners = append(s.winners, o)
	current := s.content
	if current == nil && s.state != nil && s.key == s.original && bytes.Equal(s.state.Hash, o.content.Hash) {
		return
	}
	if current != nil && bytes.Equal(current.Hash, o.content.Hash) && current.LocationKey == o.content.LocationKey {
		return
	}
	if s.state != nil && s.key == s.original && bytes.Equal(s.state.Hash, o.content.Hash) {
		s.content = nil // back to what is stored
		return
	}
	content := o.content
	s.content = &content
}

// take gives a row that is held without a key to an offer that has one.
func (s *slot) take(o offer, out *accepted) {
	for _, w := range s.winners {
		if w.source != o.source {
			out.refuse(w, o.content.LocationKey)
		}
	}
	s.winners, s.byKey, s.key = nil, s.state != nil, o.content.LocationKey
	content := o.content
	s.content = &content
	s.winners = append(s.winners, o)
}

func (out *accepted) refuse(o offer, existing string) {
	out.claims = append(out.claims, store.Claim{Source: o.source, Content: o.content})
	out.conflicts = append(out.conflicts, Conflict{
		Ref: o.content.Ref, Key: o.content.LocationKey, ExistingKey: existing, Source: o.source, Unprocessed: o.content.Unprocessed,
	})
}

// judge decides offers whose key is not the one the row is held by: they get it if
// nobody else holds it any more.
func judge(ctx context.Context, tx *store.Tx, slots map[string]*slot, contested []offer, out *accepted) error {
	var ids []int64
	for _, o := range contested {
		if st := slots[o.content.Ref].state; st != nil {
			ids = append(ids, st.ID)
		}
	}
	edges, err := tx.EdgesTo(ctx, ids)
	if err != nil {
		return err
	}
	holders := map[int64][]store.Source{}
	for _, e := range edges {
		holders[e.Target] = append(holders[e.Target], e.Source)
	}
	for _, o := range contested {
		s := slots[o.content.Ref]
		if s.key == o.content.LocationKey {
			s.win(o)
			continue
		}
		held := len(s.winners) > 0
		if s.state != nil && s.key == s.original {
			for _, h := range holders[s.state.ID] {
				held = held || h != o.source
			}
		}
		if held {
			out.refuse(o, s.key)
			continue
		}
		s.key = o.content.LocationKey
		content := o.content
		s.content = &content
		s.winners = append(s.winners, o)
	}
	return nil
}

// displace turns the edges of holders without a key into claims, with the content
// that the row had until now.
func displace(ctx context.Context, tx *store.Tx, order []*slot, out *accepted) error {
	var ids []int64
	taken := map[int64]*slot{}
	for _, s := range order {
		if s.byKey {
			ids, taken[s.state.ID] = append(ids, s.state.ID), s
		}
	}
	edges, err := tx.EdgesTo(ctx, ids)
	if err != nil || len(edges) == 0 {
		return err
	}
	docs, err := tx.Unprocessed(ctx, ids)
	if err != nil {
		return err
	}
	for _, e := range edges {
		s := taken[e.Target]
		if s.holds(e.Source) {
			continue
		}
		out.displaced = append(out.displaced, e)
		if out.hasClaim(e.Source, s.state.Ref) {
			continue // from an offer of this very transaction
		}
		out.claims = append(out.claims, store.Claim{Source: e.Source, Content: store.Content{
			Ref: s.state.Ref, Unprocessed: docs[e.Target], Hash: s.state.Hash, Via: e.Via,
		}})
	}
	return nil
}

func (s *slot) holds(source store.Source) bool {
	for _, w := range s.winners {
		if w.source == source {
			return true
		}
	}
	return false
}

func (out *accepted) hasClaim(source store.Source, ref string) bool {
	for _, c := range out.claims {
		if c.Source == source && c.Ref == ref {
			return true
		}
	}
	return false
}

func write(ctx context.Context, tx *store.Tx, now time.Time, states map[string]*store.State, order []*slot, out *accepted) error {
	var inserts, updates []store.Content
	var revived []int64
	for _, s := range order {
		if len(s.winners) == 0 {
			continue
		}
		switch {
		case s.state == nil:
			c := *s.content
			c.UID, c.LocationKey = uuid.NewString(), s.key
			inserts = append(inserts, c)
		case s.content != nil:
			c := *s.content
			c.ID, c.LocationKey = s.state.ID, s.key
			updates = append(updates, c)
		case s.state.Orphan:
			revived = append(revived, s.state.ID)
		}
		if s.state != nil && s.state.Orphan {
			out.restitch = append(out.restitch, s.state.Ref)
		}
	}
	out.inserted, out.updated, out.woken = len(inserts), len(updates), len(inserts)+len(updates) > 0
	if len(inserts) > 0 {
		ids, err := tx.InsertStates(ctx, now, inserts)
		if err != nil {
			return err
		}
		if len(ids) < len(inserts) {
			return errRace
		}
		for _, c := range inserts {
			states[c.Ref] = &store.State{ID: ids[c.Ref], UID: c.UID, Ref: c.Ref, Hash: c.Hash, LocationKey: c.LocationKey}
		}
	}
	if err := tx.UpdateContents(ctx, now, updates); err != nil {
		return err
	}
	if err := tx.SetOrphans(ctx, revived, false); err != nil {
		return err
	}
	for _, s := range order {
		for _, w := range s.winners {
			out.edges = append(out.edges, store.Edge{Source: w.source, Target: states[w.content.Ref].ID, Via: w.content.Via})
		}
	}
	return tx.RemoveEdges(ctx, out.displaced)
}
