package slacknotifications

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/notificationstest"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

const token = "xoxb-of-this-test"

// slack is a workspace that answers as Slack does.
type slack struct {
	url string

	mu      sync.Mutex
	broken  bool
	limited int               // calls that are answered with 429
	after   string            // Retry-After of these
	users   map[string]string // ids by address
	code    string            // of chat.postMessage, if it is to fail
	lookups int
	list    []message
}

func workspace(t *testing.T) *slack {
	t.Helper()
	s := &slack{users: map[string]string{"alice@example.com": "U1"}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/chat.postMessage", func(w http.ResponseWriter, r *http.Request) {
		var m message
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%v, %s", err, r.Header)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.code != "" {
			fmt.Fprintf(w, `{"ok":false,"error":%q}`, s.code)
			return
		}
		s.list = append(s.list, m)
		fmt.Fprint(w, `{"ok":true}`)
	})
	mux.HandleFunc("GET /api/users.lookupByEmail", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lookups++
		if id, ok := s.users[r.URL.Query().Get("email")]; ok {
			fmt.Fprintf(w, `{"ok":true,"user":{"id":%q}}`, id)
			return
		}
		fmt.Fprint(w, `{"ok":false,"error":"users_not_found"}`)
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			fmt.Fprint(w, `{"ok":false,"error":"invalid_auth"}`)
			return
		}
		s.mu.Lock()
		broken, limited := s.broken, s.limited > 0
		if limited {
			s.limited--
		}
		after := s.after
		s.mu.Unlock()
		switch {
		case broken:
			w.WriteHeader(http.StatusServiceUnavailable)
		case limited:
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/api"
	return s
}

func (s *slack) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// channels are where messages have come in, in order.
func (s *slack) channels() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.list {
		out = append(out, m.Channel)
	}
	slices.Sort(out)
	return out
}

// messages are what has arrived: text and blocks of type mrkdwn are interpreted.
func (s *slack) messages() (out []notificationstest.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.list {
		a := m.Attachments[0]
		out = append(out, notificationstest.Message{Head: m.Channel, Markup: m.Text + "\n" + a.Fallback + "\n" + a.Blocks[0].Text.Text, Text: a.Blocks[1].Elements[0].Text})
	}
	return out
}

// directory is a catalog, by reference: annotation and address.
type directory map[string][2]string

// ServeHTTP answers POST /entities/by-refs.
func (d directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		EntityRefs []string `json:"entityRefs"`
	}
	_ = httpx.DecodeJSON(r, &body)
	items := []any{}
	for _, ref := range body.EntityRefs {
		e, ok := d[ref]
		if !ok {
			items = append(items, nil)
			continue
		}
		annotations, profile := map[string]any{}, map[string]any{}
		if e[0] != "" {
			annotations[Annotation] = e[0]
		}
		if e[1] != "" {
			profile["email"] = e[1]
		}
		items = append(items, map[string]any{"metadata": map[string]any{"annotations": annotations}, "spec": map[string]any{"profile": profile}})
	}
	_ = httpx.JSON(w, 200, map[string]any{"items": items})
}

const alice = "user:default/alice"

var acme = directory{
	alice: {"", "alice@example.com"}, "user:default/bob": {"U2", "alice@example.com"}, "user:default/carol": {"", "carol@example.com"}, "user:default/dave": {},
	"group:default/team": {"C-team", ""}, "group:default/quiet": {}, "component:default/shop": {"C-shop", ""},
}

