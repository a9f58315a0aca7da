package backend

import (
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/db"
)

// DatabaseConnectionOption is for a NewService: backend.database.connection.type may have
// that name then. open is called once for every connection that does, with what the
// configuration says of it, and does no I/O; its error is a boot error. What it returns
// completes each new connection, such as with a token in place of a password.
func DatabaseConnectionOption(name string, open func(db.Connection) (db.TokenSource, error)) fx.Option {
	return connectionOption{Option: fx.Options(), name: name, open: open}
}

type connectionOption struct {
	fx.Option
	name string
	open func(db.Connection) (db.TokenSource, error)
}

// connectionTypes are what features add to backend.database.connection.type.
func (c *core) connectionTypes() []db.Option {
	var out []db.Option
	for _, f := range c.features {
		for _, o := range f.opts {
			if t, ok := o.(connectionOption); ok {
				out = append(out, db.WithConnectionType(t.name, t.open))
			}
		}
	}
	return out
}
