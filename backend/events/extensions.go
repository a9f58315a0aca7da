package events

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
)

// A Request is what was posted to a topic, before it becomes an event.
type Request struct {
	Topic  string
	Raw    []byte // the body as it came, which is what signatures are made of
	Body   []byte // the body in UTF-8, valid JSON
	Header http.Header
}

// A Validator looks at a request before it becomes an event. A request is rejected by
// a *Rejection; any other error is an error of this server. Validators are called from
// many goroutines at once.
type Validator interface {
	Validate(ctx context.Context, r Request) error
}

// ValidatorFunc is a function that validates.
type ValidatorFunc func(ctx context.Context, r Request) error

// Validate implements Validator.
func (f ValidatorFunc) Validate(ctx context.Context, r Request) error { return f(ctx, r) }

// A Rejection is why a request does not become an event, and what is answered.
type Rejection struct {
	Status  int // 403 if zero
	Payload any // the body of the answer, as JSON
}

// Error implements error.
func (r *Rejection) Error() string { return fmt.Sprintf("request rejected: %v", r.Payload) }

// An Ingress is a topic that may be posted to.
type Ingress struct {
	Topic    string
	Validate Validator // nil: everybody may post anything
}

// A Subscriber handles events of some topics, for as long as the backend runs.
type Subscriber struct {
	ID     string // unique among the subscribers of this plugin
	Topics []string
	// Handle is called for one event after the other. An error is logged, and the next
	// event follows. An event that was in hand when the process died comes again.
	Handle func(ctx context.Context, e backend.Event) error
}

// A Router publishes events of a topic again, with the same payload and metadata.
type Router struct {
	ID    string // unique among routers
	Topic string
	// Route returns the topic to publish on; "" drops the event.
	Route func(e backend.Event) string
}

// SubTopics is a router with the id "<topic>-router" that publishes events again on
// "<topic>.<kind>". It drops those without a kind.
func SubTopics(topic string, kind func(e backend.Event) string) Router {
	return Router{ID: topic + "-router", Topic: topic, Route: func(e backend.Event) string {
		if k := kind(e); k != "" {
			return topic + "." + k
		}
		return ""
	}}
}

// Extensions is what modules add to the plugin. Duplicates are errors of Register's
// caller: the backend does not start.
type Extensions struct {
	ingresses   []Ingress
	validators  map[string][]Validator
	subscribers []Subscriber
	errs        []error
}

// AddIngress opens a topic to webhooks. A topic that events.http.topics lists too has
// the validator of this ingress.
func (x *Extensions) AddIngress(i Ingress) {
	for _, other := range x.ingresses {
		if other.Topic == i.Topic {
			x.errs = append(x.errs, fmt.Errorf("two ingresses for the topic %q", i.Topic))
		}
	}
	x.ingresses = append(x.ingresses, i)
}

// AddChecked is AddIngress for a topic whose requests are checked against a secret. If
// that is not set, the topic stays closed; then it is an error if events.http.topics
// opens it to everybody. Key is where the secret is configured.
func (x *Extensions) AddChecked(i Ingress, set bool, key string, http HTTP) error {
	if !set {
		return http.unchecked(i.Topic, key)
	}
	x.AddIngress(i)
	return nil
}

// AddTopicValidator has v look at requests for a topic, besides the topic's other
// validators, whoever opens that topic. It opens none.
func (x *Extensions) AddTopicValidator(topic string, v Validator) {
	if x.validators == nil {
		x.validators = map[string][]Validator{}
	}
	x.validators[topic] = append(x.validators[topic], v)
}

// AddSubscriber has s handle events.
func (x *Extensions) AddSubscriber(s Subscriber) {
	for _, other := range x.subscribers {
		if other.ID == s.ID {
			x.errs = append(x.errs, fmt.Errorf("two subscribers have the id %q", s.ID))
		}
	}
	if s.ID == "" || len(s.Topics) == 0 || s.Handle == nil {
		x.errs = append(x.errs, fmt.Errorf("subscriber %q needs an id, topics, and a function", s.ID))
	}
	x.subscribers = append(x.subscribers, s)
}

// AddRouter has r publish events again.
func (x *Extensions) AddRouter(r Router) {
	x.AddSubscriber(Subscriber{ID: r.ID, Topics: []string{r.Topic}, Handle: func(ctx context.Context, e backend.Event) error {
		topic := r.Route(e)
		if topic == "" {
			return nil
		}
		p, ok := ctx.Value(publisherKey{}).(backend.EventPublisher)
		if !ok {
			return errors.New("no publisher: routers are run by the events plugin")
		}
		return p.PublishEvent(ctx, backend.Event{Topic: topic, Payload: e.Payload, Metadata: e.Metadata})
	}})
}

// publisherKey is where the plugin puts the backend.EventPublisher that routers use.
type publisherKey struct{}

// topics returns the validators of every topic that is open.
func (x *Extensions) topics(configured []string) map[string][]Validator {
	open := map[string][]Validator{}
	for _, t := range configured {
		open[t] = nil
	}
	for _, i := range x.ingresses {
		open[i.Topic] = nil
		if i.Validate != nil {
			open[i.Topic] = []Validator{i.Validate}
		}
	}
	for t := range open {
		open[t] = append(open[t], x.validators[t]...)
	}
	return open
}
