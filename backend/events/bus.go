package events

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/events"
)

// perRead is how many events one answer has at most, mostPerRead for a reader that asks
// for more.
const perRead, mostPerRead = 10, 100

// bus is the event bus for other processes (contract/backend.md section 17.2).
type bus struct {
	broker  events.Broker // set before the routes are open
	timeout time.Duration
}

func (b *bus) routes(r backend.Router) {
	r.Handle("PUT /bus/v1/subscriptions/{id}", services(b.subscribe))
	r.Handle("POST /bus/v1/events", services(b.publish))
	r.Handle("GET /bus/v1/subscriptions/{id}/events", services(b.read))
	r.Handle("PUT /bus/v1/subscriptions/{id}/lease", services(b.renew))
	r.Handle("DELETE /bus/v1/subscriptions/{id}/lease", services(b.release))
}

// services lets in plugins and external programs, and no users.
func services(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := httpx.ServiceOf(r); err != nil {
			return err
		}
		return h(w, r)
	}
}

func (b *bus) subscribe(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Topics *[]string `json:"topics"`
	}
	if err := httpx.DecodeJSON(r, &body); err != nil {
		return err
	}
	if body.Topics == nil {
		return httpx.Missing("", "topics")
	}
	for i, topic := range *body.Topics {
		if err := checkTopic("topics/"+strconv.Itoa(i), topic); err != nil {
			return err
		}
	}
	id := r.PathValue("id")
	if len(id) > events.MaxTopic || strings.ContainsRune(id, 0) {
		return apierr.Input.New("the subscription id is longer than %d bytes or contains a zero byte", events.MaxTopic)
	}
	if err := b.broker.Subscribe(r.Context(), id, *body.Topics); err != nil {
		return err
	}
	return httpx.Empty(w, http.StatusCreated)
}

func checkTopic(place, topic string) error {
	if topic == "" || len(topic) > events.MaxTopic || strings.ContainsRune(topic, 0) {
		return httpx.Invalid(place, "must be 1 to "+strconv.Itoa(events.MaxTopic)+" bytes of text")
	}
	return nil
}

func (b *bus) publish(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Event               *events.WireEvent `json:"event"`
		NotifiedSubscribers []string          `json:"notifiedSubscribers"`
	}
	if err := httpx.DecodeJSON(r, &body, httpx.MaxBytes(maxBody+64<<10)); err != nil {
		return err
	}
	switch {
	case body.Event == nil:
		return httpx.Missing("", "event")
	case body.Event.Topic == "":
		return httpx.Missing("event", "topic")
	case body.Event.Payload == nil:
		return httpx.Missing("event", "payload")
	}
	if err := checkTopic("event/topic", body.Event.Topic); err != nil {
		return err
	}
	e := events.Event{Topic: body.Event.Topic, Payload: body.Event.Payload, Metadata: body.Event.Metadata}
	kept, err := b.broker.Publish(r.Context(), e, body.NotifiedSubscribers)
	if err != nil {
		return err
	}
	if kept {
		return httpx.Empty(w, http.StatusCreated)
	}
	return httpx.Empty(w, http.StatusNoContent)
}

// read answers with events that wait. If none do, it says so at once and keeps the
// connection open until it is worth asking again.
func (b *bus) read(w http.ResponseWriter, r *http.Request) error {
	id, reader := r.PathValue("id"), r.Header.Get(events.HeaderReader)
	q := events.Read{ID: id, Reader: reader, Most: perRead}
	if reader == "" { // a client that has handled what it has read
		q.Reader = rand.Text()
	} else {
		if n, err := strconv.Atoi(r.Header.Get(events.HeaderMost)); err == nil {
			q.Most = max(1, min(n, mostPerRead))
		}
		q.Handled, _ = strconv.ParseInt(r.Header.Get(events.HeaderHandled), 10, 64)
	}
	batch, err := b.broker.Fetch(r.Context(), q)
	switch {
	case errors.Is(err, events.ErrUnknown):
		return apierr.NotFound.New("Subscription with ID '%s' not found", id)
	case err != nil && !errors.Is(err, events.ErrBusy):
		return err
	case len(batch.Events) == 0:
		return b.hold(w, r, id, batch.Turn, errors.Is(err, events.ErrBusy))
	}
	if reader == "" {
		if err := b.broker.Release(r.Context(), id, q.Reader, batch.Last()); err != nil {
			return err
		}
	} else {
		var marks []string
		for _, m := range batch.Marks {
			marks = append(marks, strconv.FormatInt(m, 10))
		}
		w.Header().Set(events.HeaderMarks, strings.Join(marks, ","))
		if batch.Missed > 0 {
			w.Header().Set(events.HeaderMissed, strconv.Itoa(batch.Missed))
		}
	}
	out := struct {
		Events []events.WireEvent `json:"events"`
	}{}
	for _, e := range batch.Events {
		out.Events = append(out.Events, e.Wire())
	}
	return httpx.JSON(w, http.StatusOK, out)
}

// hold answers 202 and waits, with the body open. The server does not wait for it when
// it stops.
func (b *bus) hold(w http.ResponseWriter, r *http.Request, id string, turn uint64, busy bool) error {
	draining, release := httpx.LongLived(r)
	defer release()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if draining != nil {
		go func() {
			select {
			case <-draining:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	w.Header().Set(events.HeaderNotifyTimeout, strconv.FormatInt(b.timeout.Milliseconds(), 10))
	if busy {
		w.Header().Set(events.HeaderBusy, "true")
	}
	w.WriteHeader(http.StatusAccepted)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return nil // the reader is gone
	}
	most := b.timeout
	if busy {
		most = min(most, events.Lease/3)
	}
	b.broker.Wait(ctx, id, turn, most)
	return nil
}

func (b *bus) renew(w http.ResponseWriter, r *http.Request) error {
	err := b.broker.Renew(r.Context(), r.PathValue("id"), r.Header.Get(events.HeaderReader))
	switch {
	case errors.Is(err, events.ErrUnknown):
		return apierr.NotFound.New("Subscription with ID '%s' not found", r.PathValue("id"))
	case errors.Is(err, events.ErrLost):
		return apierr.Conflict.New("these events are not in the hands of this reader any more")
	case err != nil:
		return err
	}
	return httpx.Empty(w, http.StatusNoContent)
}

func (b *bus) release(w http.ResponseWriter, r *http.Request) error {
	handled, err := strconv.ParseInt(r.Header.Get(events.HeaderHandled), 10, 64)
	if err != nil {
		return apierr.Input.New("header %s is not a number", events.HeaderHandled)
	}
	if err := b.broker.Release(r.Context(), r.PathValue("id"), r.Header.Get(events.HeaderReader), handled); err != nil {
		return err
	}
	return httpx.Empty(w, http.StatusNoContent)
}
