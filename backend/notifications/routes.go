package notifications

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
)

// routes are those of contract/backend.md section 18, in its order. Older clients leave
// the prefix out.
func (p *plugin) routes(r backend.Router) {
	for _, prefix := range []string{"/notifications", ""} {
		root := prefix
		if root == "" {
			root = "/{$}"
		}
		r.Handle("GET "+root, p.list)
		r.Handle("GET "+prefix+"/{id}", p.get)
		r.Handle("POST "+prefix+"/update", p.update)
		r.Handle("POST "+root, p.create)
	}
	r.Handle("GET /status", p.status)
	r.Handle("GET /topics", p.topics)
	r.Handle("GET /settings", p.getSettings)
	r.Handle("POST /settings", p.setSettings)
	r.Handle("GET /openapi.json", openAPI)
	r.Handle("GET /.well-known/backstage/permissions/metadata", permissions)
}

// permissions answers what the plugin has of permissions, which is nothing.
func permissions(w http.ResponseWriter, _ *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string][]string{"permissions": {}, "rules": {}})
}

// userOf is the reference of the user who calls, in lower case.
func userOf(r *http.Request) (string, error) {
	u, err := httpx.UserOf(r)
	return strings.ToLower(u.Ref), err
}

// Bounds of a page. A client that says nothing gets defaultPage.
const (
	defaultPage = 100
	maxPage     = 1000
	maxOffset   = 1_000_000
)

// maxSearch is how many bytes are looked for: SQLite takes no more than 50,000.
const maxSearch = maxTitle

// list is GET /notifications.
func (p *plugin) list(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	q := httpx.Query(r)
	page := store.Page{Offset: q.Int("offset", 0, httpx.Between(0, maxOffset)), Limit: q.Int("limit", defaultPage, httpx.Between(0, maxPage))}
	filter, err := readFilter(q, user)
	if err == nil {
		err = readOrder(q, &page)
	}
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	list, total, err := p.store.List(r.Context(), filter, page)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, struct {
		TotalCount    int                 `json:"totalCount"`
		Notifications []shownNotification `json:"notifications"`
	}{total, shownAll(list)})
}

func readFilter(q *httpx.QueryReader, user string) (f store.Filter, err error) {
	flag := func(name string) *bool {
		if !q.Has(name) {
			return nil
		}
		v := q.Bool(name, false)
		return &v
	}
	f = store.Filter{User: user, Search: q.String("search", ""), Topic: q.String("topic", ""), Read: flag("read"), Saved: flag("saved")}
	if rank, ok := client.Rank(q.Enum("minimumSeverity", "", client.Severities()...)); ok {
		f.MostSevere = &rank
	}
	if s := q.String("createdAfter", ""); s != "" {
		if f.CreatedAfter, err = readTime(s); err != nil {
			return f, apierr.Input.New("request/query/createdAfter must be a date, such as 2026-11-24T12:00:00Z")
		}
	}
	if len(f.Search) > maxSearch {
		return f, apierr.Input.New("request/query/search must NOT be longer than %d bytes", maxSearch)
	}
	if !isText(f.Search, f.Topic) {
		return f, apierr.Input.New("request/query/search and request/query/topic must be text")
	}
	return f, nil
}

func readTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Parse(time.DateOnly, s)
}

func readOrder(q *httpx.QueryReader, page *store.Page) error {
	s := q.String("orderField", "")
	if s == "" {
		return nil
	}
	field, direction, ok := strings.Cut(s, ",")
	if !ok || direction != "asc" && direction != "desc" {
		return apierr.Input.New("request/query/orderField must be a field, a comma, and asc or desc")
	}
	if !slices.Contains(store.Orders(), field) {
		return apierr.Input.New("request/query/orderField: unknown field %q, use one of %s", field, strings.Join(store.Orders(), ", "))
	}
	page.OrderBy, page.Ascending = field, direction == "asc"
	return nil
}

// get is GET /notifications/{id}.
func (p *plugin) get(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return apierr.NotFound.New("Not found")
	}
	n, err := p.store.Get(r.Context(), user, id.String())
	if errors.Is(err, db.ErrNoRows) {
		return apierr.NotFound.New("Not found")
	}
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, shown(n))
}

// update is POST /notifications/update.
func (p *plugin) update(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	var body struct {
		IDs   *[]string `json:"ids"`
		Read  *bool     `json:"read"`
		Saved *bool     `json:"saved"`
	}
	if err := httpx.DecodeJSON(r, &body); err != nil {
		return err
	}
	if body.IDs == nil {
		return httpx.Missing("", "ids")
	}
	ids := []string{}
	for _, s := range *body.IDs {
		if id, err := uuid.Parse(s); err == nil { // what is no id is nobody's
			ids = append(ids, id.String())
		}
	}
	if len(ids) == 0 {
		return httpx.JSON(w, http.StatusOK, []shownNotification{})
	}
	if err := p.store.Mark(r.Context(), user, ids, body.Read, body.Saved, p.now()); err != nil {
		return err
	}
	list, _, err := p.store.List(r.Context(), store.Filter{User: user, IDs: ids}, store.Page{Limit: len(ids)})
	if err != nil {
		return err
	}
	if body.Read != nil && len(list) > 0 {
		p.signalRead(r.Context(), user, list, *body.Read)
	}
	return httpx.JSON(w, http.StatusOK, shownAll(list))
}

// status is GET /status.
func (p *plugin) status(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	unread, read, err := p.store.Status(r.Context(), user)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, struct {
		Unread int `json:"unread"`
		Read   int `json:"read"`
	}{unread, read})
}

// topics is GET /topics.
func (p *plugin) topics(w http.ResponseWriter, r *http.Request) error {
	user, err := userOf(r)
	if err != nil {
		return err
	}
	q := httpx.Query(r)
	q.Declare("offset", "limit", "orderField") // those of the list; topics are few
	filter, err := readFilter(q, user)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	topics, err := p.store.Topics(r.Context(), filter)
	if err != nil {
		return err
	}
	if topics == nil {
		topics = []string{}
	}
	return httpx.JSON(w, http.StatusOK, map[string][]string{"topics": topics})
}
