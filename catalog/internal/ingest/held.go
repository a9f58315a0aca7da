package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// ReleaseHeld removes what a listing of the provider would have removed, and was held
// back; it says how many entities went. Those that the provider emits no more by now, or
// that others emit, are not among them. The error is apierr.NotFound if nothing of
// the provider is held.
func (e *Engine) ReleaseHeld(ctx context.Context, provider string) (removed int, err error) {
	p, start := e.Provider(provider), time.Now()
	var sum *summary
	err = e.tx(ctx, func(tx *store.Tx) error {
		sum = &summary{}
		if err := tx.LockProvider(ctx, provider); err != nil {
			return err
		}
		held, err := tx.HeldRemoval(ctx, provider)
		if errors.Is(err, db.ErrNoRows) {
			return apierr.NotFound.New("no removal of provider %q is held", provider)
		}
		if err != nil {
			return err
		}
		refs, err := heldRefs(held)
		if err != nil {
			return err
		}
		states, err := lockByRef(ctx, tx, nil, refs)
		if err != nil {
			return err
		}
		ids := make([]int64, 0, len(states))
		for _, s := range states {
			ids = append(ids, s.ID)
		}
		owned, err := tx.ProviderEdges(ctx, provider, ids)
		if err != nil {
			return err
		}
		if err := p.remove(ctx, tx, owned, refs, sum); err != nil {
			return err
		}
		return tx.DropHeldRemoval(ctx, provider)
	})
	if err != nil {
		return 0, fmt.Errorf("release the held removal: %w", err)
	}
	p.tell(ctx, sum, nil, time.Since(start))
	return sum.removed, nil
}

func heldRefs(held store.HeldRemoval) (refs []string, err error) {
	if err := json.Unmarshal(held.Refs, &refs); err != nil {
		return nil, fmt.Errorf("references of the held removal of %s: %w", held.Provider, err)
	}
	return refs, nil
}

// relist forgets a held removal of something that the provider adds again: its next
// listing says what else is to go.
func (p *Provider) relist(ctx context.Context, tx *store.Tx, l *listing) error {
	if p.Deliberate || len(l.seen) == 0 {
		return nil
	}
	held, err := tx.HeldRemoval(ctx, p.Name)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	refs, err := heldRefs(held)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(refs, func(ref string) bool { _, again := l.seen[ref]; return again }) {
		return nil
	}
	return tx.DropHeldRemoval(ctx, p.Name)
}
