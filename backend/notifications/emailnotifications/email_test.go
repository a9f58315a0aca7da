package emailnotifications

import (
	"context"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/mail"
	"slices"
	"strings"
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

// people is a catalog of users with addresses.
type people struct {
	addresses map[string]string
	asked     int
}

// ServeHTTP answers POST /entities/by-refs, and GET /entities.
func (p *people) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := func(address string) any {
		return map[string]any{"spec": map[string]any{"profile": map[string]any{"email": address}}}
	}
	if r.Method == http.MethodGet {
		all := []any{}
		for _, address := range p.addresses {
			all = append(all, user(address))
		}
		_ = httpx.JSON(w, 200, all)
		return
	}
	p.asked++
	var body struct {
		EntityRefs []string `json:"entityRefs"`
	}
	_ = httpx.DecodeJSON(r, &body)
	items := []any{}
	for _, ref := range body.EntityRefs {
		if address, ok := p.addresses[ref]; ok {
			items = append(items, user(address))
		} else {
			items = append(items, nil)
		}
	}
	_ = httpx.JSON(w, 200, map[string]any{"items": items})
}

// open makes a processor of a section.
func open(t *testing.T, p *people, s *server, yaml string) *processor {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte("app: {title: Acme, baseUrl: 'https://portal.example.com'}\nnotifications: {processors: {email: "+yaml+"}}"))
	if err != nil {
		t.Fatal(err)
	}
	c := defaults
	if err := cfg.Decode(section, &c); err != nil {
		t.Fatal(err)
	}
	o := options{}
	if s != nil {
		o.tls = s.client
	}
	proc, err := newProcessor(params{Config: c, Options: o, Root: cfg, Auth: backendtest.Auth("notifications"), Clients: backendtest.Clients{"catalog": p}, Cache: &backendtest.Cache{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return proc
}

func transport(s *server, more string) string {
	return fmt.Sprintf("transportConfig: {hostname: 127.0.0.1, port: %d%s}, sender: 'Acme <portal@example.com>', throttleInterval: 1", s.port(), more)
}

const alice = "user:default/alice"

func known() *people { return &people{addresses: map[string]string{alice: "alice@example.com"}} }

func TestConformance(t *testing.T) {
	t.Parallel()
	notificationstest.RunProcessor(t, func(t *testing.T) notificationstest.Target {
		s := smtpServer(t, func(*server) {})
		return notificationstest.Target{
			Processor: open(t, known(), s, "{"+transport(s, "")+"}"), Known: alice, Unknown: "user:default/nobody",
			Received: s.messages, Break: func() { s.setBroken(true) }, Mend: func() { s.setBroken(false) },
		}
	})
}

func post(t *testing.T, p *processor, n client.Notification) error {
	t.Helper()
	if n.Payload.Title == "" {
		n.Payload.Title = "Build failed"
	}
	return p.PostProcess(t.Context(), notifications.Delivery{Notification: n})
}

func TestWhatAnEmailSays(t *testing.T) {
	t.Parallel()
	s := smtpServer(t, func(*server) {})
	p := open(t, known(), s, "{"+transport(s, "")+", replyTo: help@example.com}")
	if err := post(t, p, client.Notification{ID: "1", User: alice, Payload: client.Payload{Title: "Größe <b> & more", Description: "first\r\n\r\nsecond <i>", Link: "/catalog?a=1&b=2", Severity: "high", Topic: "ci"}}); err != nil {
		t.Fatal(err)
	}
	got := s.messages()[0]
	for _, want := range []string{"From: \"Acme\" <portal@example.com>", "To: <alice@example.com>", "Reply-To: <help@example.com>", "Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe_<b>_&_more?=", "Auto-Submitted: auto-generated", "Message-ID: <"} {
		if !strings.Contains(got.Head, want) {
			t.Errorf("the head lacks %s:\n%s", want, got.Head)
		}
	}
	for _, want := range []string{"<h2>Größe &lt;b&gt; &amp; more</h2>", "<p>first</p>\n<p>second &lt;i&gt;</p>", `<a href="https://portal.example.com/catalog?a=1&amp;b=2">`, "high, ci"} {
		if !strings.Contains(got.Markup, want) {
			t.Errorf("the page lacks %s:\n%s", want, got.Markup)
		}
	}
	if !strings.Contains(got.Text, "Größe <b> & more\n\nfirst") || !strings.Contains(got.Text, "https://portal.example.com/catalog?a=1&b=2") {
		t.Errorf("the text is\n%s", got.Text)
	}
	if a := s.all()[0]; !a.tls {
		t.Error("it came without TLS although the server has STARTTLS")
	}
}

// TestLongTitles: a line of an e-mail has 998 bytes at most (RFC 5322 section 2.1.1), and mail
// servers refuse longer ones.
func TestLongTitles(t *testing.T) {
	t.Parallel()
	s := smtpServer(t, func(*server) {})
	p := open(t, known(), s, "{"+transport(s, "")+"}")
	for title, want := range map[string]string{
		strings.Repeat("x", 1000):                  strings.Repeat("x", 249) + "…",
		strings.Repeat("Ω", 500):                   strings.Repeat("Ω", 249) + "…",
		"kept " + strings.Repeat("y", 200) + " ok": "kept " + strings.Repeat("y", 200) + " ok",
	} {
		if err := post(t, p, client.Notification{ID: "1", User: alice, Payload: client.Payload{Title: title, Severity: "high"}}); err != nil {
			t.Fatal(err)
		}
		all := s.messages()
		head := all[len(all)-1].Head
		for line := range strings.SplitSeq(head, "\n") {
			if len(line) > 998 {
				t.Errorf("a line has %d bytes: %.60s", len(line), line)
			}
		}
		m, err := mail.ReadMessage(strings.NewReader(head + "\n\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || got != want {
			t.Errorf("the subject is %q, %v, want %q", got, err, want)
		}
	}
}

func TestTransports(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server func(*server)
		config string
		err    string
		user   string
	}{
		"TLS from the beginning":       {func(s *server) { s.implicit = true }, ", secure: true", "", ""},
		"an account":                   {func(s *server) { s.account = "me:secret" }, ", username: me, password: secret", "", "me"},
		"a wrong password":             {func(s *server) { s.account = "me:secret" }, ", username: me, password: wrong", "sign in as me", ""},
		"no STARTTLS":                  {func(s *server) { s.tls = nil }, "", "", ""},
		"no STARTTLS where it must be": {func(s *server) { s.tls = nil }, ", requireTls: true", "requireTls", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := smtpServer(t, tt.server)
			err := post(t, open(t, known(), s, "{"+transport(s, tt.config)+"}"), client.Notification{User: alice})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secret") || len(s.all()) > 0 {
					t.Errorf("got %v", err)
				}
				return
			}
			if all := s.all(); err != nil || len(all) != 1 || all[0].user != tt.user {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
	// A certificate that nobody vouches for.
	s := smtpServer(t, func(*server) {})
	s.client = nil
	if err := post(t, open(t, known(), s, "{"+transport(s, "")+"}"), client.Notification{User: alice}); err == nil || len(s.all()) > 0 {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestWhoHasEmails(t *testing.T) {
	t.Parallel()
	all := map[string]string{alice: "alice@example.com", "user:default/bob": "Bob <bob@example.com>", "user:default/gone": "gone@example.com", "user:default/none": "", "user:default/odd": "odd", "user:default/twin": "ALICE@example.com"}
	for name, tt := range map[string]struct {
		config string
		to     []string
		want   []string
	}{
		"by user":                   {"", []string{alice, "user:default/bob", "user:default/gone", "user:default/none", "user:default/odd", "user:default/nobody"}, []string{"alice@example.com", "bob@example.com"}},
		"allowed":                   {", allowlistEmailAddresses: [BOB@example.com]", []string{alice, "user:default/bob"}, []string{"bob@example.com"}},
		"denied":                    {", denylistEmailAddresses: [bob@example.com]", []string{alice, "user:default/bob"}, []string{"alice@example.com"}},
		"everybody, by default":     {"", []string{""}, nil},
		"everybody: some":           {", broadcastConfig: {receiver: config, receiverEmails: [ops@example.com, 'All <all@example.com>']}", []string{""}, []string{"all@example.com", "ops@example.com"}},
		"everybody: all users":      {", broadcastConfig: {receiver: users}", []string{""}, []string{"alice@example.com", "bob@example.com"}},
		"everybody, but not denied": {", broadcastConfig: {receiver: users}, denylistEmailAddresses: [alice@example.com]", []string{""}, []string{"bob@example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := smtpServer(t, func(*server) {})
			p := open(t, &people{addresses: all}, s, "{"+transport(s, "")+tt.config+"}")
			for _, user := range tt.to {
				if err := post(t, p, client.Notification{ID: "1", User: user}); err != nil {
					t.Errorf("%s: %v", user, err)
				}
			}
			if got := s.addresses(); !slices.Equal(got, tt.want) {
				t.Errorf("e-mails to %v, want %v", got, tt.want)
			}
		})
	}
}

// TestASecondAttemptSendsToTheRest: what everybody is told comes once, although the server
// was away in between.
func TestASecondAttemptSendsToTheRest(t *testing.T) {
	t.Parallel()
	s := smtpServer(t, func(*server) {})
	p := open(t, known(), s, "{"+transport(s, ", username: me, password: x")+", broadcastConfig: {receiver: config, receiverEmails: [a@example.com, b@example.com]}}")
	n := client.Notification{ID: "1", Created: time.Unix(1, 0)}
	breaking := &breaksAfter{mailer: &smtpMailer{Transport{Transport: "smtp", Hostname: "127.0.0.1", Port: s.port()}, s.client}, left: 1}
	p.mailer = breaking
	if err := post(t, p, n); err == nil {
		t.Error("no error although one of two was not sent")
	}
	breaking.left = 9
	if err := post(t, p, n); err != nil {
		t.Error(err)
	}
	if got := s.addresses(); !slices.Equal(got, []string{"a@example.com", "b@example.com"}) {
		t.Errorf("e-mails to %v", got)
	}
	n.Created = time.Unix(2, 0) // it was updated
	if err := post(t, p, n); err != nil || len(s.all()) != 4 {
		t.Errorf("%d e-mails, %v", len(s.all()), err)
	}
}

type breaksAfter struct {
	mailer
	left int
}

func (b *breaksAfter) send(ctx context.Context, e envelope) error {
	if b.left--; b.left < 0 {
		return fmt.Errorf("the server is away")
	}
	return b.mailer.send(ctx, e)
}

func TestAddressesAreRemembered(t *testing.T) {
	t.Parallel()
	s := smtpServer(t, func(*server) {})
	for config, asked := range map[string]int{"": 2, ", cache: {ttl: 0}": 4} {
		cat := known()
		p := open(t, cat, s, "{"+transport(s, "")+config+"}")
		for range 2 {
			for _, user := range []string{alice, "user:default/nobody"} {
				if err := post(t, p, client.Notification{User: user}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if cat.asked != asked {
			t.Errorf("%q: the catalog was asked %d times, want %d", config, cat.asked, asked)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"{}": "", // as absent as the section can be; see the next test
		"{sender: x, transportConfig: {hostname: h}}":                                            `notifications.processors.email.sender: "x" is no e-mail address`,
		"{sender: a@b.c, replyTo: 'a@b.c\\nBcc: d', transportConfig: {hostname: h}}":             "replyTo",
		"{transportConfig: {transport: ses}}":                                                    `notifications.processors.email.transportConfig.transport: "ses" is not supported`,
		"{transportConfig: {transport: pigeon}}":                                                 "unknown transport",
		"{transportConfig: {hostname: h, username: u}}":                                          "password",
		"{transportConfig: {hostname: h, port: 70000}}":                                          "port",
		"{broadcastConfig: {receiver: config}}":                                                  "receiverEmails",
		"{broadcastConfig: {receiver: config, receiverEmails: [x]}}":                             "receiverEmails[0]",
		"{concurrencyLimit: 0}":                                                                  "concurrencyLimit",
		"{filter: {minSeverity: odd}}":                                                           "minSeverity",
		"{sender: a@b.c, transportConfig: {transport: stream}, throttleInterval: {seconds: 60}}": "",
	} {
		cfg, err := config.Parse("app-config.yaml", []byte("notifications: {processors: {email: "+yaml+"}}"))
		if err != nil {
			t.Fatal(err)
		}
		c := defaults
		err = cfg.Decode(section, &c)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
	for yaml, want := range map[string]string{
		"": "",
		"notifications: {processors: {email: {sender: a@b.c}}}":                                 "transportConfig.hostname: required key is missing",
		"notifications: {processors: {email: {transportConfig: {hostname: h}}}}":                "sender: required key is missing",
		"notifications: {processors: {email: {sender: a@b.c, transportConfig: {hostname: h}}}}": "",
	} {
		_, err := backendtest.Boot(t, yaml, notifications.Plugin(), Module())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
}

// shouting is a Renderer.
type shouting struct{}

func (shouting) Render(n client.Notification, link string) (Message, error) {
	return Message{Subject: strings.ToUpper(n.Payload.Title), Text: "see " + link, HTML: "<b>see</b>"}, nil
}

// TestAPortalSendsEmails has everything of a portal in it: catalog, plugin, module.
func TestAPortalSendsEmails(t *testing.T) {
	t.Parallel()
	s := smtpServer(t, func(*server) {})
	user := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": map[string]any{"name": "alice"},
		"spec": map[string]any{"memberOf": []any{}, "profile": map[string]any{"email": "alice@example.com"}}}
	var sender *client.Client
	plugin := backend.NewPlugin("sender", fx.Invoke(func(clients backend.Clients, a backend.Auth) { sender = client.New(clients, a.Own()) }))
	yaml := "app: {baseUrl: 'https://portal.example.com'}\nnotifications: {processors: {email: {" + transport(s, "") + "}}}\n"
	catalogtest.Start(t, yaml, []entity.Entity{user}, notifications.Plugin(), Module(WithRenderer(shouting{}), WithTLS(s.client)), plugin)
	r := client.Request{Recipients: client.Entities(alice), Payload: client.Payload{Title: "hello", Link: "/x"}}
	if _, err := sender.Send(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(s.all()) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no e-mail has come")
		}
	}
	if got := s.messages()[0]; !strings.Contains(got.Head, "Subject: HELLO") || got.Text != "see https://portal.example.com/x" {
		t.Errorf("%+v", got)
	}
}
