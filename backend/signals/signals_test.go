package signals_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/events"
	"github.com/callboard-dev/callboard/backend/signals"
	"github.com/callboard-dev/callboard/backend/signals/client"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// speaker is a plugin that has signals to send.
type speaker struct{ signals *client.Client }

func (s *speaker) plugin() backend.Feature {
	return backend.NewPlugin("speaker", fx.Invoke(func(e backend.Events) { s.signals = client.New(e) }))
}

func (s *speaker) say(t *testing.T, to client.Recipients, channel, text string) {
	t.Helper()
	if err := s.signals.Publish(t.Context(), client.Signal{Recipients: to, Channel: channel, Message: map[string]any{"text": text}}); err != nil {
		t.Fatal(err)
	}
}

// tokenOf is the token that a client of backendtest carries.
func tokenOf(t *testing.T, b *backendtest.Backend, user string) string {
	t.Helper()
	res, err := b.As(user).Get(b.URL + "/api/signals/health")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return strings.TrimPrefix(res.Request.Header.Get("Authorization"), "Bearer ")
}

// socket is what a browser has.
type socket struct {
	t  *testing.T
	ws *websocket.Conn
}

func dial(t *testing.T, base, token string, header http.Header) (*socket, *http.Response, error) {
	t.Helper()
	o := &websocket.DialOptions{HTTPHeader: header}
	if token != "" {
		o.Subprotocols = []string{token}
	}
	ws, res, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(base, "http")+"/api/signals", o)
	if err != nil {
		return nil, res, err
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &socket{t, ws}, res, nil
}

func open(t *testing.T, base, token string) *socket {
	t.Helper()
	s, _, err := dial(t, base, token, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *socket) send(action, channel string) {
	s.t.Helper()
	text, _ := json.Marshal(map[string]string{"action": action, "channel": channel})
	if err := s.ws.Write(s.t.Context(), websocket.MessageText, text); err != nil {
		s.t.Fatal(err)
	}
}

// next is the next message, as it came.
func (s *socket) next() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := s.ws.Read(ctx)
	if err != nil {
		s.t.Fatalf("read: %v", err)
	}
	return string(text)
}

// closed is the code with which the connection ends.
func (s *socket) closed() websocket.StatusCode {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, _, err := s.ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// ready subscribes to a channel and waits until its signals arrive: subscribing is not
// answered, and the replica subscribes to events in the background.
func (s *socket) ready(sp *speaker, channel string) {
	s.t.Helper()
	s.send("subscribe", channel)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = sp.signals.Publish(ctx, client.Signal{Recipients: client.Everybody(), Channel: channel, Message: map[string]any{"probe": i}})
			time.Sleep(20 * time.Millisecond)
		}
	}()
	s.next()
	cancel()
}

