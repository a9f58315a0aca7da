package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// Deferred is an entity that has not been processed yet.
type Deferred struct {
	Entity      entity.Entity
	LocationKey string
}

// A Guard holds back the removals of a listing that would remove more than Share of a
// provider's set, and at least Minimum entities.
type Guard struct {
	Share   float64
	Minimum int
}

// Confirmations is how many equal answers a held removal needs in all.
const Confirmations = 3

func (g Guard) holds(removed, total int) bool {
	return g.Share > 0 && removed >= max(g.Minimum, 1) && float64(removed) > g.Share*float64(total)
}

// A Provider is the connection of one provider: its name is the name of its set.
type Provider struct {
	Name string
	// Deliberate sets are changed by people on purpose, and need no guard.
	Deliberate bool
	engine     *Engine
}

// Provider returns the connection for the provider with that name.
func (e *Engine) Provider(name string) *Provider { return &Provider{Name: name, engine: e} }

// chunk is how many entities of a listing are compared with the catalog at once.
const chunk = 500

// Replace makes list the provider's whole set (contract catalog.md, 3.2). An error in
// the list, also an entity that is none, changes nothing. Memory is bounded: what is
// unchanged is dropped as it comes, and what changed is spooled.
func (p *Provider) Replace(ctx context.Context, list iter.Seq2[Deferred, error]) error {
	e, start := p.engine, time.Now()
	l := &listing{provider: p, seen: map[string]string{}, members: e.store}
	defer l.spool.close()
	for d, err := range list {
		if err != nil {
			return fmt.Errorf("provider %s: list entities: %w", p.Name, err)
		}
		if err := l.add(ctx, d); err != nil {
			return err
		}
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	var sum *summary
	err := e.tx(ctx, func(tx *store.Tx) (err error) {
		sum, err = p.replace(ctx, tx, l)
		return err
	})
	if err != nil {
		return fmt.Errorf("provider %s: store entities: %w", p.Name, err)
	}
	p.tell(ctx, sum, l.duplicates, time.Since(start))
	return nil
}

// Apply adds or updates some entities, and removes others that the provider owns.
func (p *Provider) Apply(ctx context.Context, added []Deferred, removed []string) error {
	e, start := p.engine, time.Now()
	var sum *summary
	l := &listing{provider: p, seen: map[string]string{}, members: e.store}
	defer l.spool.close()
	for _, d := range added {
		if err := l.add(ctx, d); err != nil {
			return err
		}
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	err := e.tx(ctx, func(tx *store.Tx) (err error) {
		sum, err = p.apply(ctx, tx, l, removed)
		return err
	})
	if err != nil {
		return fmt.Errorf("provider %s: store entities: %w", p.Name, err)
	}
	p.tell(ctx, sum, l.duplicates, time.Since(start))
	return nil
}

// Refresh makes entities with one of the keys due.
func (p *Provider) Refresh(ctx context.Context, keys ...string) error {
	return p.engine.RefreshKeys(ctx, keys...)
}

// tell logs a change of the set in one line, and wakes those who go on with it.
func (p *Provider) tell(ctx context.Context, sum *summary, duplicates []string, took time.Duration) {
	e := p.engine
	if len(duplicates) > 0 {
		e.log.WarnContext(ctx, "a provider lists entities more than once", "provider", p.Name, "entities", duplicates[:min(10, len(duplicates))], "count", len(duplicates))
	}
	e.reportConflicts(ctx, sum.conflicts)
	level := e.log.InfoContext
	if sum.added+sum.updated+sum.removed == 0 {
		level = e.log.DebugContext
	}
	level(ctx, "entities replaced", "provider", p.Name, "added", sum.added, "updated", sum.updated, "removed", sum.removed, "unchanged", sum.unchanged, "took", took)
	if sum.held != nil {
		e.log.WarnContext(ctx, "a provider would remove an unusual share of its entities; they are kept until the removal is released or two further listings agree",
			"provider", p.Name, "removed", sum.held.Removed, "of", sum.held.Total, "answers", sum.held.Times)
		e.publish(ctx, TopicHeld, map[string]any{"provider": p.Name, "removed": sum.held.Removed, "total": sum.held.Total, "answers": sum.held.Times})
		if e.OnHeld != nil {
			e.OnHeld(ctx, *sum.held)
		}
	}
	e.Wake()
	e.Stitcher.Wake()
}

// summary is what a change of a set did.
type summary struct {
	added, updated, removed, unchanged int
	conflicts                          []Conflict
	held                               *store.HeldRemoval
}

// members tells what a provider emits; both a Store and a transaction do.
type members interface {
	MembersByRef(ctx context.Context, provider string, refs []string) ([]store.Member, error)
}

// A listing is a list of entities on its way into the catalog.
type listing struct {
	provider   *Provider
	members    members
	uid        string            // that a new row gets; empty: a new one
	seen       map[string]string // location key by reference
	pending    []store.Content
	spool      spool
	unchanged  int
	duplicates []string
}

// add checks an entity and compares it with the catalog, a chunk at a time.
func (l *listing) add(ctx context.Context, d Deferred) error {
	e, err := entity.Normalize(d.Entity)
	if err == nil {
		err = l.provider.engine.Pipeline.Model.CheckIdentity(e)
	}
	if err != nil {
		return apierr.Input.Wrap(err, "provider %s: entity %s is refused, and with it the whole change", l.provider.Name, d.Entity.Ref())
	}
	document, err := e.MarshalStable()
	if err != nil {
		return err
	}
	hash := sha256.Sum256(document)
	c := store.Content{UID: l.uid, Ref: e.Ref().String(), LocationKey: d.LocationKey, Unprocessed: document, Hash: hash[:]}
	if key, twice := l.seen[c.Ref]; twice {
		l.duplicates = append(l.duplicates, c.Ref)
		if key != c.LocationKey {
			return nil // the first one holds the reference
		}
		// The last one wins, also over one that was already compared and found unchanged.
		l.pending = slices.DeleteFunc(l.pending, func(p store.Content) bool { return p.Ref == c.Ref })
		return l.spool.write(c)
	}
	l.seen[c.Ref] = c.LocationKey
	if l.pending = append(l.pending, c); len(l.pending) >= chunk {
		return l.flush(ctx)
	}
	return nil
}

// flush drops what the catalog has already, and spools the rest.
func (l *listing) flush(ctx context.Context) error {
	if len(l.pending) == 0 {
		return nil
	}
	refs := make([]string, len(l.pending))
	for i, c := range l.pending {
		refs[i] = c.Ref
	}
	members, err := l.members.MembersByRef(ctx, l.provider.Name, refs)
	if err != nil {
		return fmt.Errorf("provider %s: compare entities: %w", l.provider.Name, err)
	}
	// What the provider says about an entity is in its claim, if there is one.
	known := make(map[string]store.Member, len(members))
	for _, m := range members {
		if _, ok := known[m.Ref]; !ok || m.Claimed {
			known[m.Ref] = m
		}
	}
	for _, c := range l.pending {
		if m, ok := known[c.Ref]; ok && m.LocationKey == c.LocationKey && bytes.Equal(m.Hash, c.Hash) {
			l.unchanged++
			continue
		}
		if err := l.spool.write(c); err != nil {
			return err
		}
	}
	l.pending = l.pending[:0]
	return nil
}

// replace stores a listing as the whole set.
func (p *Provider) replace(ctx context.Context, tx *store.Tx, l *listing) (*summary, error) {
	if err := tx.LockProvider(ctx, p.Name); err != nil {
		return nil, err
	}
	sum := &summary{unchanged: l.unchanged}
	set, err := p.unlisted(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	states, err := lockByRef(ctx, tx, set.ids, slices.Concat(l.spool.refs, set.claimed))
	if err != nil {
		return nil, err
	}
	for !tx.Alone() && len(set.ids)+len(set.claimed) > 0 {
		// Until the locks were there, somebody else could make a claim an edge, and
		// the other way round.
		now, err := p.unlisted(ctx, tx, l)
		if err != nil {
			return nil, err
		}
		same := slices.Equal(now.ids, set.ids)
		set = now
		if same {
			break
		}
		more, err := lockByRef(ctx, tx, set.ids, set.claimed)
		if err != nil {
			return nil, err
		}
		maps.Copy(states, more)
	}
	hold, err := p.guard(ctx, tx, sum, set.refs, set.total)
	if err != nil {
		return nil, err
	}
	if err := p.upsert(ctx, tx, l, states, sum); err != nil {
		return nil, err
	}
	if hold {
		return sum, nil
	}
	return sum, p.remove(ctx, tx, set.ids, set.claimed, sum)
}

// unlisted is what a provider emits and a listing has not.
type unlisted struct {
	ids     []int64  // sorted
	refs    []string // of the same
	claimed []string // emitted, and held by others
	total   int      // of the set, before
}

func (p *Provider) unlisted(ctx context.Context, tx *store.Tx, l *listing) (out unlisted, err error) {
	byID := map[int64]string{}
	err = tx.Members(ctx, p.Name, func(m store.Member) {
		out.total++
		if _, ok := l.seen[m.Ref]; !ok {
			byID[m.ID] = m.Ref
		}
	})
	if err != nil {
		return out, err
	}
	for _, id := range sortedKeys(byID) {
		out.ids, out.refs = append(out.ids, id), append(out.refs, byID[id])
	}
	out.claimed, err = tx.ClaimRefs(ctx, p.Name)
	out.claimed = slices.DeleteFunc(out.claimed, func(ref string) bool { _, ok := l.seen[ref]; return ok })
	return out, err
}

// guard decides whether the removals of a listing wait. An answer that is given often
// enough goes through.
func (p *Provider) guard(ctx context.Context, tx *store.Tx, sum *summary, gone []string, total int) (hold bool, err error) {
	now := p.engine.now()
	if p.Deliberate || !p.engine.Guard.holds(len(gone), total) {
		if p.Deliberate {
			return false, nil
		}
		return false, tx.DropHeldRemoval(ctx, p.Name)
	}
	slices.Sort(gone)
	digest := sha256.New()
	for _, ref := range gone {
		digest.Write([]byte(ref + "\n"))
	}
	held, err := tx.HeldRemoval(ctx, p.Name)
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return false, err
	}
	equal := err == nil && bytes.Equal(held.Digest, digest.Sum(nil))
	if equal && held.Times+1 >= Confirmations {
		return false, tx.DropHeldRemoval(ctx, p.Name)
	}
	if !equal {
		refs, err := json.Marshal(gone)
		if err != nil {
			return false, err
		}
		held = store.HeldRemoval{Provider: p.Name, Digest: digest.Sum(nil), Removed: len(gone), Total: total, Refs: refs, FirstAt: db.At(now)}
	}
	held.Times++
	held.LastAt = db.At(now)
	sum.held = &held
	return true, tx.HoldRemoval(ctx, held)
}

// lockByRef locks all rows that a change touches, in one order.
func lockByRef(ctx context.Context, tx *store.Tx, ids []int64, refs []string) (map[string]*store.State, error) {
	locked, err := tx.LockStates(ctx, ids, refs)
	states := make(map[string]*store.State, len(locked))
	for _, s := range locked {
		states[s.Ref] = s
	}
	return states, err
}

// upsert stores what the spool holds; states are the locked rows.
func (p *Provider) upsert(ctx context.Context, tx *store.Tx, l *listing, states map[string]*store.State, sum *summary) error {
	source := store.Source{Provider: p.Name}
	for contents, err := range l.spool.chunks(chunk) {
		if err != nil {
			return err
		}
		// Only the last one of a duplicate counts.
		last := map[string]int{}
		refs := make([]string, 0, len(contents))
		for i, c := range contents {
			if _, ok := last[c.Ref]; !ok {
				refs = append(refs, c.Ref)
			}
			last[c.Ref] = i
		}
		old, err := tx.ClaimsBy(ctx, p.Name, refs)
		if err != nil {
			return err
		}
		var offers []offer
		for i, c := range contents {
			if last[c.Ref] == i {
				offers = append(offers, offer{source: source, content: c})
			}
		}
		now := p.engine.now()
		got, err := accept(ctx, tx, now, states, offers)
		if err != nil {
			return err
		}
		if err := p.settle(ctx, tx, now, states, got, old, sum); err != nil {
			return err
		}
	}
	return nil
}

// settle stores the edges and claims of what accept decided.
func (p *Provider) settle(ctx context.Context, tx *store.Tx, now time.Time, states map[string]*store.State, got *accepted, old []store.Claim, sum *summary) error {
	if err := tx.AddEdges(ctx, got.edges); err != nil {
		return err
	}
	var lost []store.Edge
	for key := range got.refused {
		source, ref := key[0].(store.Source), key[1].(string)
		if st := states[ref]; st != nil && !slices.ContainsFunc(got.edges, func(e store.Edge) bool { return e.Target == st.ID }) {
			lost = append(lost, store.Edge{Source: source, Target: st.ID})
		}
	}
	if err := tx.RemoveEdges(ctx, lost); err != nil {
		return err
	}
	shadows := slices.DeleteFunc(got.shadows, func(c store.Claim) bool { return c.Source.Provider == p.Name && got.refused[[2]any{c.Source, c.Ref}] })
	if err := tx.AddClaims(ctx, shadows); err != nil {
		return err
	}
	targets := make([]int64, len(lost))
	for i, e := range lost {
		targets[i] = e.Target
	}
	rel, err := release(ctx, tx, now, targets)
	if err != nil {
		return err
	}
	var over []int64
	for _, c := range old {
		if !got.kept[c.ID] {
			over = append(over, c.ID)
		}
	}
	if err := tx.RemoveClaims(ctx, over); err != nil {
		return err
	}
	sum.conflicts = append(sum.conflicts, got.conflicts...)
	sum.added, sum.updated = sum.added+got.inserted, sum.updated+got.updated
	return queueStitches(ctx, tx, now, append(got.restitch, rel.restitch...), nil)
}

// remove ends the provider's emitting of rows, and of claims by reference.
func (p *Provider) remove(ctx context.Context, tx *store.Tx, ids []int64, claimed []string, sum *summary) error {
	if len(claimed) > 0 {
		claims, err := tx.ClaimsBy(ctx, p.Name, claimed)
		if err != nil {
			return err
		}
		var drop []int64
		for _, c := range claims {
			drop = append(drop, c.ID)
		}
		if err := tx.RemoveClaims(ctx, drop); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	edges := make([]store.Edge, len(ids))
	for i, id := range ids {
		edges[i] = store.Edge{Source: store.Source{Provider: p.Name}, Target: id}
	}
	if err := tx.RemoveEdges(ctx, edges); err != nil {
		return err
	}
	gone, err := erase(ctx, tx, p.engine.now(), ids)
	if err != nil {
		return err
	}
	sum.removed += len(gone.deleted)
	return nil
}

// apply stores a listing as additions and removes refs, within tx.
func (p *Provider) apply(ctx context.Context, tx *store.Tx, l *listing, removed []string) (*summary, error) {
	if err := tx.LockProvider(ctx, p.Name); err != nil {
		return nil, err
	}
	if err := p.relist(ctx, tx, l); err != nil {
		return nil, err
	}
	sum := &summary{unchanged: l.unchanged}
	refs := slices.DeleteFunc(slices.Clone(removed), func(ref string) bool { _, ok := l.seen[ref]; return ok })
	states, err := lockByRef(ctx, tx, nil, append(slices.Clone(refs), l.spool.refs...))
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, ref := range refs {
		if s := states[ref]; s != nil {
			ids = append(ids, s.ID)
		}
	}
	if err := p.upsert(ctx, tx, l, states, sum); err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return sum, nil
	}
	owned, err := tx.ProviderEdges(ctx, p.Name, ids)
	if err != nil {
		return nil, err
	}
	return sum, p.remove(ctx, tx, owned, refs, sum)
}

// Evict empties the sets of providers that are not installed (contract catalog.md,
// 3.2). It is called once at start, with the names of those that are.
func (e *Engine) Evict(ctx context.Context, installed []string) error {
	names, err := e.store.Providers(ctx)
	if err != nil {
		return fmt.Errorf("list providers: %w", err)
	}
	for _, name := range names {
		if slices.Contains(installed, name) {
			continue
		}
		p := &Provider{Name: name, Deliberate: true, engine: e}
		e.log.InfoContext(ctx, "a provider is not installed any more; its entities are removed", "provider", name)
		if err := p.Replace(ctx, func(func(Deferred, error) bool) {}); err != nil {
			return err
		}
	}
	return nil
}
