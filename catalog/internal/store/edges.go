package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// An Edge says that Source emits the row Target. Via tells through which of its
// targets an entity does; 0 for everything else.
type Edge struct {
	Source Source
	Target int64
	Via    int64
}

const edgeColumns = `source_provider, source_id, target_id, via`

var (
	selectEdgesFrom     = db.List(`SELECT ` + edgeColumns + ` FROM refresh_edges WHERE source_id IN ($1...)`)
	selectEdgesTo       = db.List(`SELECT ` + edgeColumns + ` FROM refresh_edges WHERE target_id IN ($1...)`)
	selectProviderEdges = db.SQL{
		Postgres: `SELECT target_id FROM refresh_edges WHERE source_provider = $1 AND target_id = ANY($2)`,
		SQLite:   `SELECT target_id FROM refresh_edges WHERE source_provider = $1 AND target_id IN (SELECT value FROM json_each($2))`,
	}
	insertProviderEdges = insertInto("refresh_edges", "ON CONFLICT DO NOTHING", "source_provider text", "target_id bigint")
	insertEntityEdges   = db.SQL{
		Postgres: `INSERT INTO refresh_edges (source_id, target_id, via) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
			ON CONFLICT (source_id, target_id) WHERE source_id IS NOT NULL DO UPDATE SET via = excluded.via`,
		SQLite: `INSERT INTO refresh_edges (source_id, target_id, via) VALUES ($1, $2, $3)
			ON CONFLICT (source_id, target_id) WHERE source_id IS NOT NULL DO UPDATE SET via = excluded.via`,
	}
	deleteProviderEdges = db.SQL{
		Postgres: `DELETE FROM refresh_edges WHERE source_provider = $1 AND target_id = ANY($2)`,
		SQLite:   `DELETE FROM refresh_edges WHERE source_provider = $1 AND target_id IN (SELECT value FROM json_each($2))`,
	}
	deleteEntityEdges = db.SQL{
		Postgres: `DELETE FROM refresh_edges e USING unnest($1::bigint[], $2::bigint[]) AS u(source, target) WHERE e.source_id = u.source AND e.target_id = u.target`,
		SQLite:   `DELETE FROM refresh_edges WHERE source_id = $1 AND target_id = $2`,
	}
)

// EdgesFrom returns what the entities emit.
func (tx *Tx) EdgesFrom(ctx context.Context, sources []int64) ([]Edge, error) {
	return tx.edges(ctx, selectEdgesFrom, sources)
}

// EdgesTo returns who emits the entities.
func (tx *Tx) EdgesTo(ctx context.Context, targets []int64) ([]Edge, error) {
	return tx.edges(ctx, selectEdgesTo, targets)
}

func (tx *Tx) edges(ctx context.Context, q db.SQL, ids []int64) (out []Edge, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.c.Query(ctx, q, ids)
	err = each(rows, err, func(r db.Row) error {
		var provider *string
		var source *int64
		var e Edge
		err := r.Scan(&provider, &source, &e.Target, &e.Via)
		e.Source = Source{text(provider), number(source)}
		out = append(out, e)
		return err
	})
	return out, err
}

// ProviderEdges returns which of targets the provider emits.
func (tx *Tx) ProviderEdges(ctx context.Context, provider string, targets []int64) ([]int64, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	return column[int64](tx.c.Query(ctx, selectProviderEdges, provider, targets))
}

// AddEdges adds edges, or changes the Via of those that exist.
func (tx *Tx) AddEdges(ctx context.Context, edges []Edge) error {
	var providers []string
	var roots, sources, targets, vias []int64
	for _, e := range edges {
		if e.Source.Provider != "" {
			providers, roots = append(providers, e.Source.Provider), append(roots, e.Target)
			continue
		}
		sources, targets, vias = append(sources, e.Source.Entity), append(targets, e.Target), append(vias, e.Via)
	}
	if len(roots) > 0 {
		if err := insertProviderEdges.exec(ctx, tx.c, providers, roots); err != nil {
			return err
		}
	}
	return forEach(ctx, tx.c, insertEntityEdges, len(sources), sources, targets, vias)
}

// RemoveEdges removes edges.
func (tx *Tx) RemoveEdges(ctx context.Context, edges []Edge) error {
	roots := map[string][]int64{}
	var sources, targets []int64
	for _, e := range edges {
		if p := e.Source.Provider; p != "" {
			roots[p] = append(roots[p], e.Target)
			continue
		}
		sources, targets = append(sources, e.Source.Entity), append(targets, e.Target)
	}
	for provider, ids := range roots {
		if _, err := tx.c.Exec(ctx, deleteProviderEdges, provider, ids); err != nil {
			return err
		}
	}
	return forEach(ctx, tx.c, deleteEntityEdges, len(sources), sources, targets)
}

// A Claim is an emission that is not what its row holds: it lost to the holder of
// another location key, or another source with the same key came later.
type Claim struct {
	ID      int64
	Source  Source
	Content // Content.ID is not set
}

const claimColumns = `id, source_provider, source_id, ref, location_key, unprocessed, unprocessed_hash, places, via`