// word is the next message that is no probe.
func (s *socket) word() string {
	s.t.Helper()
	for {
		if m := s.next(); !strings.Contains(m, `"probe"`) {
			return m
		}
	}
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	sp := &speaker{}
	b := backendtest.Start(t, "", signals.Plugin(), sp.plugin())
	alice, bob, guest := open(t, b.URL, tokenOf(t, b, "user:default/alice")), open(t, b.URL, tokenOf(t, b, "user:default/bob")), open(t, b.URL, "")
	if got, want := alice.ws.Subprotocol(), tokenOf(t, b, "user:default/alice"); strings.Count(got, ".") != 2 || strings.Split(got, ".")[0] != strings.Split(want, ".")[0] {
		t.Errorf("the sub-protocol is %q, want the token", got)
	}
	for _, s := range []*socket{alice, bob, guest} {
		s.ready(sp, "news")
	}
	sp.say(t, client.Users("USER:default/Alice"), "news", "for alice")
	sp.say(t, client.Users("user:default/bob", "user:default/alice", "user:default/bob"), "news", "for both, once")
	sp.say(t, client.Users("user:default/guest"), "news", "for the user named guest, who is not here")
	sp.say(t, client.Everybody(), "other", "on another channel")
	sp.say(t, client.Everybody(), "news", "for all")
	want := func(s *socket, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got, want := s.word(), fmt.Sprintf(`{"channel":"news","message":{"text":%q}}`, text); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
	want(alice, "for alice", "for both, once", "for all")
	want(bob, "for both, once", "for all")
	want(guest, "for all")

	alice.send("unsubscribe", "news")
	alice.send("dance", "news") // of a client that is newer
	alice.ready(sp, "other")
	sp.say(t, client.Everybody(), "news", "not for alice")
	sp.say(t, client.Everybody(), "other", "for alice")
	if got := alice.word(); !strings.Contains(got, "for alice") {
		t.Errorf("after unsubscribing: %s", got)
	}
	want(bob, "not for alice")
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", signals.Plugin())
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{
		{"/health", 200, `{"status":"ok"}`},
		{"", 426, "UpgradeRequired"},
		{"/zzz", 404, ""},
	} {
		res, err := http.Get(b.URL + "/api/signals" + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tt.status || tt.status != 426 && string(body) != tt.body {
			t.Errorf("GET %q: %d %s", tt.path, res.StatusCode, body)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", signals.Plugin())
	service := ""
	res, err := b.AsPlugin("signals").Get(b.URL + "/api/signals/health")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	service = strings.TrimPrefix(res.Request.Header.Get("Authorization"), "Bearer ")
	for name, tt := range map[string]struct {
		token  string
		status int
	}{
		"no token at all":     {"nonsense", 401},
		"a token cut short":   {tokenOf(t, b, "user:default/alice")[:40], 401},
		"a token of a plugin": {service, 403},
	} {
		if _, res, err := dial(t, b.URL, tt.token, nil); err == nil || res.StatusCode != tt.status {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
	// Programs that can set headers do.
	s, _, err := dial(t, b.URL, "", http.Header{"Authorization": {"Bearer " + tokenOf(t, b, "user:default/alice")}})
	if err != nil || s.ws.Subprotocol() != "" {
		t.Errorf("by header: %v", err)
	}
	if _, res, err := dial(t, b.URL, "", http.Header{"Authorization": {"Bearer nonsense"}}); err == nil || res.StatusCode != 401 {
		t.Errorf("nonsense by header: %v", err)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml    string
		allowed []string
		refused []string
	}{
		"without CORS": {"app: {baseUrl: 'https://portal.example.com'}",
			[]string{"", "https://portal.example.com"}, []string{"https://evil.example.com", "http://portal.example.com", "null"}},
		"with origins": {"backend: {cors: {origin: ['https://*.example.com', 'http://localhost:3000']}}",
			[]string{"https://a.example.com", "http://LOCALHOST:3000"}, []string{"https://example.org", "http://localhost:3001"}},
		"with CORS for all": {"backend: {cors: {credentials: true}}", []string{"https://anything.example.org"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := backendtest.Start(t, tt.yaml, signals.Plugin())
			for i, origin := range append(tt.allowed, tt.refused...) {
				_, res, err := dial(t, b.URL, "", http.Header{"Origin": {origin}})
				if i < len(tt.allowed) && err != nil {
					t.Errorf("%q is refused: %v", origin, err)
				}
				if i >= len(tt.allowed) && (err == nil || res.StatusCode != 403) {
					t.Errorf("%q is let in", origin)
				}
			}
			if _, _, err := dial(t, b.URL, "", http.Header{"Origin": {b.URL}}); err != nil {
				t.Errorf("the same origin is refused: %v", err)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	sp := &speaker{}
	b := backendtest.Start(t, "", signals.PluginFor(2, 1, 3, 4, signals.DefaultPing, signals.DefaultWrite), sp.plugin())
	alice := tokenOf(t, b, "user:default/alice")

	open(t, b.URL, alice)
	second := open(t, b.URL, alice)
	if _, res, err := dial(t, b.URL, alice, nil); err == nil || res.StatusCode != 429 {
		t.Errorf("the third connection of a user: %v", err)
	}
	guest := open(t, b.URL, "")
	if _, res, err := dial(t, b.URL, "", nil); err == nil || res.StatusCode != 429 {
		t.Errorf("the second guest: %v", err)
	}
	for i := range 4 {
		second.send("subscribe", fmt.Sprint("channel ", i))
	}
	if code := second.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("four channels: closed with %d", code)
	}
	if err := guest.ws.Write(t.Context(), websocket.MessageText, []byte(`{"action":"subscribe","channel":"`+strings.Repeat("x", 5000)+`"}`)); err != nil {
		t.Fatal(err)
	}
	if code := guest.closed(); code != websocket.StatusMessageTooBig {
		t.Errorf("a large message: closed with %d", code)
	}
	for _, wrong := range []string{"hello", `{"action":"subscribe"}`, `{"action":"subscribe","channel":"` + strings.Repeat("x", 300) + `"}`} {
		eventually(t, func() bool { // the place of the one before is given back when it is gone
			s, _, err := dial(t, b.URL, "", nil)
			if err != nil {
				return false
			}
			if err := s.ws.Write(t.Context(), websocket.MessageText, []byte(wrong)); err != nil {
				t.Error(err)
			}
			if code := s.closed(); code != websocket.StatusPolicyViolation && code != websocket.StatusInvalidFramePayloadData {
				t.Errorf("%.40s: closed with %d", wrong, code)
			}
			return true
		})
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

// TestSlowReaders: who does not read is closed, and keeps nobody waiting.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	sp := &speaker{}
	b := backendtest.Start(t, "", signals.PluginFor(10, 10, 3, 2, signals.DefaultPing, signals.DefaultWrite), sp.plugin())
	slow, quick := open(t, b.URL, tokenOf(t, b, "user:default/slow")), open(t, b.URL, tokenOf(t, b, "user:default/quick"))
	slow.ready(sp, "news")
	quick.ready(sp, "news")
	large := strings.Repeat("x", 1<<20)
	for range 24 { // more than the buffers of two sockets and the queue
		sp.say(t, client.Users("user:default/slow"), "news", large)
	}
	sp.say(t, client.Users("user:default/quick"), "news", "small")
	if got := quick.word(); !strings.Contains(got, "small") {
		t.Errorf("got %.80s", got)
	}
	slow.ws.SetReadLimit(-1)
	read := 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, _, err := slow.ws.Read(ctx)
		cancel()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error("the connection that was not read is still open")
			}
			break
		}
		read++
	}
	if read >= 24 {
		t.Errorf("%d signals were kept for a connection that does not read", read)
	}
}

// TestTokensAreCheckedAgain: a connection does not outlive its token.
func TestTokensAreCheckedAgain(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", signals.PluginFor(10, 10, 3, 8, 20*time.Millisecond, time.Minute))
	alice, guest := open(t, b.URL, tokenOf(t, b, "user:default/alice")), open(t, b.URL, "")
	b.Advance(24 * time.Hour)
	if code := alice.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := guest.ws.Read(ctx); ctx.Err() == nil {
		t.Errorf("a guest has no token that could expire: %v", err)
	}
}

// TestDeadPeers: who does not answer a ping is not kept.
func TestDeadPeers(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", signals.PluginFor(10, 1, 3, 8, 20*time.Millisecond, 200*time.Millisecond))
	dead := open(t, b.URL, "") // pings are answered by those who read
	eventually(t, func() bool {
		// There is room for one guest: the second gets in when the first is gone.
		s, _, err := dial(t, b.URL, "", nil)
		if err == nil {
			_ = s.ws.CloseNow()
		}
		return err == nil
	})
	if code := dead.closed(); code != -1 {
		t.Errorf("closed with %d, want no goodbye", code)
	}
}

// TestOwnershipChanges: a user who owns things through other entities has to come back.
func TestOwnershipChanges(t *testing.T) {
	t.Parallel()
	sp := &speaker{}
	var e backend.Events
	b := backendtest.Start(t, "", signals.Plugin(), sp.plugin(), backend.NewModule("speaker", "owners", fx.Invoke(func(in backend.Events) { e = in })))
	alice, bob := open(t, b.URL, tokenOf(t, b, "user:default/alice")), open(t, b.URL, tokenOf(t, b, "user:default/bob"))
	alice.ready(sp, "news")
	bob.ready(sp, "news")
	if err := e.Publish(t.Context(), "auth.ownershipChanged", map[string]string{"userEntityRef": "user:default/alice"}); err != nil {
		t.Fatal(err)
	}
	if code := alice.closed(); code != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", code)
	}
	sp.say(t, client.Everybody(), "news", "still here")
	if got := bob.word(); !strings.Contains(got, "still here") {
		t.Error(got)
	}
}

func TestEventsThatAreNoSignals(t *testing.T) {
	t.Parallel()
	sp := &speaker{}
	var e backend.Events
	b := backendtest.Start(t, "", signals.Plugin(), sp.plugin(), backend.NewModule("speaker", "noise", fx.Invoke(func(in backend.Events) { e = in })))
	s := open(t, b.URL, "")
	s.ready(sp, "news")
	for _, payload := range []string{
		`null`, `{}`, `"x"`, `{"recipients":{"type":"owl"},"channel":"news","message":{}}`, `{"recipients":{"type":"user"},"channel":"news","message":{}}`,
		`{"recipients":{"type":"user","entityRef":[1]},"channel":"news","message":{}}`, `{"recipients":{"type":"broadcast"},"message":{}}`, `{"recipients":{"type":"broadcast"},"channel":"news"}`,
	} {
		if err := e.Publish(t.Context(), client.Topic, json.RawMessage(payload)); err != nil {
			t.Fatal(err)
		}
	}
	// What upstream plugins publish, to the letter.
	if err := e.Publish(t.Context(), client.Topic, json.RawMessage(`{"recipients":{"type":"broadcast"},"channel":"news","message":{"a":1}}`)); err != nil {
		t.Fatal(err)
	}
	if got := s.word(); got != `{"channel":"news","message":{"a":1}}` {
		t.Error(got)
	}
}

// TestReplicas: a signal reaches the connections of every replica, once each.
func TestReplicas(t *testing.T) {
	t.Parallel()
	yaml := fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: %q}}\n", pgtest.New(t))
	speakers, sockets := make([]speaker, 3), make([]*socket, 3)
	for i := range 3 {
		b := backendtest.Start(t, yaml, signals.Plugin(), events.Plugin(), speakers[i].plugin())
		sockets[i] = open(t, b.URL, tokenOf(t, b, "user:default/alice"))
	}
	for i, s := range sockets {
		s.ready(&speakers[(i+1)%3], "news") // heard by a replica that did not send it
	}
	for i := range speakers {
		speakers[i].say(t, client.Users("user:default/alice"), "news", fmt.Sprint("from ", i))
	}
	for i, s := range sockets {
		got := s.word() + s.word() + s.word()
		for j := range speakers {
			if strings.Count(got, fmt.Sprintf(`"from %d"`, j)) != 1 {
				t.Errorf("replica %d: %s", i, got)
			}
		}
	}
}

// TestStop: a server that stops does not wait for its connections, and says goodbye.
func TestStop(t *testing.T) {
	t.Parallel()
	var s *socket
	t.Run("running", func(sub *testing.T) {
		b := backendtest.Start(sub, "", signals.Plugin())
		s = open(t, b.URL, "")
	}) // the end of the subtest stops the backend
	if code := s.closed(); code != websocket.StatusGoingAway {
		t.Errorf("closed with %d", code)
	}
}

// TestThePageOfSignals compiles what docs/signals.md shows.
func TestThePageOfSignals(t *testing.T) {
	t.Parallel()
	cfg, err := backendtest.Config(t, "")
	if err != nil {
		t.Fatal(err)
	}
	backend := backend.New(backend.WithConfig(cfg))
	backend.Add(signals.Plugin(), events.Plugin())
	if err := backend.Check(); err != nil {
		t.Error(err)
	}
}
