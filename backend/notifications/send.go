package notifications

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
)

// create is POST /notifications, and POST /.
func (p *plugin) create(w http.ResponseWriter, r *http.Request) error {
	service, err := httpx.ServiceOf(r)
	if err != nil {
		return err
	}
	var body struct {
		Recipients json.RawMessage `json:"recipients"`
		Payload    *client.Payload `json:"payload"`
	}
	if err := httpx.DecodeJSON(r, &body); err != nil {
		return err
	}
	if len(body.Recipients) == 0 {
		return httpx.Missing("", "recipients")
	}
	if body.Payload == nil {
		return httpx.Missing("", "payload")
	}
	req := client.Request{Payload: *body.Payload}
	if err := json.Unmarshal(body.Recipients, &req.Recipients); err != nil {
		return httpx.Invalid("recipients", "must be an object with a type, and references that are texts")
	}
	sent, err := p.send(r.Context(), service.Subject, req)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, sent)
}

// send stores a notification and has it delivered. It returns what the API answers: those
// that are new as they were sent, those that were updated as they are stored.
func (p *plugin) send(ctx context.Context, origin string, req client.Request) ([]any, error) {
	for _, proc := range p.processors {
		if o, ok := proc.(OptionsProcessor); ok {
			var err error
			if req, err = o.ProcessOptions(ctx, origin, req); err != nil {
				return nil, err
			}
		}
	}
	if err := p.check(&req); err != nil {
		return nil, err
	}
	users := []string{""}
	wants := map[string]settings{}
	if req.Recipients.Type == "entity" {
		in, err := p.catalog(ctx)
		if err != nil {
			return nil, err
		}
		if users, err = usersOf(ctx, in, req.Recipients); err != nil {
			return nil, err
		}
		if err := bounded(req.Payload, len(users)); err != nil {
			return nil, err
		}
		if wants, err = p.settingsOf(ctx, users); err != nil {
			return nil, err
		}
	}
	ready, err := p.prepare(ctx, origin, req, users)
	if err != nil {
		return nil, err
	}
	d := &dispatch{plugin: p, origin: origin, request: req, wants: wants, prepared: ready}
	stored, err := p.store.Save(ctx, d.forWeb(), ready.now, d.plan)
	if err != nil {
		return nil, err
	}
	p.wake()
	out := make([]any, 0, len(stored))
	byUser := make(map[string]store.Notification, len(stored))
	for _, n := range stored {
		byUser[n.User] = n
	}
	for _, n := range ready.notifications {
		row, ok := byUser[n.User]
		switch {
		case !ok: // turned off
		case row.ID == n.ID:
			out = append(out, newAnswer(n))
		default:
			out = append(out, shown(row))
		}
		if ok {
			p.signalNew(row)
		}
	}
	return out, nil
}

// maxSent bounds the bytes of what one request has stored. Rows, deliveries and the answer are in
// memory at the same time, which is about eight times as much.
const maxSent = 32 << 20

// bounded refuses what is too long for so many users.
func bounded(c client.Payload, users int) error {
	doc, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if len(doc)*users > maxSent {
		return apierr.Input.New("the payload has %d bytes and is for %d users: %d bytes are allowed together; say less, and link to the rest", len(doc), users, maxSent)
	}
	return nil
}

// prepared are the notifications of one request, before they are stored.
type prepared struct {
	notifications []client.Notification
	now           time.Time
}

func (p *plugin) prepare(ctx context.Context, origin string, req client.Request, users []string) (prepared, error) {
	out := prepared{now: p.now().UTC().Truncate(time.Millisecond)}
	for _, user := range users {
		n := client.Notification{ID: uuid.NewString(), User: user, Created: out.now, Origin: origin, Payload: req.Payload}
		changed := false
		for _, proc := range p.processors {
			pre, ok := proc.(PreProcessor)
			if !ok {
				continue
			}
			after, err := pre.PreProcess(ctx, n)
			if err != nil {
				return out, err
			}
			n.Payload, changed = after.Payload, true
		}
		if changed {
			if err := p.checkPayload(&n.Payload); err != nil {
				return out, err
			}
		}
		out.notifications = append(out.notifications, n)
	}
	return out, nil
}

// A dispatch is one request on its way into the database.
type dispatch struct {
	plugin   *plugin
	origin   string
	request  client.Request
	wants    map[string]settings // by user
	prepared prepared
}

func (d *dispatch) enabled(n client.Notification, channel string) bool {
	return n.User == "" || enabled(d.wants[n.User], d.plugin.defaults, channel, d.origin, n.Payload.Topic)
}

