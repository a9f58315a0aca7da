package db

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// A ConnectError says that the server could not be used. It names the config key,
// the address, the user and the database, and never the password.
type ConnectError struct {
	Key      string // backend.database.connection.host
	Plugin   string
	Address  string // host:port, or the folder of a socket
	User     string
	Database string
	Reason   string
	err      error
}

// Error returns all of it in one line.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("%s: cannot connect to PostgreSQL at %s as user %q, database %q (plugin %s): %s", e.Key, e.Address, e.User, e.Database, e.Plugin, e.Reason)
}

// Unwrap returns the driver's error. Do not print it: it is not checked for secrets.
func (e *ConnectError) Unwrap() error { return e.err }

// explain turns an error of connecting into a *ConnectError, and leaves others alone.
func (p *Plugin) explain(ctx context.Context, err error, locks bool) error {
	if err == nil {
		return nil
	}
	var already *ConnectError
	var connect *pgconn.ConnectError
	if errors.As(err, &already) || !errors.As(err, &connect) {
		return err
	}
	cc, e := p.conn, &p.end
	if locks {
		cc, e = p.lock, &p.lockEnd
	}
	reason := p.reason(connect, cc.ConnectTimeout.String())
	if ctx.Err() != nil {
		reason = ctx.Err().Error()
	}
	if secret := e.secret(); secret != "" {
		reason = strings.ReplaceAll(reason, secret, "***")
	}
	out := &ConnectError{
		Key: e.hostKey, Plugin: p.id, User: cc.User, Database: cc.Database, Reason: reason, err: err,
		Address: net.JoinHostPort(cc.Host, fmt.Sprint(cc.Port)),
	}
	if strings.HasPrefix(cc.Host, "/") {
		out.Address = cc.Host
	}
	return out
}

// reason is the one thing to know about why connecting did not work.
func (p *Plugin) reason(err error, timeout string) string {
	var server *pgconn.PgError
	var dns *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(err, &server):
		return fmt.Sprintf("%s (SQLSTATE %s)", server.Message, server.Code)
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host: check the name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no server listens there"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer within " + timeout
	case errors.As(err, &number):
		return number.Error()
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}
