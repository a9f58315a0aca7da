package signals

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/signals/client"
)

// limits bound what connections cost. All are per replica.
type limits struct {
	perUser  int           // connections of one user; a tab has one
	guests   int           // connections of nobody in particular, together
	channels int           // subscriptions of one connection
	message  int64         // bytes of a message from a client
	queue    int           // signals that wait for a client to read
	ping     time.Duration // between pings; also how often tokens are checked again
	write    time.Duration // how long one message or pong may take
}

var defaultLimits = limits{perUser: 100, guests: 1000, channels: 100, message: 4 << 10, queue: 64, ping: 30 * time.Second, write: 10 * time.Second}

var errTooManyChannels = errors.New("too many channels")

// A conn is one connection as the hub sees it. Its fields do not change, but channels,
// which the hub's lock guards.
type conn struct {
	user     string   // empty for guests
	refs     []string // what the user owns things through, in lower case
	out      chan []byte
	bye      chan farewell // holds at most one
	channels map[string]struct{}
}

// A farewell is why a connection is closed.
type farewell struct {
	code websocket.StatusCode
	text string
}

// leave asks the connection to end. Only the first reason counts.
func (c *conn) leave(code websocket.StatusCode, text string) {
	select {
	case c.bye <- farewell{code, text}:
	default:
	}
}

// A hub knows the connections of this replica. It is safe for concurrent use.
type hub struct {
	limits limits

	mu       sync.Mutex
	byUser   map[string]map[*conn]struct{} // guests under ""
	channels map[string]*channel
}

// A channel has its subscribers by what they own things through, so that a signal for one
// user costs the same however many are connected.
type channel struct {
	all   map[*conn]struct{}
	byRef map[string]map[*conn]struct{}
}

func newHub(l limits) *hub {
	return &hub{limits: l, byUser: map[string]map[*conn]struct{}{}, channels: map[string]*channel{}}
}

// admit makes room for a connection, which is given back by remove.
func (h *hub) admit(user string, refs []string) (*conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch n := len(h.byUser[user]); {
	case user == "" && n >= h.limits.guests:
		return nil, apierr.TooManyRequests.New("too many connections of guests")
	case user != "" && n >= h.limits.perUser:
		return nil, apierr.TooManyRequests.New("too many connections of %s", user)
	}
	c := &conn{user: user, out: make(chan []byte, h.limits.queue), bye: make(chan farewell, 1), channels: map[string]struct{}{}}
	for _, ref := range refs {
		c.refs = append(c.refs, strings.ToLower(ref))
	}
	put(h.byUser, user, c)
	return c, nil
}

func (h *hub) remove(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range c.channels {
		h.drop(c, name)
	}
	withdraw(h.byUser, c.user, c)
}

func (h *hub) subscribe(c *conn, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := c.channels[name]; ok {
		return nil
	}
	if len(c.channels) >= h.limits.channels {
		return errTooManyChannels
	}
	c.channels[name] = struct{}{}
	ch := h.channels[name]
	if ch == nil {
		ch = &channel{map[*conn]struct{}{}, map[string]map[*conn]struct{}{}}
		h.channels[name] = ch
	}
	ch.all[c] = struct{}{}
	for _, ref := range c.refs {
		put(ch.byRef, ref, c)
	}
	return nil
}

func (h *hub) unsubscribe(c *conn, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(c, name)
}

// drop is called with the lock held.
func (h *hub) drop(c *conn, name string) {
	ch := h.channels[name]
	if ch == nil {
		return
	}
	delete(c.channels, name)
	delete(ch.all, c)
	for _, ref := range c.refs {
		withdraw(ch.byRef, ref, c)
	}
	if len(ch.all) == 0 {
		delete(h.channels, name)
	}
}

// deliver queues a signal for those whom it is for, each once, and returns how many do not
// read what they were sent before; these are closed.
func (h *hub) deliver(p client.Payload) (slow int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := h.channels[p.Channel]
	if ch == nil {
		return 0
	}
	to := ch.all
	if p.Recipients.Type != "broadcast" {
		to = map[*conn]struct{}{}
		for _, ref := range p.Recipients.Refs {
			for c := range ch.byRef[strings.ToLower(ref)] {
				to[c] = struct{}{}
			}
		}
	}
	if len(to) == 0 {
		return 0
	}
	text, err := json.Marshal(outgoing{p.Channel, p.Message})
	if err != nil {
		return 0 // the message was valid JSON when it was decoded
	}
	for c := range to {
		select {
		case c.out <- text:
		default:
			slow++
			for name := range c.channels {
				h.drop(c, name) // it may take a while to close what does not read
			}
			c.leave(websocket.StatusTryAgainLater, "signals are not read")
		}
	}
	return slow
}

// reconnect closes the connections of a user, whose frontends come back and are then known
// by what the user owns things through now.
func (h *hub) reconnect(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if user == "" {
		return
	}
	for c := range h.byUser[strings.ToLower(user)] {
		c.leave(websocket.StatusServiceRestart, "ownership has changed")
	}
}

// outgoing is a message to a client.
type outgoing struct {
	Channel string          `json:"channel"`
	Message json.RawMessage `json:"message"`
}

func put(m map[string]map[*conn]struct{}, key string, c *conn) {
	if m[key] == nil {
		m[key] = map[*conn]struct{}{}
	}
	m[key][c] = struct{}{}
}

func withdraw(m map[string]map[*conn]struct{}, key string, c *conn) {
	delete(m[key], c)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}
