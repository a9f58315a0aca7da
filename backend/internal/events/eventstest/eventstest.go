// Package eventstest holds every broker to what events.Broker promises.
package eventstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/internal/events"
)

// RunBroker runs the suite. open returns an empty broker.
func RunBroker(t *testing.T, open func(t *testing.T) events.Broker) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, s suite)
	}{
		{"EventsComeInOrder", eventsComeInOrder},
		{"OnlyEventsAfterTheSubscriptionCome", onlyLaterEvents},
		{"EverySubscriptionGetsEveryEvent", everySubscription},
		{"NotifiedSubscribersAreLeftOut", notified},
		{"PublishTellsWhetherAnybodyIsLeft", kept},
		{"UnhandledEventsComeAgain", unhandled},
		{"OneReaderHasEventsInHand", oneReader},
		{"ReleasedEventsGoToTheNextReader", released},
		{"ALostReaderCannotRenew", lost},
		{"TopicsChange", topicsChange},
		{"UnknownSubscriptions", unknown},
		{"WaitReturnsWhenSomethingIsPublished", waits},
		{"MetadataAndPayloadStayAsTheyAre", bytesStay},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, suite{t, open(t)})
		})
	}
}

type suite struct {
	t *testing.T
	events.Broker
}

func (s suite) publish(topic string, payloads ...string) {
	s.t.Helper()
	for _, p := range payloads {
		if _, err := s.Publish(s.t.Context(), events.Event{Topic: topic, Payload: []byte(p)}, nil); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s suite) subscribe(id string, topics ...string) {
	s.t.Helper()
	if err := s.Subscribe(s.t.Context(), id, topics); err != nil {
		s.t.Fatal(err)
	}
}

func (s suite) fetch(id, reader string, handled int64, most int) events.Batch {
	s.t.Helper()
	b, err := s.Fetch(s.t.Context(), events.Read{ID: id, Reader: reader, Handled: handled, Most: most})
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s suite) want(b events.Batch, payloads ...string) {
	s.t.Helper()
	var got []string
	for _, e := range b.Events {
		got = append(got, string(e.Payload))
	}
	if !slices.Equal(got, payloads) {
		s.t.Errorf("got %v, want %v", got, payloads)
	}
}

func eventsComeInOrder(t *testing.T, s suite) {
	s.subscribe("s", "a", "b")
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprint(i))
		s.publish([]string{"a", "b", "c"}[i%3], want[i])
		if i%3 == 2 { // c has no subscriber
			want[i] = ""
		}
	}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	var got []string
	for handled := int64(0); ; {
		b := s.fetch("s", "r", handled, 4)
		if len(b.Events) == 0 {
			break
		}
		if len(b.Events) > 4 {
			t.Fatalf("%d events, want at most 4", len(b.Events))
		}
		for _, e := range b.Events {
			got = append(got, string(e.Payload))
		}
		handled = b.Last()
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func onlyLaterEvents(_ *testing.T, s suite) {
	s.subscribe("other", "a")
	s.publish("a", "1")
	s.subscribe("s", "a")
	s.publish("a", "2")
	s.want(s.fetch("s", "r", 0, 10), "2")
}

func everySubscription(_ *testing.T, s suite) {
	s.subscribe("one", "a")
	s.subscribe("two", "a")
	s.publish("a", "1", "2")
	s.want(s.fetch("one", "r", 0, 10), "1", "2")
	s.want(s.fetch("two", "r", 0, 10), "1", "2")
}

func notified(t *testing.T, s suite) {
	s.subscribe("one", "a")
	s.subscribe("two", "a")
	e := events.Event{Topic: "a", Payload: []byte("1")}
	if k, err := s.Publish(t.Context(), e, []string{"one"}); err != nil || !k {
		t.Errorf("kept %v, %v, although two is left", k, err)
	}
	s.want(s.fetch("one", "r", 0, 10))
	s.want(s.fetch("two", "r", 0, 10), "1")
	if k, err := s.Publish(t.Context(), e, []string{"one", "two"}); err != nil || k {
		t.Errorf("kept %v, %v, although nobody is left", k, err)
	}
}

func kept(t *testing.T, s suite) {
	s.subscribe("s", "a")
	for topic, want := range map[string]bool{"a": true, "b": false} {
		if k, err := s.Publish(t.Context(), events.Event{Topic: topic, Payload: []byte("1")}, nil); err != nil || k != want {
			t.Errorf("topic %s: kept %v, %v, want %v", topic, k, err, want)
		}
	}
}

func unhandled(_ *testing.T, s suite) {
	s.subscribe("s", "a")
	s.publish("a", "1", "2", "3")
	b := s.fetch("s", "r", 0, 2)
	s.want(b, "1", "2")
	b = s.fetch("s", "r", b.Marks[0], 10)
	s.want(b, "2", "3")
	s.want(s.fetch("s", "r", b.Last(), 10))
	s.want(s.fetch("s", "r", 0, 10)) // handled stays handled
}

func oneReader(t *testing.T, s suite) {
	s.subscribe("s", "a")
	s.publish("a", "1", "2")
	b := s.fetch("s", "first", 0, 1)
	if _, err := s.Fetch(t.Context(), events.Read{ID: "s", Reader: "second", Most: 10}); !errors.Is(err, events.ErrBusy) {
		t.Errorf("while the first has events in hand, the second gets %v, want ErrBusy", err)
	}
	if err := s.Renew(t.Context(), "s", "first"); err != nil {
		t.Errorf("renew: %v", err)
	}
	b = s.fetch("s", "first", b.Last(), 1)
	s.want(b, "2")
	s.want(s.fetch("s", "first", b.Last(), 1)) // nothing in hand now
	s.publish("a", "3")
	s.want(s.fetch("s", "second", 0, 10), "3")
}

func released(t *testing.T, s suite) {
	s.subscribe("s", "a")
	s.publish("a", "1", "2", "3")
	b := s.fetch("s", "first", 0, 10)
	if err := s.Release(t.Context(), "s", "stranger", b.Last()); err != nil {
		t.Errorf("release by a reader that has nothing: %v", err)
	}
	if err := s.Release(t.Context(), "s", "first", b.Marks[0]); err != nil {
		t.Fatal(err)
	}
	s.want(s.fetch("s", "second", 0, 10), "2", "3")
}

func lost(t *testing.T, s suite) {
	s.subscribe("s", "a")
	s.publish("a", "1")
	s.fetch("s", "first", 0, 10)
	if err := s.Release(t.Context(), "s", "first", 0); err != nil {
		t.Fatal(err)
	}
	s.want(s.fetch("s", "second", 0, 10), "1")
	if err := s.Renew(t.Context(), "s", "first"); !errors.Is(err, events.ErrLost) {
		t.Errorf("the first reader renews: %v, want ErrLost", err)
	}
}

func topicsChange(_ *testing.T, s suite) {
	s.subscribe("s", "a")
	s.publish("a", "1")
	s.subscribe("s", "a", "b")
	s.publish("b", "2")
	b := s.fetch("s", "r", 0, 10)
	s.want(b, "1", "2")
	s.subscribe("s", "b")
	s.publish("a", "3")
	s.publish("b", "4")
	s.want(s.fetch("s", "r", b.Last(), 10), "4")
}

func unknown(t *testing.T, s suite) {
	if _, err := s.Fetch(t.Context(), events.Read{ID: "nobody", Reader: "r", Most: 1}); !errors.Is(err, events.ErrUnknown) {
		t.Errorf("fetch: %v, want ErrUnknown", err)
	}
}

func waits(t *testing.T, s suite) {
	s.subscribe("s", "a")
	b := s.fetch("s", "r", 0, 10)
	s.publish("a", "1")
	// With a bound far beyond that of the test: it is the event that ends the wait.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.Wait(ctx, "s", b.Turn, time.Hour)
	if ctx.Err() != nil {
		t.Fatal("nobody has called")
	}
	s.want(s.fetch("s", "r", 0, 10), "1")
}

func bytesStay(t *testing.T, s suite) {
	s.subscribe("s", "a")
	in := events.Event{Topic: "a", Payload: []byte(`{"z":1,"a":"<\u0000ü>","n":12345678901234567890.10}`), Metadata: map[string]string{"x-event": "päck"}}
	if _, err := s.Publish(t.Context(), in, nil); err != nil {
		t.Fatal(err)
	}
	b := s.fetch("s", "r", 0, 10)
	if len(b.Events) != 1 || string(b.Events[0].Payload) != string(in.Payload) || b.Events[0].Metadata["x-event"] != "päck" {
		t.Errorf("got %q, want %q", b.Events, in)
	}
}
