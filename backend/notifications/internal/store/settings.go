package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Setting is what a user wants of a channel, of an origin on it, or of a topic of that
// origin; the empty text stands for all.
type Setting struct {
	User, Channel, Origin, Topic string
	Enabled                      bool
}

var (
	selectSettings = db.List(`SELECT "user", channel, origin, topic, enabled FROM user_settings WHERE "user" IN ($1...) ORDER BY "user", channel, origin, topic`)
	deleteSettings = db.List(`DELETE FROM user_settings WHERE "user" = $1 AND channel IN ($2...)`)
	insertSettings = db.Insert{Table: "user_settings", Columns: []string{"user", "channel", "origin", "topic", "enabled"}}
)

// Settings returns the settings of some users.
func (s *Store) Settings(ctx context.Context, users []string) ([]Setting, error) {
	rows, err := s.db.Query(ctx, selectSettings, users)
	if err != nil {
		return nil, err
	}
	return db.Collect(rows, func(r db.Row, v *Setting) error {
		return r.Scan(&v.User, &v.Channel, &v.Origin, &v.Topic, &v.Enabled)
	})
}

// SetSettings replaces the settings of a user for some channels.
func (s *Store) SetSettings(ctx context.Context, user string, channels []string, settings []Setting) error {
	rows := make([][]any, 0, len(settings))
	for _, v := range settings {
		rows = append(rows, []any{user, v.Channel, v.Origin, v.Topic, v.Enabled})
	}
	return db.Retry(ctx, s.db, func(c db.Conn) error {
		if _, err := c.Exec(ctx, deleteSettings, user, channels); err != nil {
			return err
		}
		_, err := db.InsertRows(ctx, c, insertSettings, rows)
		return err
	})
}
