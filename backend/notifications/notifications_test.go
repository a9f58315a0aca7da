package notifications_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	signals "github.com/callboard-dev/callboard/backend/signals/client"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

const alice, bob, carol = "user:default/alice", "user:default/bob", "user:default/carol"

// portal is a backend with notifications, a sender, and somebody who listens to signals.
type portal struct {
	t      *testing.T
	b      *backendtest.Backend
	sender *client.Client
	heard  *heard
}

// heard are the signals that were sent.
type heard struct {
	mu   sync.Mutex
	list []string
}

func (h *heard) add(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, s)
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

func start(t *testing.T, yaml string, processors ...notifications.NotificationProcessor) *portal {
	t.Helper()
	p := &portal{t: t, heard: &heard{}}
	sender := backend.NewPlugin("sender", fx.Invoke(func(clients backend.Clients, a backend.Auth, e backend.Events, bg *backend.Background, life fx.Lifecycle) {
		p.sender = client.New(clients, a.Own())
		life.Append(fx.StartHook(func() {
			bg.Go(func(ctx context.Context) {
				for event, err := range e.Subscribe(ctx, "test", signals.Topic) {
					if err == nil {
						p.heard.add(string(event.Payload))
					}
				}
			})
		}))
	}))
	module := backend.NewModule("notifications", "test", fx.Invoke(func(x *notifications.Extensions) { x.AddProcessor(processors...) }))
	p.b = backendtest.Start(t, yaml, notifications.Plugin(), module, sender)
	return p
}

func (p *portal) send(r client.Request) []client.Notification {
	p.t.Helper()
	sent, err := p.sender.Send(p.t.Context(), r)
	if err != nil {
		p.t.Fatal(err)
	}
	return sent
}

func say(title string, to ...string) client.Request {
	return client.Request{Recipients: client.Entities(to...), Payload: client.Payload{Title: title}}
}

// ask sends a request as a user, and returns status and body.
func (p *portal) ask(user, method, path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.b.URL+"/api/notifications"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.b.As(user).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// titles are what a user sees in a list.
func (p *portal) titles(user, query string) (out []string) {
	p.t.Helper()
	code, body := p.ask(user, "GET", "/notifications"+query, "")
	var list struct{ Notifications []client.Notification }
	if err := json.Unmarshal([]byte(body), &list); code != 200 || err != nil {
		p.t.Fatalf("%s: %d %s", query, code, body)
	}
	for _, n := range list.Notifications {
		out = append(out, n.Payload.Title)
	}
	return out
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come to pass", what)
		}
	}
}

