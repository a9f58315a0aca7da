package db

import (
	"context"
	"database/sql/driver"
)

// failed is the DB of a plugin whose settings are wrong, or that was closed.
type failed struct{ err error }

var (
	_ DB               = failed{}
	_ driver.Connector = failed{}
)

func (f failed) Exec(context.Context, SQL, ...any) (int64, error) { return 0, f.err }
func (f failed) Query(context.Context, SQL, ...any) (Rows, error) { return nil, f.err }
func (f failed) QueryRow(context.Context, SQL, ...any) Row        { return &firstRow{err: f.err} }
func (f failed) Pgx() (PgxConn, bool)                             { return nil, false }
func (f failed) Tx(context.Context, func(Conn) error) error       { return f.err }
func (f failed) Connect(context.Context) (driver.Conn, error)     { return nil, f.err }
func (f failed) Driver() driver.Driver                            { return failedDriver(f) }

type failedDriver struct{ err error }

func (f failedDriver) Open(string) (driver.Conn, error) { return nil, f.err }

// lazyDB opens the plugin's database when it is used.
type lazyDB struct{ p *Plugin }

var _ DB = lazyDB{}

func (l lazyDB) Exec(ctx context.Context, q SQL, args ...any) (int64, error) {
	return l.p.opened().Exec(ctx, q, args...)
}

func (l lazyDB) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	return l.p.opened().Query(ctx, q, args...)
}

func (l lazyDB) QueryRow(ctx context.Context, q SQL, args ...any) Row {
	return l.p.opened().QueryRow(ctx, q, args...)
}

func (l lazyDB) Tx(ctx context.Context, fn func(Conn) error) error {
	return l.p.opened().Tx(ctx, fn)
}

func (l lazyDB) Pgx() (PgxConn, bool) { return l.p.opened().Pgx() }
