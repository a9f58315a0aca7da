package store

import (
	"context"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// saveBatch is how many rows one statement writes.
const saveBatch = 1000

// A row of the JSON that saves are given as. Absent texts are NULL.
type row struct {
	ID          string  `json:"id"`
	User        string  `json:"user"`
	Origin      string  `json:"origin"`
	Title       string  `json:"title"`
	Description *string `json:"description"`
	Link        *string `json:"link"`
	Topic       *string `json:"topic"`
	Severity    int     `json:"severity"`
	Scope       *string `json:"scope"`
	Icon        *string `json:"icon"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// The row that a scope has keeps its id, its icon, and what the new one leaves out; it is
// unread then, and stays saved.
const (
	saveColumns = `id, "user", origin, title, description, link, topic, severity, scope, icon, created`
	saveValues  = `value ->> 'id', value ->> 'user', value ->> 'origin', value ->> 'title', value ->> 'description', value ->> 'link',
		value ->> 'topic', CAST(value ->> 'severity' AS smallint), value ->> 'scope', value ->> 'icon'`
	onScope = ` ON CONFLICT ("user", origin, scope) WHERE scope IS NOT NULL DO UPDATE SET title = excluded.title,
		description = coalesce(excluded.description, notification.description), link = coalesce(excluded.link, notification.link),
		topic = coalesce(excluded.topic, notification.topic), severity = excluded.severity, updated = $2, read = NULL
		RETURNING ` + columns
)

var saveNotifications = db.SQL{
	Postgres: `INSERT INTO notification (` + saveColumns + `) SELECT ` + saveValues + `, CAST($2 AS timestamptz) FROM jsonb_array_elements($1::jsonb)` + onScope,
	SQLite:   `INSERT INTO notification (` + saveColumns + `) SELECT ` + saveValues + `, $2 FROM json_each($1) WHERE true` + onScope,
}

var (
	saveBroadcast = db.Same(`INSERT INTO broadcast (id, origin, title, description, link, topic, severity, scope, icon, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (origin, scope) WHERE scope IS NOT NULL DO UPDATE SET title = excluded.title,
		description = coalesce(excluded.description, broadcast.description), link = coalesce(excluded.link, broadcast.link),
		topic = coalesce(excluded.topic, broadcast.topic), severity = excluded.severity, updated = $10
		RETURNING id, NULL, origin, title, description, link, topic, severity, scope, icon, created, updated, NULL, NULL`)
	unreadBroadcast = db.Same(`UPDATE broadcast_user_status SET read = NULL WHERE broadcast_id = $1`)
	insertDelivery  = db.Insert{Table: "delivery", Columns: []string{"id", "processor", "job", "attempts", "due"}}
)

// Save stores notifications for users; those without a user are broadcasts. A notification
// with a scope that the same user has from the same origin updates that one. It returns the
// rows as they are then, in no order; those that are new have the ids of list. Plan makes,
// of each row that was stored, what processors have to do, which is stored in the same
// transaction: either all is stored or nothing.
func (s *Store) Save(ctx context.Context, list []Notification, now time.Time, plan func(saved []Notification) ([]Delivery, error)) (saved []Notification, err error) {
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		saved = nil
		for rest := list; len(rest) > 0; {
			some := rest[:min(saveBatch, len(rest))]
			rest = rest[len(some):]
			stored, err := save(ctx, c, some, now)
			if err != nil {
				return err
			}
			saved = append(saved, stored...)
		}
		jobs, err := plan(saved)
		if err != nil {
			return err
		}
		rows := make([][]any, 0, len(jobs))
		for _, j := range jobs {
			rows = append(rows, []any{j.ID, j.Processor, string(j.Job), 0, db.At(now)})
		}
		_, err = db.InsertRows(ctx, c, insertDelivery, rows)
		return err
	})
	return saved, err
}

func save(ctx context.Context, c db.Conn, list []Notification, now time.Time) (saved []Notification, err error) {
	var rows []row
	for _, n := range list {
		if n.User == "" {
			b, err := broadcast(ctx, c, n, now)
			if err != nil {
				return nil, err
			}
			saved = append(saved, b)
			continue
		}
		rows = append(rows, row{n.ID, n.User, n.Origin, n.Title, text(n.Description), text(n.Link), text(n.Topic), n.Severity, text(n.Scope), text(n.Icon)})
	}
	if len(rows) == 0 {
		return saved, nil
	}
	doc, err := db.JSONOf(rows)
	if err != nil {
		return nil, err
	}
	result, err := c.Query(ctx, saveNotifications, doc, db.At(now))
	if err != nil {
		return nil, err
	}
	stored, err := db.Collect(result, scan)
	return append(saved, stored...), err
}

func broadcast(ctx context.Context, c db.Conn, n Notification, now time.Time) (saved Notification, err error) {
	err = scan(c.QueryRow(ctx, saveBroadcast, n.ID, n.Origin, n.Title, text(n.Description), text(n.Link), text(n.Topic), n.Severity,
		text(n.Scope), text(n.Icon), db.At(now)), &saved)
	if err == nil && saved.ID != n.ID {
		_, err = c.Exec(ctx, unreadBroadcast, saved.ID)
	}
	return saved, err
}
