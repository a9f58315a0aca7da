package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Headers of the bus API. The first is upstream's. The others are Callboard's own: a
// reader that names itself keeps its events in hand until it says that they are
// handled, while one that does not has handled them by reading.
const (
	HeaderNotifyTimeout = "Backstage-Events-Notify-Timeout" // milliseconds
	HeaderReader        = "Callboard-Events-Reader"
	HeaderHandled       = "Callboard-Events-Handled" // of a request: the mark of the last event that is
	HeaderMost          = "Callboard-Events-Most"    // of a request: events in the answer, up to 100
	HeaderMarks         = "Callboard-Events-Marks"   // of an answer: one for each event, with commas
	HeaderMissed        = "Callboard-Events-Missed"  // of an answer: events that were dropped before these
	HeaderBusy          = "Callboard-Events-Busy"    // of an answer without events: another reader has some in hand
)

// WireEvent is an event in the bodies of the bus API.
type WireEvent struct {
	Topic    string            `json:"topic"`
	Payload  json.RawMessage   `json:"payload"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Client is the Broker of another process, reached through the bus API
// (contract/backend.md section 17.2). It also understands a bus that is not Callboard's;
// such a bus takes events for handled once they are read.
type Client struct {
	// Open returns a client that sends a service token for the events plugin along, and
	// the plugin's base URL. The client must have no timeout of its own: reading waits.
	Open func(ctx context.Context) (client *http.Client, baseURL string, err error)
	// NoBus is called when the plugin is not there; it may be nil.
	NoBus func()
}

var _ Broker = (*Client)(nil)

// quick is how soon an empty answer is suspicious: a bus keeps the connection open.
const quick = 250 * time.Millisecond

// errNoBus is answered when the other process has no events plugin.
var errNoBus = errors.New("there is no event bus where discovery finds the events plugin")

// Publish implements Broker. It tries three times where the outcome is unknown: the
// event may be published twice then.
func (c *Client) Publish(ctx context.Context, e Event, notified []string) (bool, error) {
	body := struct {
		Event    WireEvent `json:"event"`
		Notified []string  `json:"notifiedSubscribers,omitempty"`
	}{e.Wire(), notified}
	for attempt := 1; ; attempt++ {
		res, err := c.send(ctx, http.MethodPost, "/bus/v1/events", body, nil)
		if err == nil {
			res.Body.Close()
			return res.StatusCode == http.StatusCreated, nil
		}
		if attempt == 3 || ctx.Err() != nil || !passing(err) {
			return false, err
		}
		select {
		case <-time.After(jitter(time.Duration(attempt) * firstPause)):
		case <-ctx.Done():
		}
	}
}

// Wire returns the form that the event has in the bus API.
func (e Event) Wire() WireEvent {
	return WireEvent{Topic: e.Topic, Payload: e.Payload, Metadata: e.Metadata}
}

// passing reports whether an error may be gone the next time.
func passing(err error) bool {
	status := apierr.StatusOf(err)
	return !errors.Is(err, errNoBus) && status >= 500
}

// Subscribe implements Broker.
func (c *Client) Subscribe(ctx context.Context, id string, topics []string) error {
	res, err := c.send(ctx, http.MethodPut, subscriptionPath(id, ""), map[string]any{"topics": topics}, nil)
	if err == nil {
		res.Body.Close()
	}
	return err
}

func subscriptionPath(id, rest string) string {
	return "/bus/v1/subscriptions/" + url.PathEscape(id) + rest
}

// Fetch implements Broker. It waits for events itself, for as long as the bus does.
func (c *Client) Fetch(ctx context.Context, r Read) (Batch, error) {
	header := http.Header{HeaderReader: {r.Reader}, HeaderMost: {strconv.Itoa(r.Most)}}
	if r.Handled > 0 {
		header.Set(HeaderHandled, strconv.FormatInt(r.Handled, 10))
	}
	res, err := c.send(ctx, http.MethodGet, subscriptionPath(r.ID, "/events"), nil, header)
	if err != nil {
		return Batch{}, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusAccepted {
		began := time.Now()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return Batch{}, fmt.Errorf("wait for events: %w", err)
		}
		b := Batch{Turn: uint64(time.Since(began))}
		if res.Header.Get(HeaderBusy) != "" {
			return b, ErrBusy
		}
		return b, nil
	}
	var body struct{ Events []WireEvent }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return Batch{}, fmt.Errorf("read events of subscription %s: %w", r.ID, err)
	}
	b := Batch{}
	marks := strings.Split(res.Header.Get(HeaderMarks), ",")
	for i, e := range body.Events {
		b.Events = append(b.Events, Event{Topic: e.Topic, Payload: e.Payload, Metadata: e.Metadata})
		mark := int64(0)
		if i < len(marks) {
			mark, _ = strconv.ParseInt(marks[i], 10, 64)
		}
		b.Marks = append(b.Marks, mark)
	}
	b.Missed, _ = strconv.Atoi(res.Header.Get(HeaderMissed))
	return b, nil
}

// Wait implements Broker. Fetch has waited already, unless the bus let go at once.
func (c *Client) Wait(ctx context.Context, _ string, waited uint64, _ time.Duration) {
	if time.Duration(waited) >= quick {
		return
	}
	select {
	case <-time.After(quick - time.Duration(waited)):
	case <-ctx.Done():
	}
}

// Renew implements Broker.
func (c *Client) Renew(ctx context.Context, id, reader string) error {
	return c.lease(ctx, http.MethodPut, id, http.Header{HeaderReader: {reader}})
}

// Release implements Broker.
func (c *Client) Release(ctx context.Context, id, reader string, handled int64) error {
	return c.lease(ctx, http.MethodDelete, id, http.Header{
		HeaderReader: {reader}, HeaderHandled: {strconv.FormatInt(handled, 10)},
	})
}

// lease calls a route that a bus of another make does not have.
func (c *Client) lease(ctx context.Context, method, id string, header http.Header) error {
	res, err := c.send(ctx, method, subscriptionPath(id, "/lease"), nil, header)
	if errors.Is(err, errNoBus) {
		return nil
	}
	if errors.Is(err, apierr.Conflict) {
		return ErrLost
	}
	if err == nil {
		res.Body.Close()
	}
	return err
}

// send returns an answer with a status below 300, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path string, body any, header http.Header) (*http.Response, error) {
	client, base, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	var in io.Reader
	if body != nil {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(body); err != nil {
			return nil, err
		}
		in = &text
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, in)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, c.failure(method+" "+path, res)
}

// failure is the error that an answer stands for.
func (c *Client) failure(what string, res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var body struct {
		Error struct{ Name, Message string }
	}
	known := json.Unmarshal(text, &body) == nil && body.Error.Name != ""
	switch {
	case res.StatusCode == http.StatusNotFound && known:
		return ErrUnknown
	case res.StatusCode == http.StatusNotFound:
		if !strings.HasSuffix(what, "/lease") && c.NoBus != nil {
			c.NoBus()
		}
		return errNoBus
	}
	kind := apierr.KindByName(body.Error.Name, res.StatusCode)
	return kind.New("%s: %s %s", what, res.Status, body.Error.Message)
}
