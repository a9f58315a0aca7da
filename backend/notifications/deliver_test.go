package notifications

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
	signals "github.com/callboard-dev/callboard/backend/signals/client"
)

// failing is a processor that works at the nth call.
type failing struct{ calls, works int }

func (*failing) Name() string { return "Failing" }

func (f *failing) PostProcess(ctx context.Context, _ Delivery) error {
	if f.calls++; f.calls < f.works {
		return errors.New("not today")
	}
	return ctx.Err()
}

// idle is a plugin without its background work, whose clock stands still.
func idle(t *testing.T, d db.DB, proc NotificationProcessor) (p *plugin, advance func(time.Duration)) {
	t.Helper()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	cfg := defaults
	base, err := baseURL("", "http://localhost:7007")
	if err != nil {
		t.Fatal(err)
	}
	return &plugin{
		config: cfg, defaults: settings{}, processors: []NotificationProcessor{proc}, base: base, store: store.New(d),
		catalog: func(context.Context) (entities, error) { return org(), nil },
		signals: signals.New(&backendtest.Events{}), log: slog.New(slog.DiscardHandler), now: func() time.Time { return now },
		woken: make(chan struct{}, 1), signal: make(chan struct{}, 1),
	}, func(d time.Duration) { now = now.Add(d) }
}

// due carries out what is due, and returns how much there is left.
func due(t *testing.T, p *plugin) (left int) {
	t.Helper()
	list, err := p.store.ClaimDeliveries(t.Context(), p.now(), p.now().Add(claimed), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		p.attempt(t.Context(), d)
	}
	if left, err = p.store.Undelivered(t.Context()); err != nil {
		t.Fatal(err)
	}
	return left
}

func send(t *testing.T, p *plugin) {
	t.Helper()
	if _, err := p.send(t.Context(), "plugin:test", client.Request{Recipients: client.Entities("user:default/alice"), Payload: client.Payload{Title: "x"}}); err != nil {
		t.Fatal(err)
	}
}

func TestDeliveriesAreTriedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		proc := &failing{works: 3}
		p, advance := idle(t, d, proc)
		send(t, p)
		for i, step := range []struct {
			wait        time.Duration
			calls, left int
		}{
			{0, 1, 1}, {29 * time.Second, 1, 1}, {time.Second, 2, 1}, {59 * time.Second, 2, 1}, {time.Second, 3, 0},
		} {
			advance(step.wait)
			if left := due(t, p); left != step.left || proc.calls != step.calls {
				t.Errorf("step %d: %d calls, %d left, want %d and %d", i, proc.calls, left, step.calls, step.left)
			}
		}

		// What never works is given up.
		proc.calls, proc.works = 0, 100
		send(t, p)
		for due(t, p) > 0 {
			advance(time.Hour)
		}
		if proc.calls != 10 {
			t.Errorf("%d calls, want 10", proc.calls)
		}

		// A replica that dies with a delivery in hand leaves it to others.
		proc.calls, proc.works = 0, 1
		send(t, p)
		if list, err := p.store.ClaimDeliveries(t.Context(), p.now(), p.now().Add(claimed), 10); err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if left := due(t, p); left != 1 || proc.calls != 0 {
			t.Errorf("%d calls while another replica has it", proc.calls)
		}
		advance(claimed)
		if left := due(t, p); left != 0 || proc.calls != 1 {
			t.Errorf("%d calls after that one has died", proc.calls)
		}
	})
}

// TestDeliveriesOfProcessorsThatAreGone: a processor that was taken out of main is missed in
// the log, and its deliveries do not stay for ever.
func TestDeliveriesOfProcessorsThatAreGone(t *testing.T) {
	t.Parallel()
	p, advance := idle(t, dbtest.Memory(t, store.Migrations()), &failing{works: 1})
	send(t, p)
	p.processors = nil
	for range 10 {
		due(t, p)
		advance(time.Hour)
	}
	if left := due(t, p); left != 0 {
		t.Errorf("%d left", left)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	p, advance := idle(t, dbtest.Memory(t, store.Migrations()), &failing{works: 1})
	send(t, p)
	advance(364 * 24 * time.Hour)
	count := func() int {
		t.Helper()
		if err := p.expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, total, err := p.store.List(t.Context(), store.Filter{User: "user:default/alice"}, store.Page{})
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	if n := count(); n != 1 {
		t.Errorf("%d after 364 days", n)
	}
	advance(2 * 24 * time.Hour)
	if n := count(); n != 0 {
		t.Errorf("%d after 366 days", n)
	}
}

func TestSignalsAreBounded(t *testing.T) {
	t.Parallel()
	p, _ := idle(t, dbtest.Memory(t, store.Migrations()), &failing{works: 1})
	for range maxSignals + 3 {
		p.signalNew(store.Notification{ID: "x", User: "user:default/alice"})
	}
	if some, dropped := p.nextSignals(); len(some) != 10 || dropped != 3 || len(p.pending) != maxSignals-10 {
		t.Errorf("%d at once, %d dropped, %d left", len(some), dropped, len(p.pending))
	}
}
