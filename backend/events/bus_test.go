package events_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/events"
	bus "github.com/callboard-dev/callboard/backend/internal/events"
	"github.com/callboard-dev/callboard/backend/internal/events/eventstest"
)

const (
	token = "0123456789-static-token"
	allow = `
backend: {auth: {externalAccess: [{type: static, options: {token: ` + token + `, subject: test}}]}}
events: {notifyTimeoutMs: 50}
`
)

// A bus that is reached over HTTP keeps every promise of a broker.
func TestClient(t *testing.T) {
	t.Parallel()
	eventstest.RunBroker(t, func(t *testing.T) bus.Broker {
		b := backendtest.Start(t, allow, events.Plugin())
		return client(b.URL)
	})
}

func client(base string) *bus.Client {
	return &bus.Client{Open: func(context.Context) (*http.Client, string, error) {
		return &http.Client{Transport: static{}}, base + "/api/events", nil
	}}
}

// static sends the static token.
type static struct{}

// RoundTrip implements http.RoundTripper.
func (static) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultTransport.RoundTrip(r)
}

// A reader that does not name itself has handled what it has read, as upstream's have.
func TestAnonymousReadersHandleByReading(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, allow, events.Plugin())
	c := client(b.URL)
	if err := c.Subscribe(t.Context(), "s", []string{"t"}); err != nil {
		t.Fatal(err)
	}
	for range 12 {
		if _, err := c.Publish(t.Context(), bus.Event{Topic: "t", Payload: []byte("1")}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{10, 2, 0} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/api/events/bus/v1/subscriptions/s/events", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := strings.Count(string(body), `"topic"`); got != want {
			t.Errorf("%d events, want %d: %s", got, want, body)
		}
		if want == 0 && (res.StatusCode != http.StatusAccepted || res.Header.Get("backstage-events-notify-timeout") != "50" || len(body) > 0) {
			t.Errorf("without events the answer is %d, %v, %q", res.StatusCode, res.Header, body)
		}
	}
}

// worker is a plugin that hands on its Events.
func worker(id string, out chan<- backend.Events) backend.Feature {
	return backend.NewPlugin(id, fx.Invoke(func(ev backend.Events, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() { out <- ev }))
	}))
}

// Two processes with different plugins share events by configuration alone.
func TestEventsBetweenProcesses(t *testing.T) {
	t.Parallel()
	// The place of the second process is known before it runs.
	var second atomic.Pointer[url.URL]
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(second.Load()) }})
	t.Cleanup(proxy.Close)
	here, there := make(chan backend.Events, 1), make(chan backend.Events, 1)
	a := backendtest.Start(t, `
discovery: {endpoints: [{target: "`+proxy.URL+`/api/{{pluginId}}", plugins: [remote]}]}
`, events.Plugin(), worker("local", here))
	b := backendtest.Start(t, `
discovery: {endpoints: [{target: "`+a.URL+`/api/{{pluginId}}", plugins: [events]}]}
`, worker("remote", there))
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	second.Store(u)
	local, remote := <-here, <-there
	for name, tt := range map[string]struct{ from, to backend.Events }{
		"to the other process":   {local, remote},
		"from the other process": {remote, local},
		"within the other one":   {remote, remote},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			topic := strings.ReplaceAll(name, " ", "-")
			got := make(chan backend.Event, 100)
			go func() {
				for e, err := range tt.to.Subscribe(ctx, topic, topic) {
					if err == nil {
						got <- e
					}
				}
			}()
			// Events from before the subscription do not come: publish until one does.
			var e backend.Event
			for n := 1; e.Topic == ""; n++ {
				if err := tt.from.Publish(ctx, topic, n); err != nil {
					t.Fatal(err)
				}
				select {
				case e = <-got:
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
					t.Fatal("no event came")
				}
			}
			p, ok := tt.from.(backend.EventPublisher)
			if !ok {
				t.Fatal("no EventPublisher")
			}
			if err := p.PublishEvent(ctx, backend.Event{Topic: topic, Payload: []byte(`"last"`), Metadata: map[string]string{"k": "v"}}); err != nil {
				t.Fatal(err)
			}
			for string(e.Payload) != `"last"` {
				select {
				case e = <-got:
				case <-ctx.Done():
					t.Fatal("the last event did not come")
				}
			}
			if e.Metadata["k"] != "v" {
				t.Errorf("metadata is %v", e.Metadata)
			}
		})
	}
}

// Where discovery leads to a process without a bus, auto is content with its own.
func TestNoBusInTheOtherProcess(t *testing.T) {
	t.Parallel()
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	out := make(chan backend.Events, 1)
	target := `discovery: {endpoints: [{target: "` + empty.URL + `/api/{{pluginId}}", plugins: [events]}]}`
	backendtest.Start(t, target, worker("lonely", out))
	ev := <-out
	got := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(got)
		for _, err := range ev.Subscribe(ctx, "s", "t") {
			if err == nil {
				return
			}
		}
	}()
	for waiting := true; waiting; {
		if err := ev.Publish(ctx, "t", 1); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
			waiting = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()

	strict := make(chan backend.Events, 1)
	backendtest.Start(t, target+"\nevents: {useEventBus: always}", worker("strict", strict))
	if err := (<-strict).Publish(t.Context(), "t", 1); err == nil {
		t.Error("always is content without a bus")
	}
}
