package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Filter selects notifications of a user, and broadcasts. The zero value selects all.
type Filter struct {
	User         string
	IDs          []string // nil: any
	Search       string   // a part of title or description, in any case as far as the database knows it
	Read, Saved  *bool
	CreatedAfter time.Time
	MostSevere   *int // at most this number, so at least this severe
	Topic        string
}

// A Page is which part of a list, and its order.
type Page struct {
	Offset, Limit int
	OrderBy       string // one of Orders; empty: created
	Ascending     bool
}

// Orders are the columns that a list may be ordered by.
func Orders() []string {
	return []string{"created", "updated", "read", "saved", "origin", "severity", "topic", "title", "id", "user"}
}

// The two halves of every list. The first reads from the index of a user, in the order of
// created; broadcasts are few.
const (
	ofUser = `SELECT n.id, n."user", n.origin, n.title, n.description, n.link, n.topic, n.severity, n.scope, n.icon, n.created, n.updated, n.read, n.saved
		FROM notification n WHERE n."user" = $1`
	ofAll = `SELECT n.id, NULL, n.origin, n.title, n.description, n.link, n.topic, n.severity, n.scope, n.icon, n.created, n.updated, s.read, s.saved
		FROM broadcast n LEFT JOIN broadcast_user_status s ON s.broadcast_id = n.id AND s."user" = $1 WHERE 1 = 1`
	countUser = `SELECT count(*) FROM notification n WHERE n."user" = $1`
	countAll  = `SELECT count(*) FROM broadcast n LEFT JOIN broadcast_user_status s ON s.broadcast_id = n.id AND s."user" = $1 WHERE 1 = 1`
)

// A condition is what a Filter adds to both halves; status is the table that has read and saved.
type condition struct {
	args []any
	text []string // with %[1]s for the status table
}

func (c *condition) add(text string, arg any) {
	c.args = append(c.args, arg)
	c.text = append(c.text, strings.ReplaceAll(text, "$?", fmt.Sprintf("$%d", len(c.args))))
}

func (c *condition) of(status string) string {
	return strings.ReplaceAll(strings.Join(c.text, ""), "status.", status+".")
}

func (f Filter) condition(d db.Dialect) *condition {
	c := &condition{args: []any{f.User}}
	if f.IDs != nil {
		if d == db.Postgres {
			c.add(" AND n.id = ANY($?)", f.IDs)
		} else {
			c.add(" AND n.id IN (SELECT value FROM json_each($?))", f.IDs)
		}
	}
	for column, want := range map[string]*bool{"read": f.Read, "saved": f.Saved} {
		if want == nil {
			continue
		}
		not := ""
		if *want {
			not = "NOT "
		}
		c.text = append(c.text, " AND status."+column+" IS "+not+"NULL")
	}
	if !f.CreatedAfter.IsZero() {
		c.add(" AND n.created > $?", db.At(f.CreatedAfter))
	}
	if f.MostSevere != nil {
		c.add(" AND n.severity <= $?", *f.MostSevere)
	}
	if f.Topic != "" {
		c.add(" AND n.topic = $?", f.Topic)
	}
	if f.Search != "" {
		// Both sides are made lower by the database, which may know the case of ASCII only.
		pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Search) + "%"
		c.add(` AND (lower(n.title) LIKE lower(CAST($? AS text)) ESCAPE '\' OR lower(n.description) LIKE lower(CAST($? AS text)) ESCAPE '\')`, pattern)
	}
	return c
}

// forValues is a statement whose plan depends on its values: some users have none of what
// others have thousands of.
func forValues(text string) db.SQL { return db.SQL{Postgres: text, SQLite: text, ForValues: true} }

// List returns a page, and how many there are in all.
func (s *Store) List(ctx context.Context, f Filter, p Page) (list []Notification, total int, err error) {
	c := f.condition(db.DialectOf(s.db))
	if p.Limit > 0 {
		rows, err := s.db.Query(ctx, pageOf(c, p), c.args...)
		if err != nil {
			return nil, 0, err
		}
		list, err = db.Collect(rows, func(r db.Row, n *Notification) error { return scan(withTotal{r, &total}, n) })
		if err != nil {
			return nil, 0, err
		}
	}
	if len(list) > 0 || p.Limit > 0 && p.Offset == 0 {
		return list, total, nil
	}
	err = s.db.QueryRow(ctx, forValues("SELECT "+totalOf(c)), c.args...).Scan(&total)
	return nil, total, err
}

// withTotal scans a row whose last column is how many there are in all.
type withTotal struct {
	db.Row
	total *int
}

// Scan implements db.Row.
func (w withTotal) Scan(dest ...any) error { return w.Row.Scan(append(dest, w.total)...) }

// totalOf is how many notifications there are, as an expression.
func totalOf(c *condition) string {
	return "(" + countUser + c.of("n") + ") + (" + countAll + c.of("s") + ")"
}

