package backendtest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/internal/events"
)

// Events is a backend.Events in memory that remembers what was published, and can deliver
// an event and wait until it was handled. It keeps the promises of the real ones: a
// subscription gets what is published after it was made, in order; only one of the loops
// over it has an event in hand; and an event whose turn of the loop was not finished comes
// again. The zero value is ready. It is safe for concurrent use, and must not be copied.
type Events struct {
	mu        sync.Mutex
	published []backend.Event
	subs      map[string]*subscription
	changed   chan struct{} // closed with every change
}

type subscription struct {
	topics []string
	queue  []*backend.Event
	busy   bool // a loop has the first one in hand
}

var (
	_ backend.Events         = (*Events)(nil)
	_ backend.EventPublisher = (*Events)(nil)
)

// Publish implements backend.Events.
func (e *Events) Publish(ctx context.Context, topic string, payload any) error {
	text, err := events.Encode(payload)
	if err != nil {
		return fmt.Errorf("publish event on %s: %w", topic, err)
	}
	return e.PublishEvent(ctx, backend.Event{Topic: topic, Payload: text})
}

// PublishEvent implements backend.EventPublisher.
func (e *Events) PublishEvent(_ context.Context, event backend.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.publish(event)
	return nil
}

// publish is called with e.mu held.
func (e *Events) publish(event backend.Event) *backend.Event {
	event.Payload, event.Metadata = slices.Clone(event.Payload), maps.Clone(event.Metadata)
	e.published = append(e.published, event)
	sent := &event
	for _, s := range e.subs {
		if slices.Contains(s.topics, event.Topic) {
			s.queue = append(s.queue, sent)
		}
	}
	e.change()
	return sent
}

// Published returns what was published so far, in order: on the topics, or on all of them
// if none is named.
func (e *Events) Published(topics ...string) []backend.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []backend.Event
	for _, event := range e.published {
		if len(topics) == 0 || slices.Contains(topics, event.Topic) {
			event.Payload, event.Metadata = slices.Clone(event.Payload), maps.Clone(event.Metadata)
			out = append(out, event)
		}
	}
	return out
}

// Deliver publishes an event and returns when every subscription to its topic has handled
// it. It first waits for one, because subscriptions are usually made by goroutines that
// have just been started. Its error is that ctx was done before, and says of what.
func (e *Events) Deliver(ctx context.Context, event backend.Event) error {
	subscribed := func() (bool, string) {
		for _, s := range e.subs {
			if slices.Contains(s.topics, event.Topic) {
				return true, ""
			}
		}
		return false, "nobody subscribes to it"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.await(ctx, event.Topic, subscribed); err != nil {
		return err
	}
	sent := e.publish(event)
	return e.await(ctx, event.Topic, func() (bool, string) {
		for _, id := range slices.Sorted(maps.Keys(e.subs)) {
			if slices.Contains(e.subs[id].queue, sent) {
				return false, "subscription " + id + " has not handled it"
			}
		}
		return true, ""
	})
}

// await returns when until says so, or why it does not when ctx is done. It is called with
// e.mu held, as is until, and gives it up meanwhile.
func (e *Events) await(ctx context.Context, topic string, until func() (bool, string)) error {
	for {
		ok, why := until()
		if ok {
			return nil
		}
		changed := e.changes()
		e.mu.Unlock()
		select {
		case <-changed:
			e.mu.Lock()
		case <-ctx.Done():
			e.mu.Lock()
			return fmt.Errorf("deliver event on %s: %s: %w", topic, why, context.Cause(ctx))
		}
	}
}

// Subscribe implements backend.Events. The loop ends when ctx is done, and has no errors.
func (e *Events) Subscribe(ctx context.Context, id string, topics ...string) iter.Seq2[backend.Event, error] {
	return func(yield func(backend.Event, error) bool) {
		e.mu.Lock()
		if e.subs == nil {
			e.subs = map[string]*subscription{}
		}
		s := e.subs[id]
		if s == nil {
			s = &subscription{}
			e.subs[id] = s
		}
		s.topics = slices.Clone(topics)
		e.change()
		e.mu.Unlock()
		for ctx.Err() == nil {
			e.mu.Lock()
			if s.busy || len(s.queue) == 0 {
				changed := e.changes()
				e.mu.Unlock()
				select {
				case <-changed:
				case <-ctx.Done():
				}
				continue
			}
			s.busy = true
			event := *s.queue[0]
			e.mu.Unlock()
			if !e.hand(s, event, yield) {
				return
			}
		}
	}
}

// hand gives the loop its event, and gives it back if the loop is left, by panic, too.
func (e *Events) hand(s *subscription, event backend.Event, yield func(backend.Event, error) bool) (more bool) {
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if s.busy = false; more {
			s.queue = s.queue[1:]
		}
		e.change()
	}()
	return yield(event, nil)
}

// change wakes those who wait, with e.mu held.
func (e *Events) change() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// changes returns a channel that is closed with the next change, with e.mu held.
func (e *Events) changes() <-chan struct{} {
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}
