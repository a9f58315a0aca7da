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
func (f failed) Driver() driver.Driver                            { return failedDriver{f.err} }

type failedDriver struct{ err error }

func (f failedDriver) Open(string) (driver.Conn, error) { return nil, f.err }
