package events_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard-dev/callboard/backend/internal/events"
	"github.com/callboard-dev/callboard/backend/internal/events/eventstest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	eventstest.RunBroker(t, func(*testing.T) events.Broker { return events.NewMemory(nil) })
}

func fetch(t *testing.T, m events.Broker, reader string) events.Batch {
	t.Helper()
	b, err := m.Fetch(t.Context(), events.Read{ID: "s", Reader: reader, Most: 2 * events.MemoryLimit})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := events.NewMemory(nil)
	if err := m.Subscribe(t.Context(), "s", []string{"a"}); err != nil {
		t.Fatal(err)
	}
	for i := range events.MemoryLimit + 7 {
		if _, err := m.Publish(t.Context(), events.Event{Topic: "a", Payload: fmt.Append(nil, i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	b := fetch(t, m, "r")
	if b.Missed != 7 || string(b.Events[0].Payload) != "7" {
		t.Errorf("missed %d, first is %s, want 7 and 7", b.Missed, b.Events[0].Payload)
	}
}

func TestMemoryGivesEventsOfASilentReaderToAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := events.NewMemory(nil)
		_ = m.Subscribe(t.Context(), "s", []string{"a"})
		_, _ = m.Publish(t.Context(), events.Event{Topic: "a", Payload: []byte("1")}, nil)
		fetch(t, m, "killed")
		time.Sleep(events.Lease / 2)
		if err := m.Renew(t.Context(), "s", "killed"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(events.Lease)
		if b := fetch(t, m, "next"); len(b.Events) != 1 {
			t.Errorf("the next reader gets %d events, want 1", len(b.Events))
		}
	})
}

func TestMemoryForgetsSubscriptionsThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := events.NewMemory(nil)
		_ = m.Subscribe(t.Context(), "s", []string{"a"})
		time.Sleep(events.Stale + time.Second)
		if kept, _ := m.Publish(t.Context(), events.Event{Topic: "a", Payload: []byte("1")}, nil); kept {
			t.Error("an event is kept for a subscription that nobody has read for a day")
		}
	})
}

// TestMemoryCleanup holds that what is old goes although nobody publishes, that the reader
// is told, and that events in hand stay.
func TestMemoryCleanup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := events.NewMemory(nil)
		for _, id := range []string{"s", "gone"} {
			_ = m.Subscribe(t.Context(), id, []string{"a"})
		}
		publish := func(payload string) {
			_, _ = m.Publish(t.Context(), events.Event{Topic: "a", Payload: []byte(payload)}, nil)
		}
		publish("in hand")
		fetch(t, m, "r")
		publish("old")
		time.Sleep(events.MaxAge - time.Second)
		if dropped, stale := m.Cleanup(); dropped != 0 || stale != 0 {
			t.Errorf("%d events and %d subscriptions are dropped early", dropped, stale)
		}
		if err := m.Renew(t.Context(), "s", "r"); err != nil {
			t.Fatal(err)
		}
		publish("new")
		time.Sleep(2 * time.Second)
		if dropped, stale := m.Cleanup(); dropped != 1 || stale != 1 {
			t.Errorf("%d events and %d subscriptions are dropped, want 1 and 1", dropped, stale)
		}
		if _, err := m.Fetch(t.Context(), events.Read{ID: "gone", Reader: "r", Most: 1}); !errors.Is(err, events.ErrUnknown) {
			t.Errorf("the subscription that nobody reads: %v", err)
		}
		b := fetch(t, m, "r")
		if len(b.Events) != 2 || string(b.Events[0].Payload) != "in hand" || string(b.Events[1].Payload) != "new" || b.Missed != 1 {
			t.Errorf("got %q, and %d missed", b.Events, b.Missed)
		}
	})
}