// forWeb are the rows for those who want to see them in the frontend.
func (d *dispatch) forWeb() (rows []store.Notification) {
	for _, n := range d.prepared.notifications {
		if d.enabled(n, client.Web) {
			rows = append(rows, toRow(n))
		}
	}
	return rows
}

// plan is what processors have to do, once the rows have the ids that they keep.
func (d *dispatch) plan(saved []store.Notification) (out []store.Delivery, err error) {
	add := func(proc NotificationProcessor, j job) error {
		doc, err := json.Marshal(j)
		out = append(out, store.Delivery{ID: uuid.NewString(), Processor: proc.Name(), Job: doc})
		return err
	}
	ids := make(map[string]string, len(saved))
	for _, n := range saved {
		ids[n.User] = n.ID
	}
	named := map[string]bool{}
	if refs, err := readRefs(d.request.Recipients.Refs); err == nil {
		for _, ref := range refs {
			named[ref] = true
		}
	}
	for _, proc := range d.plugin.processors {
		if _, ok := proc.(RequestProcessor); ok && passes(proc, d.request.Payload) {
			if err := add(proc, job{Origin: d.origin, Request: &d.request}); err != nil {
				return nil, err
			}
		}
		if _, ok := proc.(PostProcessor); !ok {
			continue
		}
		for _, n := range d.prepared.notifications {
			if !passes(proc, n.Payload) || !d.enabled(n, proc.Name()) {
				continue
			}
			if id, ok := ids[n.User]; ok {
				n.ID = id
			}
			if err := add(proc, job{Delivery: &Delivery{n, named[n.User]}}); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Bounds of a payload, in bytes. Scopes are part of an index, topics are what users have
// settings for, and everything is stored once for each user.
const (
	maxTitle       = 1000
	maxLink        = 8000
	maxDescription = 64 << 10
)

// check says what is wrong with a request, and fills in what it may leave out.
func (p *plugin) check(r *client.Request) error {
	switch to := r.Recipients; to.Type {
	case "broadcast":
	case "entity":
		if len(to.Refs) == 0 {
			return httpx.Missing("recipients", "entityRef")
		}
		if !isText(to.Refs...) || !isText(to.Without...) {
			return httpx.Invalid("recipients", "must be text")
		}
	case "":
		return httpx.Missing("recipients", "type")
	default:
		return httpx.Invalid("recipients/type", "must be equal to one of the allowed values: entity, broadcast")
	}
	return p.checkPayload(&r.Payload)
}

func (p *plugin) checkPayload(c *client.Payload) error {
	if c.Title == "" {
		return httpx.Missing("payload", "title")
	}
	if c.Severity == "" {
		c.Severity = client.Normal
	}
	if _, ok := client.Rank(c.Severity); !ok {
		return httpx.Invalid("payload/severity", "must be equal to one of the allowed values: critical, high, normal, low")
	}
	if !isText(c.Title, c.Description, c.Link, c.Topic, c.Scope, c.Icon) {
		return httpx.Invalid("payload", "must be text without NUL characters")
	}
	for _, part := range []struct {
		name, text string
		most       int
	}{
		{"title", c.Title, maxTitle}, {"description", c.Description, maxDescription}, {"link", c.Link, maxLink},
		{"topic", c.Topic, maxSettingName}, {"scope", c.Scope, maxTitle}, {"icon", c.Icon, maxTitle},
	} {
		if len(part.text) > part.most {
			return httpx.Invalid("payload/"+part.name, fmt.Sprintf("must NOT be longer than %d bytes", part.most))
		}
	}
	if c.Link == "" {
		return nil
	}
	link, err := p.base.Parse(c.Link)
	if err != nil {
		return apierr.Input.Wrap(apierr.Status(400).New("the link is no URL"), "Invalid link provided")
	}
	if link.Scheme != "http" && link.Scheme != "https" {
		return apierr.Input.Wrap(apierr.Status(400).New("Only HTTP/HTTPS links are allowed"), "Invalid link provided")
	}
	return nil
}

func isText(list ...string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !db.IsText(s) })
}

// baseURL is what links are resolved against.
func baseURL(app, backend string) (*url.URL, error) {
	if app == "" {
		app = backend
	}
	return url.Parse(app)
}

func toRow(n client.Notification) store.Notification {
	rank, _ := client.Rank(n.Payload.Severity)
	return store.Notification{
		ID: n.ID, User: n.User, Origin: n.Origin, Title: n.Payload.Title, Description: n.Payload.Description, Link: n.Payload.Link,
		Topic: n.Payload.Topic, Scope: n.Payload.Scope, Icon: n.Payload.Icon, Severity: rank,
	}
}