func open(t *testing.T, s *slack, yaml string) []*processor {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte("app: {baseUrl: 'https://portal.example.com'}\nnotifications: {processors: {slack: "+yaml+"}}"))
	if err != nil {
		t.Fatal(err)
	}
	var c Workspaces
	if err := cfg.Decode(section, &c); err != nil {
		t.Fatal(err)
	}
	list, err := newProcessors(params{Workspaces: c, Options: options{s.url}, Root: cfg, Auth: backendtest.Auth("notifications"), Clients: backendtest.Clients{"catalog": acme}, Cache: &backendtest.Cache{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const quick = "[{token: " + token + ", throttleInterval: 1, broadcastChannels: [C-all, C-ops], username: Portal}]"

func TestConformance(t *testing.T) {
	t.Parallel()
	notificationstest.RunProcessor(t, func(t *testing.T) notificationstest.Target {
		s := workspace(t)
		return notificationstest.Target{
			Processor: open(t, s, quick)[0], Known: alice, Unknown: "user:default/nobody", Received: s.messages,
			Break: func() { s.set(func() { s.broken = true }) }, Mend: func() { s.set(func() { s.broken = false }) },
		}
	})
}

func TestWhoIsTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		users []string // a dash in front: only in a group
		to    *client.Recipients
		want  []string
	}{
		"by address":              {[]string{alice}, nil, []string{"U1"}},
		"by annotation":           {[]string{"user:default/bob"}, nil, []string{"U2"}},
		"who is not on Slack":     {[]string{"user:default/carol", "user:default/dave", "user:default/nobody"}, nil, nil},
		"who is only in a group":  {[]string{"-" + alice}, nil, nil},
		"everybody":               {[]string{""}, nil, []string{"C-all", "C-ops"}},
		"groups and others":       {nil, ptr(client.Entities("Group:Default/Team", "group:quiet", "component:default/shop", "group:default/none", alice, "group:team")), []string{"C-shop", "C-team"}},
		"but not those left out":  {nil, ptr(client.Entities("group:default/team", "component:default/shop").Except("group:team")), []string{"C-shop"}},
		"requests for everybody":  {nil, ptr(client.Everybody()), nil},
		"requests for users only": {nil, ptr(client.Entities(alice)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := workspace(t)
			p := open(t, s, quick)[0]
			for _, user := range tt.users {
				user, inGroup := strings.CutPrefix(user, "-")
				if err := p.PostProcess(t.Context(), notifications.Delivery{Named: !inGroup, Notification: client.Notification{User: user, Payload: client.Payload{Title: "x"}}}); err != nil {
					t.Error(err)
				}
			}
			if tt.to != nil {
				if err := p.ProcessRequest(t.Context(), "plugin:test", client.Request{Recipients: *tt.to, Payload: client.Payload{Title: "x"}}); err != nil {
					t.Error(err)
				}
			}
			if got := s.channels(); !slices.Equal(got, tt.want) {
				t.Errorf("messages to %v, want %v", got, tt.want)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestWhatAMessageSays(t *testing.T) {
	t.Parallel()
	s := workspace(t)
	p := open(t, s, quick)[0]
	payload := client.Payload{Title: "a < b & *c*", Description: "<!here> " + strings.Repeat("ä", 3000), Link: "/catalog", Severity: client.Critical, Topic: "ci"}
	for range 2 {
		if err := p.PostProcess(t.Context(), notifications.Delivery{Named: true, Notification: client.Notification{User: alice, Payload: payload}}); err != nil {
			t.Fatal(err)
		}
	}
	m := s.list[0]
	section := m.Attachments[0].Blocks[0]
	if m.Channel != "U1" || m.Username != "Portal" || m.Text != "a &lt; b &amp; *c*" || m.Attachments[0].Color != "#a30200" ||
		!strings.HasPrefix(section.Text.Text, "*a &lt; b &amp; ∗c∗*\n&lt;!here&gt; ää") || !strings.HasSuffix(section.Text.Text, "ä…") || len(section.Text.Text) > 3000 ||
		section.Accessory.URL != "https://portal.example.com/catalog" || m.Attachments[0].Blocks[1].Elements[0].Text != "Severity: critical, topic: ci" {
		t.Errorf("%+v", m)
	}
	if s.lookups != 1 {
		t.Errorf("the user was looked up %d times", s.lookups)
	}
}

func TestWhatSlackAnswers(t *testing.T) {
	t.Parallel()
	send := func(p *processor) error {
		return p.PostProcess(t.Context(), notifications.Delivery{Named: true, Notification: client.Notification{User: "user:default/bob", Payload: client.Payload{Title: "x"}}})
	}
	// Too many calls: wait as long as it says.
	s := workspace(t)
	s.limited, s.after = 1, "1"
	if err := send(open(t, s, quick)[0]); err != nil || len(s.channels()) != 1 {
		t.Errorf("after a wait: %v, %v", s.channels(), err)
	}
	// Longer than a call waits.
	s.limited, s.after = 1, "3600"
	if err := send(open(t, s, quick)[0]); err == nil || !strings.Contains(err.Error(), "ratelimited") {
		t.Errorf("an hour: %v", err)
	}
	for code, again := range map[string]bool{"channel_not_found": false, "is_archived": false, "internal_error": true, "token_revoked": true} {
		s := workspace(t)
		s.code = code
		if err := send(open(t, s, quick)[0]); (err != nil) != again {
			t.Errorf("%s: %v", code, err)
		}
	}
	err := send(open(t, s, "[{token: another, throttleInterval: 1}]")[0])
	if err == nil || !strings.Contains(err.Error(), "invalid_auth") || strings.Contains(err.Error(), "another") {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestWorkspaces(t *testing.T) {
	t.Parallel()
	s := workspace(t)
	list := open(t, s, "[{token: a}, {token: b, filter: {minSeverity: high}}]")
	if len(list) != 2 || list[0].Name() != "Slack" || list[1].Name() != "Slack-2" || list[1].Filter().MinSeverity != client.High {
		t.Errorf("%+v", list)
	}
	for yaml, want := range map[string]string{
		"": "",
		"notifications: {processors: {slack: [{}]}}":                              "notifications.processors.slack[0].token",
		"notifications: {processors: {slack: [{token: x, concurrencyLimit: 0}]}}": "notifications.processors.slack[0].concurrencyLimit",
		"notifications: {processors: {slack: [{token: x}, {token: y}]}}":          "",
	} {
		_, err := backendtest.Boot(t, yaml, notifications.Plugin(), Module())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
}

// TestAPortalTellsSlack has everything of a portal in it: catalog, plugin, module.
func TestAPortalTellsSlack(t *testing.T) {
	t.Parallel()
	s := workspace(t)
	user := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": map[string]any{"name": "alice"},
		"spec": map[string]any{"memberOf": []any{"team"}, "profile": map[string]any{"email": "alice@example.com"}}}
	team := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": "team", "annotations": map[string]any{Annotation: "C-team"}},
		"spec": map[string]any{"type": "team", "children": []any{}}}
	var sender *client.Client
	plugin := backend.NewPlugin("sender", fx.Invoke(func(clients backend.Clients, a backend.Auth) { sender = client.New(clients, a.Own()) }))
	catalogtest.Start(t, "notifications: {processors: {slack: "+quick+"}}\n", []entity.Entity{user, team}, notifications.Plugin(), Module(WithAPI(s.url)), plugin)
	for _, ref := range []string{"group:default/team", alice} {
		if _, err := sender.Send(t.Context(), client.Request{Recipients: client.Entities(ref), Payload: client.Payload{Title: "hello"}}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); !slices.Equal(s.channels(), []string{"C-team", "U1"}); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("messages to %v", s.channels())
		}
	}
}