var (
	selectClaimsFrom = db.List(`SELECT ` + claimColumns + ` FROM refresh_claims WHERE source_id IN ($1...) ORDER BY id`)
	selectClaimsOn   = db.List(`SELECT ` + claimColumns + ` FROM refresh_claims WHERE ref IN ($1...) ORDER BY id`)
	selectClaimsBy   = db.SQL{
		Postgres: `SELECT ` + claimColumns + ` FROM refresh_claims WHERE source_provider = $1 AND ref = ANY($2) ORDER BY id`,
		SQLite:   `SELECT ` + claimColumns + ` FROM refresh_claims WHERE source_provider = $1 AND ref IN (SELECT value FROM json_each($2)) ORDER BY id`,
	}
	selectClaimRefs = db.Same(`SELECT ref FROM refresh_claims WHERE source_provider = $1`)
	deleteClaims    = db.List(`DELETE FROM refresh_claims WHERE id IN ($1...)`)

	insertProviderClaim = db.SQL{
		Postgres: `INSERT INTO refresh_claims (source_provider, ref, location_key, unprocessed, unprocessed_hash, places)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[])` + onProviderClaim,
		SQLite: `INSERT INTO refresh_claims (source_provider, ref, location_key, unprocessed, unprocessed_hash, places)
			VALUES ($1, $2, $3, $4, $5, $6)` + onProviderClaim,
	}
	insertEntityClaim = db.SQL{
		Postgres: `INSERT INTO refresh_claims (source_id, ref, location_key, unprocessed, unprocessed_hash, places, via)
			SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[])` + onEntityClaim,
		SQLite: `INSERT INTO refresh_claims (source_id, ref, location_key, unprocessed, unprocessed_hash, places, via)
			VALUES ($1, $2, $3, $4, $5, $6, $7)` + onEntityClaim,
	}
)

const (
	onProviderClaim = ` ON CONFLICT (source_provider, ref, coalesce(location_key, '')) WHERE source_provider IS NOT NULL DO UPDATE SET
		unprocessed = excluded.unprocessed, unprocessed_hash = excluded.unprocessed_hash, places = excluded.places`
	onEntityClaim = ` ON CONFLICT (source_id, ref, coalesce(location_key, '')) WHERE source_id IS NOT NULL DO UPDATE SET
		unprocessed = excluded.unprocessed, unprocessed_hash = excluded.unprocessed_hash,
		places = excluded.places, via = excluded.via`
)

// ClaimsFrom returns the lost emissions of entities.
func (tx *Tx) ClaimsFrom(ctx context.Context, sources []int64) ([]Claim, error) {
	if len(sources) == 0 {
		return nil, nil
	}
	return collectClaims(tx.c.Query(ctx, selectClaimsFrom, sources))
}

// ClaimsOn returns the lost emissions of refs, the oldest first.
func (tx *Tx) ClaimsOn(ctx context.Context, refs []string) ([]Claim, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	return collectClaims(tx.c.Query(ctx, selectClaimsOn, refs))
}

// ClaimsBy returns the lost emissions of a provider for refs.
func (tx *Tx) ClaimsBy(ctx context.Context, provider string, refs []string) ([]Claim, error) {
	return collectClaims(tx.c.Query(ctx, selectClaimsBy, provider, refs))
}

// ClaimRefs returns the references of all lost emissions of a provider.
func (tx *Tx) ClaimRefs(ctx context.Context, provider string) ([]string, error) {
	return column[string](tx.c.Query(ctx, selectClaimRefs, provider))
}

func collectClaims(rows db.Rows, err error) (out []Claim, _ error) {
	err = each(rows, err, func(r db.Row) error {
		var c Claim
		var provider, key *string
		var source *int64
		err := r.Scan(&c.ID, &provider, &source, &c.Ref, &key, &c.Unprocessed, &c.Hash, &c.Places, &c.Via)
		c.Source, c.LocationKey = Source{text(provider), number(source)}, text(key)
		out = append(out, c)
		return err
	})
	return out, err
}

// AddClaims stores emissions that do not stand; there is one of each source for a
// reference and location key.
func (tx *Tx) AddClaims(ctx context.Context, claims []Claim) error {
	var roots, nested []Claim
	for _, c := range claims {
		if c.Source.Provider != "" {
			roots = append(roots, c)
		} else {
			nested = append(nested, c)
		}
	}
	add := func(q db.SQL, claims []Claim, provider bool) error {
		n := len(claims)
		names, ids, vias := make([]string, n), make([]int64, n), make([]int64, n)
		refs, keys, docs, hashes, places := make([]string, n), make([]*string, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
		for i, c := range claims {
			names[i], ids[i], vias[i] = c.Source.Provider, c.Source.Entity, c.Via
			refs[i], keys[i], hashes[i], places[i] = c.Ref, null(c.LocationKey), c.Hash, c.Places
			var err error
			if docs[i], err = c.Document(); err != nil {
				return err
			}
		}
		if provider {
			return forEach(ctx, tx.c, q, n, names, refs, keys, docs, hashes, places)
		}
		return forEach(ctx, tx.c, q, n, ids, refs, keys, docs, hashes, places, vias)
	}
	if err := add(insertProviderClaim, roots, true); err != nil {
		return err
	}
	return add(insertEntityClaim, nested, false)
}

// RemoveClaims deletes lost emissions.
func (tx *Tx) RemoveClaims(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.c.Exec(ctx, deleteClaims, ids)
	return err
}