// pageOf takes as many rows of each half as the page can have of it at most.
func pageOf(c *condition, p Page) db.SQL {
	column := p.OrderBy
	if column == "" {
		column = "created"
	}
	direction := " DESC"
	if p.Ascending {
		direction = " ASC"
	}
	half := func(text, status string) string {
		by := "n." + column
		switch column {
		case "read", "saved":
			by = status + "." + column
		case "user":
			by = `n."user"`
			if status == "s" {
				by = "n.id" // broadcasts have no user
			}
		}
		// NULLs come where the database puts them, which is the same for both halves.
		return fmt.Sprintf("SELECT * FROM (%s%s ORDER BY %s%s, n.id LIMIT %d) AS %s", text, c.of(status), by, direction, p.Offset+p.Limit, "half_"+status)
	}
	return forValues(fmt.Sprintf("SELECT %s, %s FROM (%s UNION ALL %s) AS list ORDER BY %q%s, id LIMIT %d OFFSET %d",
		columns, totalOf(c), half(ofUser, "n"), half(ofAll, "s"), column, direction, p.Limit, p.Offset))
}

// Get returns one notification of a user, or db.ErrNoRows.
func (s *Store) Get(ctx context.Context, user, id string) (n Notification, err error) {
	list, _, err := s.List(ctx, Filter{User: user, IDs: []string{id}}, Page{Limit: 1})
	if err == nil && len(list) == 0 {
		err = db.ErrNoRows
	}
	if err == nil {
		n = list[0]
	}
	return n, err
}

// Status returns how many notifications a user has read, and how many not.
func (s *Store) Status(ctx context.Context, user string) (unread, read int, err error) {
	err = s.db.QueryRow(ctx, selectStatus, user).Scan(&unread, &read)
	return unread, read, err
}

var selectStatus = db.Same(`SELECT count(*) - count(read), count(read) FROM (
	SELECT read FROM notification WHERE "user" = $1
	UNION ALL SELECT s.read FROM broadcast b LEFT JOIN broadcast_user_status s ON s.broadcast_id = b.id AND s."user" = $1) AS both_halves`)

// Topics returns the topics of what the filter selects, sorted.
func (s *Store) Topics(ctx context.Context, f Filter) ([]string, error) {
	c := f.condition(db.DialectOf(s.db))
	q := forValues(`SELECT n.topic FROM notification n WHERE n."user" = $1 AND n.topic IS NOT NULL` + c.of("n") +
		` UNION SELECT n.topic FROM broadcast n LEFT JOIN broadcast_user_status s ON s.broadcast_id = n.id AND s."user" = $1 WHERE n.topic IS NOT NULL` + c.of("s") +
		` ORDER BY 1`)
	rows, err := s.db.Query(ctx, q, c.args...)
	if err != nil {
		return nil, err
	}
	return db.Collect(rows, func(r db.Row, topic *string) error { return r.Scan(topic) })
}

// An Origin is where notifications come from, and about what.
type Origin struct{ Origin, Topic string }

var selectOrigins = db.Same(`SELECT origin, coalesce(topic, '') FROM notification WHERE "user" = $1
	UNION SELECT origin, coalesce(topic, '') FROM broadcast ORDER BY 1, 2`)

// Origins returns the origins and topics that a user has notifications of, sorted.
func (s *Store) Origins(ctx context.Context, user string) ([]Origin, error) {
	rows, err := s.db.Query(ctx, selectOrigins, user)
	if err != nil {
		return nil, err
	}
	return db.Collect(rows, func(r db.Row, o *Origin) error { return r.Scan(&o.Origin, &o.Topic) })
}

var (
	markRead  = db.List(`UPDATE notification SET read = $3 WHERE "user" = $1 AND id IN ($2...) AND (read IS NULL) <> (CAST($3 AS timestamptz) IS NULL)`)
	markSaved = db.List(`UPDATE notification SET saved = $3 WHERE "user" = $1 AND id IN ($2...) AND (saved IS NULL) <> (CAST($3 AS timestamptz) IS NULL)`)

	// One statement for both, so that neither of the two undoes the other. PostgreSQL needs
	// to be told the types; to SQLite they mean that integers stay what they are.
	markBroadcasts = db.List(`INSERT INTO broadcast_user_status (broadcast_id, "user", read, saved)
		SELECT id, $1, CAST($3 AS timestamptz), CAST($4 AS timestamptz) FROM broadcast WHERE id IN ($2...)
		ON CONFLICT ("user", broadcast_id) DO UPDATE SET
		read = CASE WHEN $5 = 1 THEN CASE WHEN excluded.read IS NULL THEN NULL ELSE coalesce(broadcast_user_status.read, excluded.read) END ELSE broadcast_user_status.read END,
		saved = CASE WHEN $6 = 1 THEN CASE WHEN excluded.saved IS NULL THEN NULL ELSE coalesce(broadcast_user_status.saved, excluded.saved) END ELSE broadcast_user_status.saved END`)
)

// Mark notes that a user has read, saved, or both, what has these ids, or has not; nil
// leaves it as it is. What the user does not have is not there. Ids that say so already
// keep their time.
func (s *Store) Mark(ctx context.Context, user string, ids []string, read, saved *bool, now time.Time) error {
	at := func(set *bool) db.Time {
		if set != nil && *set {
			return db.At(now)
		}
		return db.Time{}
	}
	given := func(set *bool) int {
		if set != nil {
			return 1
		}
		return 0
	}
	return db.Retry(ctx, s.db, func(c db.Conn) error {
		if read != nil {
			if _, err := c.Exec(ctx, markRead, user, ids, at(read)); err != nil {
				return err
			}
		}
		if saved != nil {
			if _, err := c.Exec(ctx, markSaved, user, ids, at(saved)); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, markBroadcasts, user, ids, at(read), at(saved), given(read), given(saved))
		return err
	})
}
