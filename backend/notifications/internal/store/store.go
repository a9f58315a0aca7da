// Package store keeps notifications, what users have read and saved of them, their
// settings, and what processors have to do yet, in the database of the notifications plugin.
package store

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema, in the directories postgres and sqlite.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
}

// A Store is the tables. It is safe for concurrent use.
type Store struct{ db db.DB }

// New returns a Store over the database of the plugin.
func New(d db.DB) *Store { return &Store{d} }

// A Notification is a row of notification, or of broadcast with what one user has done
// about it. Texts that are NULL are empty; times are zero.
type Notification struct {
	ID, User, Origin              string
	Title, Description, Link      string
	Topic, Scope, Icon            string
	Severity                      int // 0 critical to 3 low
	Created, Updated, Read, Saved time.Time
}

// columns of the union of both tables, in the order of scan.
const columns = `id, "user", origin, title, description, link, topic, severity, scope, icon, created, updated, read, saved`

func scan(r db.Row, n *Notification) error {
	var user, description, link, topic, scope, icon *string
	var created, updated, read, saved db.Time
	err := r.Scan(&n.ID, &user, &n.Origin, &n.Title, &description, &link, &topic, &n.Severity, &scope, &icon, &created, &updated, &read, &saved)
	for to, from := range map[*string]*string{&n.User: user, &n.Description: description, &n.Link: link, &n.Topic: topic, &n.Scope: scope, &n.Icon: icon} {
		if from != nil {
			*to = *from
		}
	}
	n.Created, n.Updated, n.Read, n.Saved = created.Time, updated.Time, read.Time, saved.Time
	return err
}

var (
	expiredNotifications = db.Same(`DELETE FROM notification WHERE id IN (
		SELECT id FROM notification WHERE created < $1 AND (updated IS NULL OR updated < $1) LIMIT $2)`)
	expiredStatus = db.Same(`DELETE FROM broadcast_user_status WHERE broadcast_id IN (
		SELECT id FROM broadcast WHERE created < $1 AND (updated IS NULL OR updated < $1))`)
	expiredBroadcasts = db.Same(`DELETE FROM broadcast WHERE created < $1 AND (updated IS NULL OR updated < $1)`)
)

// expireBatch is how many rows one statement deletes, so that none holds locks for long.
const expireBatch = 1000

// Expire deletes what was neither created nor updated since, and returns how many
// notifications and broadcasts that were.
func (s *Store) Expire(ctx context.Context, since time.Time) (deleted int64, err error) {
	for {
		n, err := s.db.Exec(ctx, expiredNotifications, db.At(since), expireBatch)
		deleted += n
		if err != nil {
			return deleted, err
		}
		if n < expireBatch {
			break
		}
	}
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		if _, err := c.Exec(ctx, expiredStatus, db.At(since)); err != nil {
			return err
		}
		n, err := c.Exec(ctx, expiredBroadcasts, db.At(since))
		deleted += n
		return err
	})
	return deleted, err
}
