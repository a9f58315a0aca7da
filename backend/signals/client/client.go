// Package client sends signals: messages that reach the browsers of users at once, over
// the WebSocket of the signals plugin. It is for plugins; a frontend that nobody is looking
// at gets nothing, so a signal says that there is something new, and is not the thing.
//
//	signals := client.New(events) // a backend.Events
//	err := signals.Publish(ctx, client.Signal{
//		Recipients: client.Users("user:default/alice"),
//		Channel:    "builds",
//		Message:    map[string]any{"action": "finished"},
//	})
//
// Signals travel as events with the topic of this package (contract/backend.md section 19),
// so they reach every replica, and it is no error if no signals plugin is there to hear them.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Topic is the topic of the events that carry signals. Their payload is a Payload.
const Topic = "signals"

// MaxChannel is the longest name of a channel, in bytes.
const MaxChannel = 255

// A Signal is one message for some users on one channel.
type Signal struct {
	Recipients Recipients
	Channel    string
	Message    any // JSON; frontends expect an object
}

// Recipients says whom a signal is for. The zero value is nobody, which is an error.
type Recipients struct {
	Type string // "user" or "broadcast"
	Refs []string
}

// Everybody is whoever is connected, guests too.
func Everybody() Recipients { return Recipients{Type: "broadcast"} }

// Users are the users who own things through one of the entities with these full
// references: a user, or all the members of a group.
func Users(refs ...string) Recipients { return Recipients{Type: "user", Refs: refs} }

type wireRecipients struct {
	Type string          `json:"type"`
	Ref  json.RawMessage `json:"entityRef,omitempty"`
}

// MarshalJSON writes the form of the contract: one reference, or a list of them.
func (r Recipients) MarshalJSON() ([]byte, error) {
	w := wireRecipients{Type: r.Type}
	var err error
	switch {
	case r.Type == "broadcast":
	case len(r.Refs) == 1:
		w.Ref, err = json.Marshal(r.Refs[0])
	default:
		w.Ref, err = json.Marshal(r.Refs)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads either form.
func (r *Recipients) UnmarshalJSON(doc []byte) error {
	var w wireRecipients
	if err := json.Unmarshal(doc, &w); err != nil {
		return err
	}
	*r = Recipients{Type: w.Type}
	if len(w.Ref) == 0 || w.Type == "broadcast" {
		return nil
	}
	var one string
	if json.Unmarshal(w.Ref, &one) == nil {
		r.Refs = []string{one}
		return nil
	}
	return json.Unmarshal(w.Ref, &r.Refs)
}

// Payload is the payload of the events that carry signals.
type Payload struct {
	Recipients Recipients      `json:"recipients"`
	Channel    string          `json:"channel"`
	Message    json.RawMessage `json:"message"`
}

// Validate says what is wrong with a payload that cannot be delivered.
func (p Payload) Validate() error {
	switch {
	case p.Channel == "" || len(p.Channel) > MaxChannel:
		return fmt.Errorf("a signal's channel has 1 to %d bytes, not %d", MaxChannel, len(p.Channel))
	case len(p.Message) == 0:
		return errors.New("a signal needs a message")
	case p.Recipients.Type == "broadcast":
		return nil
	case p.Recipients.Type != "user":
		return fmt.Errorf("recipients of type %q: use user or broadcast", p.Recipients.Type)
	case len(p.Recipients.Refs) == 0 || slices.Contains(p.Recipients.Refs, ""):
		return errors.New("a signal for users needs their references")
	}
	return nil
}

// Events is the part of backend.Events that signals are published by.
type Events interface {
	Publish(ctx context.Context, topic string, payload any) error
}

// A Client publishes signals. It is safe for concurrent use.
type Client struct{ events Events }

// New returns a Client that publishes by the events of the plugin that has signals to send.
func New(events Events) *Client { return &Client{events} }

// Publish sends a signal. It returns when the signal is published, which does not mean that
// anybody has seen it.
func (c *Client) Publish(ctx context.Context, s Signal) error {
	message, err := json.Marshal(s.Message)
	if err != nil {
		return fmt.Errorf("signal on %s: %w", s.Channel, err)
	}
	p := Payload{s.Recipients, s.Channel, message}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("signal on %q: %w", s.Channel, err)
	}
	return c.events.Publish(ctx, Topic, p)
}
