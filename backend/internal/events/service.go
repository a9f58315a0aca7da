package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	mrand "math/rand/v2"
	"strings"
	"sync"
	"time"
)

const (
	// batch is how many events a reader takes at once.
	batch = 100
	// idle is how long a reader waits before it looks again although nobody has called.
	idle = 55 * time.Second
	// firstPause and longestPause are between attempts while a broker cannot be used.
	firstPause, longestPause = 500 * time.Millisecond, 15 * time.Second
)

// A Service is the Events of one plugin.
type Service struct {
	plugin string
	hub    *Hub
	client *Client
	log    *slog.Logger
}

func (s *Service) broker(ctx context.Context) (Broker, error) { return s.hub.broker(ctx, s.client) }

// MaxTopic is the longest topic, in bytes.
const MaxTopic = 255

// Publish implements backend.Events. The payload may be a json.RawMessage; a []byte is
// taken for one too.
func (s *Service) Publish(ctx context.Context, topic string, payload any) error {
	return s.PublishEvent(ctx, topic, payload, nil)
}

// PublishEvent is Publish with metadata.
func (s *Service) PublishEvent(ctx context.Context, topic string, payload any, metadata map[string]string) error {
	if topic == "" || len(topic) > MaxTopic || strings.ContainsRune(topic, 0) {
		return fmt.Errorf("publish event: topic %q is empty, longer than %d bytes, or contains a zero byte", topic, MaxTopic)
	}
	text, err := Encode(payload)
	if err != nil {
		return fmt.Errorf("publish event on %s: %w", topic, err)
	}
	b, err := s.broker(ctx)
	if err != nil {
		return fmt.Errorf("publish event on %s: %w", topic, err)
	}
	e := Event{Topic: topic, Payload: text, Metadata: metadata}
	_, err = b.Publish(ctx, e, nil)
	if errors.Is(err, errNoBus) { // it turned out now; without a bus, this process is on its own
		if alone, berr := s.broker(ctx); berr == nil && alone != b {
			_, err = alone.Publish(ctx, e, nil)
		}
	}
	if err != nil {
		return fmt.Errorf("publish event on %s: %w", topic, err)
	}
	return nil
}

// Encode returns a payload as the JSON that subscribers get.
func Encode(payload any) ([]byte, error) {
	switch p := payload.(type) {
	case json.RawMessage:
		return valid(p)
	case []byte:
		return valid(p)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(payload); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil // valid UTF-8, as json writes it
}

func valid(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return nil, errors.New("the payload is not JSON")
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD")), nil // databases take nothing else
}

// Subscribe implements backend.Events.
func (s *Service) Subscribe(ctx context.Context, id string, topics ...string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := &reader{service: s, id: s.plugin + "." + id, name: rand.Text(), topics: topics, yield: yield}
		r.run(ctx)
	}
}

// reader is one run of the loop over a subscription.
type reader struct {
	service *Service
	id      string // of the subscription, with the plugin's id in front
	name    string // of this reader
	topics  []string
	yield   func(Event, error) bool

	broker     Broker
	subscribed bool
	pause      time.Duration
}

func (r *reader) run(ctx context.Context) {
	var handled int64 // not reported yet
	defer func() {
		if handled > 0 {
			r.release(ctx, handled)
		}
	}()
	for ctx.Err() == nil {
		b, err := r.fetch(ctx, handled)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrBusy):
			handled = 0
			r.broker.Wait(ctx, r.id, b.Turn, Lease/3)
			continue
		case errors.Is(err, ErrUnknown):
			r.subscribed, handled = false, 0
			continue
		case errors.Is(err, errNoBus) && r.moved(ctx):
			continue
		case err != nil:
			if !r.trouble(ctx, err) {
				return
			}
			continue
		}
		r.pause = 0
		handled = 0
		if b.Missed > 0 {
			missed := fmt.Errorf("subscription %s: %d events: %w", r.id, b.Missed, ErrMissed)
			if !r.yield(Event{}, missed) {
				r.release(ctx, 0)
				return
			}
		}
		if len(b.Events) == 0 {
			r.broker.Wait(ctx, r.id, b.Turn, jitter(idle))
			continue
		}
		var more bool
		if handled, more = r.hand(ctx, b); !more {
			r.release(ctx, handled)
			handled = 0
			return
		}
	}
}

// fetch subscribes if need be, and reads.
func (r *reader) fetch(ctx context.Context, handled int64) (Batch, error) {
	b, err := r.service.broker(ctx)
	if err != nil {
		return Batch{}, err
	}
	if b != r.broker { // another one since the last time
		r.broker, r.subscribed, handled = b, false, 0
	}
	if !r.subscribed {
		if err := b.Subscribe(ctx, r.id, r.topics); err != nil {
			return Batch{}, err
		}
		r.subscribed = true
	}
	return b.Fetch(ctx, Read{ID: r.id, Reader: r.name, Handled: handled, Most: batch})
}

// moved reports whether there is another broker now.
func (r *reader) moved(ctx context.Context) bool {
	b, err := r.service.broker(ctx)
	return err == nil && b != r.broker
}

// hand gives a batch to the loop, one event after the other, and keeps hold of the rest
// meanwhile. It returns the mark of the last event that was handled, and whether the
// loop goes on.
func (r *reader) hand(ctx context.Context, b Batch) (handled int64, more bool) {
	k := r.keep(ctx)
	defer k.stop()
	for i, e := range b.Events {
		if ctx.Err() != nil {
			return handled, false
		}
		if k.lost() {
			return 0, true // whoever has the events now handles them
		}
		// A loop that is left, by return or panic, has not handled its event.
		if !r.yield(e, nil) {
			return handled, false
		}
		handled = b.Marks[i]
	}
	return handled, true
}

// trouble tells the loop of an error, once until it works again, and waits.
func (r *reader) trouble(ctx context.Context, err error) bool {
	if r.pause == 0 {
		r.service.log.WarnContext(ctx, "events cannot be read; trying again", "subscription", r.id, "error", err)
		if !r.yield(Event{}, fmt.Errorf("subscription %s: %w", r.id, err)) {
			return false
		}
	}
	r.pause = min(longestPause, max(firstPause, 2*r.pause))
	select {
	case <-time.After(jitter(r.pause)):
	case <-ctx.Done():
	}
	return true
}

// jitter keeps replicas from asking at the same time.
func jitter(d time.Duration) time.Duration { return d + mrand.N(d/4) }

// release says what is handled when the loop ends, even if that is why ctx is done.
func (r *reader) release(ctx context.Context, handled int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.broker.Release(ctx, r.id, r.name, handled); err != nil {
		r.service.log.WarnContext(ctx, "events that were handled will come again", "subscription", r.id, "error", err)
	}
}

// keep renews the lease for as long as a batch is being handled.
func (r *reader) keep(ctx context.Context) *keeper {
	k := &keeper{}
	var renew func()
	renew = func() {
		ctx, cancel := context.WithTimeout(ctx, Lease/3)
		defer cancel()
		err := r.broker.Renew(ctx, r.id, r.name)
		k.mu.Lock()
		defer k.mu.Unlock()
		switch {
		case k.stopped:
		case errors.Is(err, ErrLost), errors.Is(err, ErrUnknown):
			k.gone = true
		default: // another error may pass; if not, the next Fetch says so
			k.timer = time.AfterFunc(Lease/3, renew)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(Lease/3, renew)
	return k
}

type keeper struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	gone    bool
}

func (k *keeper) lost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gone
}

func (k *keeper) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	k.timer.Stop()
}
