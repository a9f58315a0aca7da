package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Location is one that a user registered.
type Location struct{ ID, Type, Target, EntityRef string }

const locationColumns = `id, type, target, entity_ref`

func (l *Location) scan(r db.Row) error { return r.Scan(&l.ID, &l.Type, &l.Target, &l.EntityRef) }

var (
	selectLocations           = db.Same(`SELECT ` + locationColumns + ` FROM locations ORDER BY id`)
	selectLocation            = db.Same(`SELECT ` + locationColumns + ` FROM locations WHERE id = $1`)
	selectLocationByTarget    = db.Same(`SELECT ` + locationColumns + ` FROM locations WHERE type = $1 AND target = $2`)
	selectLocationByEntityRef = db.Same(`SELECT ` + locationColumns + ` FROM locations WHERE entity_ref = $1 ORDER BY id LIMIT 1`)
	insertLocation            = db.Same(`INSERT INTO locations (` + locationColumns + `) VALUES ($1, $2, $3, $4) ON CONFLICT (type, target) DO NOTHING`)
	updateLocation            = db.Same(`UPDATE locations SET type = $2, target = $3, entity_ref = $4 WHERE id = $1`)
	deleteLocation            = db.Same(`DELETE FROM locations WHERE id = $1`)
)

// Locations lists all, by id.
func (s *Store) Locations(ctx context.Context) ([]Location, error) { return locations(ctx, s.db) }

// Locations is Store.Locations within the transaction.
func (tx *Tx) Locations(ctx context.Context) ([]Location, error) { return locations(ctx, tx.c) }

func locations(ctx context.Context, c db.Conn) (out []Location, err error) {
	rows, err := c.Query(ctx, selectLocations)
	err = each(rows, err, func(r db.Row) error {
		var l Location
		err := l.scan(r)
		out = append(out, l)
		return err
	})
	return out, err
}

// Location returns db.ErrNoRows if there is none.
func (s *Store) Location(ctx context.Context, id string) (l Location, err error) {
	err = l.scan(s.db.QueryRow(ctx, selectLocation, id))
	return l, err
}

// LocationByTarget returns db.ErrNoRows if there is none.
func (s *Store) LocationByTarget(ctx context.Context, typ, target string) (l Location, err error) {
	err = l.scan(s.db.QueryRow(ctx, selectLocationByTarget, typ, target))
	return l, err
}

// Location is Store.Location within the transaction.
func (tx *Tx) Location(ctx context.Context, id string) (l Location, err error) {
	err = l.scan(tx.c.QueryRow(ctx, selectLocation, id))
	return l, err
}

// LocationByTarget is Store.LocationByTarget within the transaction.
func (tx *Tx) LocationByTarget(ctx context.Context, typ, target string) (l Location, err error) {
	err = l.scan(tx.c.QueryRow(ctx, selectLocationByTarget, typ, target))
	return l, err
}

// LocationByEntityRef returns db.ErrNoRows if there is none.
func (tx *Tx) LocationByEntityRef(ctx context.Context, ref string) (l Location, err error) {
	err = l.scan(tx.c.QueryRow(ctx, selectLocationByEntityRef, ref))
	return l, err
}

// AddLocation says false if one with the same type and target exists.
func (tx *Tx) AddLocation(ctx context.Context, l Location) (bool, error) {
	n, err := tx.c.Exec(ctx, insertLocation, l.ID, l.Type, l.Target, l.EntityRef)
	return n > 0, err
}

// UpdateLocation fails with a unique violation if another one has the type and target.
func (tx *Tx) UpdateLocation(ctx context.Context, l Location) error {
	_, err := tx.c.Exec(ctx, updateLocation, l.ID, l.Type, l.Target, l.EntityRef)
	return err
}

// DeleteLocation says whether there was one.
func (tx *Tx) DeleteLocation(ctx context.Context, id string) (bool, error) {
	n, err := tx.c.Exec(ctx, deleteLocation, id)
	return n > 0, err
}
