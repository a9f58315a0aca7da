package db

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsUniqueViolation reports whether err says that a row with the same key exists.
func IsUniqueViolation(err error) bool {
	return hasCode(err, []string{"23505"}, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID)
}

// IsForeignKeyViolation reports whether err says that a row refers to one that
// does not exist, or that a row to be deleted is referred to.
func IsForeignKeyViolation(err error) bool {
	return hasCode(err, []string{"23503"}, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY)
}

// IsConstraintViolation reports whether err says that a row breaks any rule of its
// table: unique, foreign key, NOT NULL or CHECK.
func IsConstraintViolation(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && len(e.Code) == 5 && e.Code[:2] == "23"
}

// IsRetryable reports whether err says that the transaction collided with another
// one and would succeed when run again: serialization failures and deadlocks on
// PostgreSQL, busy and locked databases on SQLite. See [Retry].
func IsRetryable(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		primary := e.Code() & 0xff
		return primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED
	}
	return hasCode(err, []string{"40001", "40P01"})
}

func hasCode(err error, postgres []string, lite ...int) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		for _, code := range postgres {
			if e.Code == code {
				return true
			}
		}
		return false
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		for _, code := range lite {
			if e.Code() == code {
				return true
			}
		}
	}
	return false
}
