package signals

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/signals/client"
)

// A door lets connections in.
type door struct {
	hub     *hub
	limits  limits
	origins origins
	auth    backend.Auth
	users   backend.UserInfo
	log     *slog.Logger
}

// connect is GET /, and lasts as long as the connection does.
func (d *door) connect(w http.ResponseWriter, r *http.Request) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		return apierr.Status(http.StatusUpgradeRequired).New("signals are sent over a WebSocket")
	}
	if !d.origins.allow(r) {
		return apierr.NotAllowed.New("this origin may not connect; see backend.cors.origin")
	}
	protocol, creds, err := d.credentials(r)
	if err != nil {
		return err
	}
	var user string
	var refs []string
	if u, ok := creds.User(); ok {
		id, err := d.users.UserInfo(r.Context(), creds)
		if err != nil {
			return err
		}
		user, refs = strings.ToLower(u.Ref), append(id.OwnershipRefs, u.Ref)
	}
	c, err := d.hub.admit(user, refs)
	if err != nil {
		return err
	}
	defer d.hub.remove(c)
	// Registered before the upgrade, so that a server that stops does not wait for it.
	draining, release := httpx.LongLived(r)
	defer release()
	var protocols []string
	if protocol != "" {
		protocols = []string{protocol} // browsers hang up unless it is echoed
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: protocols, InsecureSkipVerify: true}) // origins are checked above
	if err != nil {
		d.log.DebugContext(r.Context(), "connection not upgraded", "error", err)
		return nil // Accept has answered
	}
	l := &link{door: d, ws: ws, conn: c, request: r, creds: creds, draining: draining}
	l.run(context.WithoutCancel(r.Context()))
	return nil
}

// credentials are those of the token that browsers send in place of a sub-protocol, since
// they cannot set the header Authorization; nobody's if there is neither.
func (d *door) credentials(r *http.Request) (protocol string, c backend.Credentials, err error) {
	protocol, _, _ = strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	protocol = strings.TrimSpace(protocol)
	if protocol != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+protocol)
	} else if r.Header.Get("Authorization") == "" {
		return "", backend.Credentials{}, nil
	}
	c, err = d.auth.Credentials(httpx.WithCaller(r, backend.Credentials{}))
	if err != nil {
		return "", c, err
	}
	if _, ok := c.User(); !ok {
		return "", c, httpx.Refuse(c)
	}
	return protocol, c, nil
}

// A link is a connection that has been upgraded.
type link struct {
	door     *door
	ws       *websocket.Conn
	conn     *conn
	request  *http.Request // for its token
	creds    backend.Credentials
	draining <-chan struct{}
}

// run reads until the connection ends. Writing and pinging have goroutines of their own,
// for which it waits.
func (l *link) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l.ws.SetReadLimit(l.door.limits.message)
	var wg sync.WaitGroup
	wg.Go(func() { defer cancel(); l.write(ctx) })
	wg.Go(func() { defer cancel(); l.watch(ctx) })
	l.read(ctx)
	cancel()
	wg.Wait()
	_ = l.ws.CloseNow()
}

// An incoming message is one from a client.
type incoming struct {
	Action  string `json:"action"`
	Channel string `json:"channel"`
}

func (l *link) read(ctx context.Context) {
	for {
		kind, text, err := l.ws.Read(ctx)
		if err != nil {
			return
		}
		var m incoming
		if kind != websocket.MessageText || json.Unmarshal(text, &m) != nil {
			l.conn.leave(websocket.StatusInvalidFramePayloadData, `expected {"action","channel"}`)
			continue
		}
		if m.Channel == "" || len(m.Channel) > client.MaxChannel {
			l.conn.leave(websocket.StatusPolicyViolation, "the channel has no name, or a long one")
			continue
		}
		switch m.Action {
		case "subscribe":
			if err := l.door.hub.subscribe(l.conn, m.Channel); err != nil {
				l.conn.leave(websocket.StatusPolicyViolation, err.Error())
			}
		case "unsubscribe":
			l.door.hub.unsubscribe(l.conn, m.Channel)
		}
		// Other actions may be those of newer clients.
	}
}

// write sends what is queued, until there is a reason to close.
func (l *link) write(ctx context.Context) {
	for {
		select {
		case text := <-l.conn.out:
			wctx, cancel := context.WithTimeout(ctx, l.door.limits.write)
			err := l.ws.Write(wctx, websocket.MessageText, text)
			cancel()
			if err != nil {
				return // the library has closed the connection
			}
		case why := <-l.conn.bye:
			_ = l.ws.Close(why.code, why.text) // waits some seconds for the client's own goodbye
			return
		case <-l.draining:
			_ = l.ws.Close(websocket.StatusGoingAway, "the server stops")
			return
		case <-ctx.Done():
			return
		}
	}
}

// watch pings, and ends connections whose token is no longer one: when it expires, and
// when its key or its user is gone.
func (l *link) watch(ctx context.Context) {
	ping := time.NewTicker(l.door.limits.ping)
	defer ping.Stop()
	var expired <-chan time.Time
	if end := l.creds.Expires(); !end.IsZero() {
		t := time.NewTimer(time.Until(end))
		defer t.Stop()
		expired = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-expired:
			l.conn.leave(websocket.StatusPolicyViolation, "the token has expired")
			expired = nil
		case <-ping.C:
			pctx, cancel := context.WithTimeout(ctx, l.door.limits.write)
			err := l.ws.Ping(pctx)
			cancel()
			if err != nil {
				_ = l.ws.CloseNow() // nobody is there to say goodbye to
				return
			}
			if _, _, err := l.door.credentials(l.request.WithContext(ctx)); err != nil {
				l.conn.leave(websocket.StatusPolicyViolation, "the token is no longer valid")
			}
		}
	}
}