func TestSendAndRead(t *testing.T) {
	t.Parallel()
	p := start(t, "app: {baseUrl: 'https://portal.example.com/base'}")
	sent := p.send(say("one", alice, bob))
	if len(sent) != 2 || sent[0].User != alice || sent[0].Origin != "plugin:sender" || sent[0].Payload.Severity != client.Normal || sent[0].Created.IsZero() {
		t.Errorf("%+v", sent)
	}
	everybody := p.send(client.Request{Recipients: client.Everybody(), Payload: client.Payload{Title: "all", Severity: client.Critical, Topic: "outage"}})
	if len(everybody) != 1 || everybody[0].User != "" {
		t.Errorf("%+v", everybody)
	}
	if got := p.titles(carol, ""); !slices.Equal(got, []string{"all"}) {
		t.Errorf("carol sees %v", got)
	}
	if got := p.titles("User:Default/ALICE", ""); !slices.Equal(got, []string{"all", "one"}) {
		t.Errorf("alice sees %v", got)
	}
	// Reading a broadcast is each user's own business, and both members of one update count.
	code, body := p.ask(alice, "POST", "/notifications/update", fmt.Sprintf(`{"ids":[%q,%q,"nonsense"],"read":true,"saved":true}`, everybody[0].ID, sent[1].ID))
	var updated []client.Notification
	if err := json.Unmarshal([]byte(body), &updated); code != 200 || err != nil || len(updated) != 1 || updated[0].Read == nil || updated[0].Saved == nil {
		t.Errorf("%d %s", code, body)
	}
	for user, want := range map[string]string{alice: `{"unread":1,"read":1}`, bob: `{"unread":2,"read":0}`, carol: `{"unread":1,"read":0}`} {
		if _, body := p.ask(user, "GET", "/status", ""); body != want {
			t.Errorf("status of %s is %s", user, body)
		}
	}
	if code, _ := p.ask(alice, "GET", "/"+sent[1].ID, ""); code != 404 {
		t.Errorf("what bob was told is %d for alice", code)
	}
	eventually(t, "signals", func() bool { return len(p.heard.all()) == 4 })
	got := p.heard.all()
	slices.Sort(got)
	want := []string{
		fmt.Sprintf(`{"recipients":{"type":"broadcast"},"channel":"notifications","message":{"action":"new_notification","notification_id":%q}}`, everybody[0].ID),
		fmt.Sprintf(`{"recipients":{"type":"user","entityRef":"user:default/alice"},"channel":"notifications","message":{"action":"new_notification","notification_id":%q}}`, sent[0].ID),
		fmt.Sprintf(`{"recipients":{"type":"user","entityRef":"user:default/alice"},"channel":"notifications","message":{"action":"notification_read","notification_ids":[%q]}}`, everybody[0].ID),
		fmt.Sprintf(`{"recipients":{"type":"user","entityRef":"user:default/bob"},"channel":"notifications","message":{"action":"new_notification","notification_id":%q}}`, sent[1].ID),
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("signals\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	r := say("build 1", alice)
	r.Payload.Scope, r.Payload.Topic = "build", "ci"
	first := p.send(r)
	p.ask(alice, "POST", "/update", fmt.Sprintf(`{"ids":[%q],"read":true}`, first[0].ID))
	again := say("build 2", alice, bob)
	again.Payload.Scope, again.Payload.Severity = "build", client.High
	second := p.send(again)
	if len(second) != 2 || second[0].ID != first[0].ID || second[0].Updated == nil || second[0].Read != nil || second[0].Payload.Topic != "ci" || second[1].Updated != nil {
		t.Errorf("%+v", second)
	}
	if got := p.titles(alice, "?read=false"); !slices.Equal(got, []string{"build 2"}) {
		t.Errorf("alice has not read %v", got)
	}
}

func TestWrongRequests(t *testing.T) {
	t.Parallel()
	p := start(t, "app: {baseUrl: 'https://portal.example.com/base'}")
	service := p.b.AsPlugin("sender")
	for name, tt := range map[string]struct{ body, want string }{
		"no JSON":               {`{`, "InputError"},
		"no payload":            {`{"recipients":{"type":"broadcast"}}`, "payload"},
		"recipients are a list": {`{"recipients":[],"payload":{"title":"x"}}`, "recipients"},
		"no type":               {`{"recipients":{},"payload":{"title":"x"}}`, "type"},
		"no reference":          {`{"recipients":{"type":"entity"},"payload":{"title":"x"}}`, "entityRef"},
		"no references":         {`{"recipients":{"type":"entity","entityRef":[]},"payload":{"title":"x"}}`, "entityRef"},
		"a reference is 1":      {`{"recipients":{"type":"entity","entityRef":1},"payload":{"title":"x"}}`, "recipients"},
		"a wrong exclusion":     {`{"recipients":{"type":"entity","entityRef":"user:a","excludeEntityRef":"::"},"payload":{"title":"x"}}`, "TypeError"},
		"title is 1":            {`{"recipients":{"type":"broadcast"},"payload":{"title":1}}`, "title"},
		"a NUL in the title":    {`{"recipients":{"type":"broadcast"},"payload":{"title":"x\u0000"}}`, "NUL"},
		"a script as a link":    {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","link":"JavaScript:alert(1)"}}`, "Only HTTP/HTTPS links are allowed"},
		"data as a link":        {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","link":"data:text/html,x"}}`, "Only HTTP/HTTPS links are allowed"},
		"a link that is none":   {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","link":"http://[::1"}}`, "Invalid link"},
		"an unknown severity":   {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","severity":"HIGH"}}`, "severity"},
		"a long title":          {`{"recipients":{"type":"broadcast"},"payload":{"title":"` + long(1001) + `"}}`, "payload/title must NOT be longer than 1000 bytes"},
		"a long scope":          {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","scope":"` + long(1001) + `"}}`, "payload/scope must NOT be longer than 1000 bytes"},
		"a long topic":          {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","topic":"` + long(256) + `"}}`, "payload/topic must NOT be longer than 255 bytes"},
		"a long description":    {`{"recipients":{"type":"broadcast"},"payload":{"title":"x","description":"` + long(64<<10+1) + `"}}`, "payload/description must NOT be longer than 65536 bytes"},
		"a long reference":      {`{"recipients":{"type":"entity","entityRef":"user:` + long(600) + `"},"payload":{"title":"x"}}`, "invalid recipient"},
	} {
		res, err := service.Post(p.b.URL+"/api/notifications/notifications", "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 400 || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	for _, link := range []string{"/catalog", "catalog?x=1#y", "//other.example.com/x", "HTTPS://example.com"} {
		r := say("x", alice)
		r.Payload.Link = link
		p.send(r)
	}
	for path, status := range map[string]int{
		"/notifications?limit=1001": 400, "/notifications?limit=-1": 400, "/notifications?offset=-1": 400, "/notifications?minimumSeverity=odd": 400,
		"/notifications?orderField=created": 400, "/notifications?orderField=user%22,asc": 400, "/notifications?search=%00": 400, "/notifications?topic=a&topic=b": 400,
		"/notifications?createdAfter=2026-11-24": 200, "/notifications?limit=0": 200, "/topics?minimumSeverity=high&read=false&search=x": 200, "/topics?read=x": 400,
		"/notifications?search=" + long(1001): 400, "/topics?search=" + long(1001): 400, "/notifications?search=" + long(1000): 200,
		"/notifications/x/y": 404, "/zzz": 404,
	} {
		if code, body := p.ask(alice, "GET", path, ""); code != status {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if _, err := p.sender.Send(t.Context(), say("", alice)); !errors.Is(err, apierr.Input) {
		t.Errorf("the client says %v", err)
	}
}

// long is a text that compresses badly, which is what an index of the database minds.
func long(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

// TestTheLongest sends what is just allowed, to both databases.
func TestTheLongest(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{"", fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: %q}}\n", pgtest.New(t))} {
		p := start(t, yaml)
		r := client.Request{Recipients: client.Entities("user:default/" + long(512-len("user:default/"))), Payload: client.Payload{
			Title: long(1000), Scope: long(1000), Topic: long(255), Icon: long(1000), Link: "/" + long(7999), Description: long(64 << 10),
		}}
		if sent := p.send(r); len(sent) != 1 {
			t.Errorf("%d were sent", len(sent))
		}
	}
}

// TestOneRequestIsBounded: a notification is stored once for each user, so that a long one for
// many would fill the memory.
func TestOneRequestIsBounded(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	many := make([]string, 600)
	for i := range many {
		many[i] = fmt.Sprintf("user:default/u%d", i)
	}
	r := say("x", many...)
	r.Payload.Description = long(64 << 10)
	if _, err := p.sender.Send(t.Context(), r); !errors.Is(err, apierr.Input) || !strings.Contains(err.Error(), "600 users") {
		t.Errorf("the client says %v", err)
	}
	r.Recipients = client.Entities(many[0], many[1])
	if sent := p.send(r); len(sent) != 2 {
		t.Errorf("%d were sent", len(sent))
	}
	r.Recipients, r.Payload.Description, r.Payload.Metadata = client.Entities(many...), "", map[string]any{"a": long(64 << 10)}
	if _, err := p.sender.Send(t.Context(), r); !errors.Is(err, apierr.Input) {
		t.Errorf("the client says %v", err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	mail := &recorder{name: "Email"}
	p := start(t, `
notifications:
  defaultSettings:
    channels:
      - {id: Email, enabled: false, origins: [{id: 'plugin:sender', enabled: true, topics: [{id: noise, enabled: false}]}]}
      - {id: Pigeon, enabled: false}
`, mail)
	send := func(title, topic string) {
		r := say(title, alice)
		r.Payload.Topic = topic
		p.send(r)
	}
	send("a", "builds")
	send("b", "noise")
	_, body := p.ask(alice, "GET", "/settings", "")
	want := `{"channels":[{"id":"Web","origins":[{"id":"plugin:sender","enabled":true,"topics":[{"id":"builds","enabled":true},{"id":"noise","enabled":true}]}]},` +
		`{"id":"Email","enabled":false,"origins":[{"id":"plugin:sender","enabled":true,"topics":[{"id":"builds","enabled":true},{"id":"noise","enabled":false}]}]}]}`
	if body != want {
		t.Errorf("settings are\n%s\nwant\n%s", body, want)
	}
	set := `{"channels":[{"id":"Web","origins":[{"id":"plugin:sender","enabled":true,"topics":[{"id":"builds","enabled":false}]}]}]}`
	if code, body := p.ask(alice, "POST", "/settings", set); code != 200 || !strings.Contains(body, `{"id":"builds","enabled":false}`) {
		t.Errorf("%d %s", code, body)
	}
	send("c", "builds")
	send("d", "noise")
	if got := p.titles(alice, ""); !slices.Equal(got, []string{"d", "b", "a"}) {
		t.Errorf("alice sees %v", got)
	}
	eventually(t, "mail", func() bool { return slices.Equal(mail.titles(), []string{"a", "c"}) })
	// An origin that is off is off, whatever was settled of its topics.
	set = `{"channels":[{"id":"Web","origins":[{"id":"plugin:sender","enabled":false,"topics":[{"id":"builds","enabled":true}]}]},{"id":"Email","enabled":true,"origins":[]}]}`
	p.ask(alice, "POST", "/settings", set)
	send("e", "builds")
	if got := p.titles(alice, ""); len(got) != 3 {
		t.Errorf("alice sees %v", got)
	}
	if got := p.titles(bob, ""); got != nil {
		t.Errorf("bob sees %v", got)
	}
	for _, wrong := range []string{
		`{}`, `{"channels":"x"}`, `{"channels":[{"id":"Pigeon","origins":[]}]}`, `{"channels":[{"id":"Web","origins":[{"enabled":true}]}]}`,
		`{"channels":[{"id":"Web","origins":[{"id":"x"}]}]}`, `{"channels":[{"id":"Web","origins":[{"id":"x","enabled":true,"topics":[{"id":"","enabled":true}]}]}]}`,
		`{"channels":[{"id":"Web","origins":[{"id":"` + strings.Repeat("x", 256) + `","enabled":true}]}]}`,
	} {
		if code, body := p.ask(alice, "POST", "/settings", wrong); code != 400 {
			t.Errorf("%.60s: %d %s", wrong, code, body)
		}
	}
}

// TestGroups asks a real catalog who is in a group that contains itself.
func TestGroups(t *testing.T) {
	t.Parallel()
	group := func(name string, children, members []any) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"type": "team", "children": children, "members": members}}
	}
	user := func(name string) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": map[string]any{"name": name}, "spec": map[string]any{"memberOf": []any{}}}
	}
	shop := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "shop"},
		"spec": map[string]any{"type": "service", "lifecycle": "production", "owner": "upper"}}
	var sender *client.Client
	plugin := backend.NewPlugin("sender", fx.Invoke(func(clients backend.Clients, a backend.Auth) { sender = client.New(clients, a.Own()) }))
	catalogtest.Start(t, "", []entity.Entity{group("upper", []any{"lower"}, []any{"alice"}), group("lower", []any{"upper"}, []any{"bob"}), user("alice"), user("bob"), user("carol"), shop},
		notifications.Plugin(), plugin)
	eventually(t, "the relations", func() bool {
		sent, err := sender.Send(t.Context(), say("x", "component:default/shop", carol))
		if err != nil {
			t.Fatal(err)
		}
		var users []string
		for _, n := range sent {
			users = append(users, n.User)
		}
		slices.Sort(users)
		return slices.Equal(users, []string{alice, bob, carol})
	})
	if _, err := sender.Send(t.Context(), say("x", "group:default/none")); err != nil {
		t.Error(err)
	}
}

// recorder is a processor that notes what it is given, after having failed some times.
type recorder struct {
	name     string
	filter   notifications.Filter
	failures int

	mu   sync.Mutex
	list []notifications.Delivery
}

func (r *recorder) Name() string                 { return r.name }
func (r *recorder) Filter() notifications.Filter { return r.filter }

func (r *recorder) PostProcess(_ context.Context, d notifications.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures > 0 {
		r.failures--
		if r.failures == 1 {
			panic("one of the failures")
		}
		return errors.New("not today")
	}
	r.list = append(r.list, d)
	return nil
}

func (r *recorder) titles() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.list {
		out = append(out, d.Notification.Payload.Title)
	}
	slices.Sort(out)
	return out
}

// editor changes what is sent.
type editor struct{}

func (editor) Name() string { return "Editor" }

func (editor) ProcessOptions(_ context.Context, origin string, r client.Request) (client.Request, error) {
	if r.Payload.Title == "forbidden" {
		return r, apierr.NotAllowed.New("%s may not say this", origin)
	}
	r.Recipients.Refs = append(slices.Clone(r.Recipients.Refs), carol)
	return r, nil
}

func (editor) PreProcess(_ context.Context, n client.Notification) (client.Notification, error) {
	n.Payload.Title += " for " + strings.TrimPrefix(n.User, "user:default/")
	n.User, n.Origin = "user:default/somebody", "else" // does not count
	if n.Payload.Description == "break" {
		n.Payload.Link = "javascript:x"
	}
	return n, nil
}

// room is told of requests as a whole.
type room struct {
	mu   sync.Mutex
	list []string
}

func (*room) Name() string { return "Room" }

func (r *room) ProcessRequest(_ context.Context, origin string, req client.Request) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	doc, err := json.Marshal(req)
	r.list = append(r.list, origin+" "+string(doc))
	return err
}

func (r *room) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func TestProcessors(t *testing.T) {
	t.Parallel()
	severe, quiet, hall := &recorder{name: "Pager", filter: notifications.Filter{MinSeverity: client.High, ExcludedTopics: []string{"drill"}}}, &recorder{name: "Digest", filter: notifications.Filter{MaxSeverity: client.Normal}}, &room{}
	p := start(t, "", editor{}, severe, quiet, hall)
	send := func(title, severity, topic string) []client.Notification {
		r := say(title, alice)
		r.Payload.Severity, r.Payload.Topic, r.Payload.Metadata = severity, topic, map[string]any{"run": 7}
		return p.send(r)
	}
	sent := send("down", client.Critical, "")
	send("slow", client.High, "drill")
	send("news", client.Low, "")
	if len(sent) != 2 || sent[0].Payload.Title != "down for alice" || sent[1].User != carol || sent[1].Payload.Title != "down for carol" || sent[0].Origin != "plugin:sender" {
		t.Errorf("%+v", sent)
	}
	eventually(t, "deliveries", func() bool {
		return slices.Equal(severe.titles(), []string{"down for alice", "down for carol"}) && slices.Equal(quiet.titles(), []string{"news for alice", "news for carol"}) && len(hall.all()) == 3
	})
	severe.mu.Lock()
	for _, d := range severe.list {
		if !d.Named || d.Notification.ID == "" || d.Notification.Payload.Metadata["run"] != 7.0 {
			t.Errorf("%+v", d)
		}
	}
	severe.mu.Unlock()
	if got := hall.all(); !slices.Contains(got, `plugin:sender {"recipients":{"type":"entity","entityRef":["user:default/alice","user:default/carol"]},"payload":{"title":"down","severity":"critical","metadata":{"run":7}}}`) {
		t.Errorf("%v", got)
	}
	if _, err := p.sender.Send(t.Context(), say("forbidden", alice)); !errors.Is(err, apierr.NotAllowed) {
		t.Errorf("%v", err)
	}
	broken := say("x", alice)
	broken.Payload.Description = "break"
	if _, err := p.sender.Send(t.Context(), broken); !errors.Is(err, apierr.Input) {
		t.Errorf("what a processor makes is checked, too: %v", err)
	}
}

func TestNamesOfProcessors(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]notifications.NotificationProcessor{
		"no name":            {&recorder{}},
		"two processors":     {&recorder{name: "A"}, &recorder{name: "A"}},
		"the frontend's own": {&recorder{name: "Web"}},
	} {
		module := backend.NewModule("notifications", "test", fx.Invoke(func(x *notifications.Extensions) { x.AddProcessor(list...) }))
		if _, err := backendtest.Boot(t, "", notifications.Plugin(), module); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	invoke := func(hc *http.Client, name, input string) (int, string) {
		t.Helper()
		res, err := hc.Post(p.b.URL+"/api/notifications/.backstage/actions/v1/actions/notifications:"+name+"/invoke", "application/json", bytes.NewReader([]byte(input)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	if code, body := invoke(p.b.AsPlugin("sender"), "send-notification", `{"entityRefs":["user:default/alice"],"title":"hello","severity":"high"}`); code != 200 || body != `{"output":{"notifications":1}}` {
		t.Errorf("%d %s", code, body)
	}
	if code, body := invoke(p.b.As(alice), "send-notification", `{"broadcast":true,"title":"hello"}`); code != 403 {
		t.Errorf("a user sends: %d %s", code, body)
	}
	if code, body := invoke(p.b.As(alice), "get-notifications", `{"unread":true,"minimumSeverity":"high"}`); code != 200 || !strings.Contains(body, `"total":1`) || !strings.Contains(body, `"title":"hello"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := invoke(p.b.AsPlugin("sender"), "get-notifications", `{}`); code != 403 {
		t.Errorf("a service reads: %d %s", code, body)
	}
}

// crowd is a processor that notes how many of its calls there are at once.
type crowd struct {
	mu             sync.Mutex
	now, most, all int
}

func (*crowd) Name() string { return "Crowd" }

func (c *crowd) PostProcess(context.Context, notifications.Delivery) error {
	c.mu.Lock()
	c.now, c.all = c.now+1, c.all+1
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(5 * time.Millisecond)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	return nil
}

// TestConcurrencyLimit: notifications.concurrencyLimit holds for processors.
func TestConcurrencyLimit(t *testing.T) {
	t.Parallel()
	c := &crowd{}
	p := start(t, "notifications: {concurrencyLimit: 3, throttleInterval: 1}", c)
	var to []string
	for i := range 40 {
		to = append(to, fmt.Sprintf("user:default/u%d", i))
	}
	p.send(say("x", to...))
	eventually(t, "40 deliveries", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.all == 40 })
	if c.most > 3 {
		t.Errorf("%d calls at once, want 3 at most", c.most)
	}
}

// TestReplicasShareDeliveries: each delivery is carried out once, whichever replica has it.
func TestReplicasShareDeliveries(t *testing.T) {
	t.Parallel()
	yaml := fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: %q}}\n", pgtest.New(t))
	var all []*recorder
	var first *portal
	for range 3 {
		r := &recorder{name: "Email"}
		all = append(all, r)
		if p := start(t, yaml, r); first == nil {
			first = p
		}
	}
	var want []string
	for i := range 40 {
		title := fmt.Sprintf("n%02d", i)
		want = append(want, title)
		first.send(say(title, alice))
	}
	eventually(t, "deliveries", func() bool {
		var got []string
		for _, r := range all {
			got = append(got, r.titles()...)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}
