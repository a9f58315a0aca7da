package events_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard-dev/callboard/backend/internal/events"
)

func hub(cfg events.Config, where events.Where) *events.Hub {
	return events.NewHub(cfg, slog.New(slog.DiscardHandler), func() events.Where { return where })
}

func service(h *events.Hub, plugin string) *events.Service {
	return h.Service(plugin, &events.Client{}, slog.New(slog.DiscardHandler))
}

// take collects payloads until n have come.
func take(ctx context.Context, s *events.Service, id string, n int, topics ...string) (got []string) {
	for e, err := range s.Subscribe(ctx, id, topics...) {
		if err != nil {
			got = append(got, err.Error())
		} else {
			got = append(got, string(e.Payload))
		}
		if len(got) == n {
			break
		}
	}
	return got
}

func publish(t *testing.T, s *events.Service, topic string, payloads ...any) {
	t.Helper()
	for _, p := range payloads {
		if err := s.Publish(t.Context(), topic, p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWithoutThePluginEventsStayInTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, h := range []*events.Hub{hub(events.Config{}, events.Nowhere), hub(events.Config{UseEventBus: events.Never}, events.Here)} {
			a, b := service(h, "a"), service(h, "b")
			var wg sync.WaitGroup
			var one, two []string
			// The same id in two plugins is two subscriptions.
			wg.Go(func() { one = take(t.Context(), a, "same", 2, "t") })
			wg.Go(func() { two = take(t.Context(), b, "same", 2, "t") })
			synctest.Wait()
			publish(t, a, "t", 1, "<&>")
			wg.Wait()
			for _, got := range [][]string{one, two} {
				if len(got) != 2 || got[0] != "1" || got[1] != `"<&>"` {
					t.Errorf("got %q", got)
				}
			}
		}
	})
}

func TestAnEventWhoseLoopIsLeftComesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := service(hub(events.Config{}, events.Nowhere), "a")
		var wg sync.WaitGroup
		var first []string
		wg.Go(func() { first = take(t.Context(), s, "s", 2, "t") })
		synctest.Wait()
		publish(t, s, "t", 1, 2, 3)
		wg.Wait()
		if again := take(t.Context(), s, "s", 2, "t"); len(first) != 2 || again[0] != "2" || again[1] != "3" {
			t.Errorf("first %q, then %q, want the second event in both", first, again)
		}
	})
}

func TestASlowHandlerKeepsItsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := service(hub(events.Config{}, events.Nowhere), "a")
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		count := map[string]int{}
		var wg sync.WaitGroup
		for range 2 { // two replicas
			wg.Go(func() {
				for e := range s.Subscribe(ctx, "s", "t") {
					time.Sleep(10 * events.Lease)
					mu.Lock()
					count[string(e.Payload)]++
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		publish(t, s, "t", 1, 2, 3)
		time.Sleep(100 * events.Lease)
		cancel()
		wg.Wait()
		if count["1"] != 1 || count["2"] != 1 || count["3"] != 1 {
			t.Errorf("handled %v, want each event once", count)
		}
	})
}

func TestASlowSubscriberHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := service(hub(events.Config{}, events.Nowhere), "a")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for range s.Subscribe(ctx, "stuck", "t") {
				<-ctx.Done()
			}
		})
		var got []string
		wg.Go(func() { got = take(ctx, s, "quick", 500, "t") })
		synctest.Wait()
		for i := range 500 {
			publish(t, s, "t", i)
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if len(got) != 500 {
			t.Errorf("the quick subscriber got %d events, want 500", len(got))
		}
	})
}

func TestEarlyEventsWaitForThePluginToStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hub(events.Config{}, events.Here)
		s := service(h, "a")
		m := events.NewMemory(nil)
		_ = m.Subscribe(t.Context(), "a.s", []string{"t"})
		done := make(chan error, 1)
		go func() { done <- s.Publish(t.Context(), "t", 1) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("published before there is a broker: %v", err)
		default:
		}
		h.Attach(m)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := take(t.Context(), s, "s", 1, "t"); got[0] != "1" {
			t.Errorf("got %q", got)
		}
		// One that never starts does not hold up others for good.
		if err := service(hub(events.Config{}, events.Here), "a").Publish(t.Context(), "t", 1); err == nil {
			t.Error("published without a broker")
		}
	})
}

func TestAlwaysNeedsABus(t *testing.T) {
	t.Parallel()
	s := service(hub(events.Config{UseEventBus: events.Always}, events.Nowhere), "a")
	if err := s.Publish(t.Context(), "t", 1); err == nil {
		t.Error("published without a bus")
	}
}

func TestWhatCannotBePublished(t *testing.T) {
	t.Parallel()
	s := service(hub(events.Config{}, events.Nowhere), "a")
	for name, tt := range map[string]struct {
		topic   string
		payload any
	}{
		"no topic":             {"", 1},
		"a zero byte":          {"a\x00b", 1},
		"text that is no JSON": {"t", []byte("{")},
		"a value without JSON": {"t", func() {}},
	} {
		if err := s.Publish(t.Context(), tt.topic, tt.payload); err == nil {
			t.Errorf("%s: published", name)
		}
	}
}

// flaky fails for a while.
type flaky struct {
	*events.Memory
	mu   sync.Mutex
	down bool
}

func (f *flaky) Fetch(ctx context.Context, r events.Read) (events.Batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return events.Batch{}, errors.New("database is away")
	}
	return f.Memory.Fetch(ctx, r)
}

func TestASubscriberHearsOfAnOutageOnceAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Memory: events.NewMemory(nil), down: true}
		h := hub(events.Config{}, events.Here)
		h.Attach(f)
		s := service(h, "a")
		var got []string
		var wg sync.WaitGroup
		wg.Go(func() { got = take(t.Context(), s, "s", 2, "t") })
		time.Sleep(time.Minute)
		publish(t, s, "t", 1)
		f.mu.Lock()
		f.down = false
		f.mu.Unlock()
		wg.Wait()
		if got[0] != "subscription a.s: database is away" || got[1] != "1" {
			t.Errorf("got %q, want the error once, then the event", got)
		}
	})
}

func BenchmarkPublishInProcess(b *testing.B) {
	s := service(hub(events.Config{}, events.Nowhere), "a")
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var wg sync.WaitGroup
	handled := make(chan struct{}, 1)
	wg.Go(func() {
		for _, err := range s.Subscribe(ctx, "s", "t") {
			if err == nil {
				select {
				case handled <- struct{}{}:
				default:
				}
			}
		}
	})
	payload := map[string]any{"entity": "component:default/petstore", "n": 1}
	if err := s.Publish(ctx, "t", payload); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Publish(ctx, "t", payload); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
}
