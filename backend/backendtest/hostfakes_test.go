package backendtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// A unit test runs the tasks of what it tests when it likes.
func ExampleScheduler() {
	var s backendtest.Scheduler
	err := s.Schedule("prices", config.Schedule{Timeout: config.Duration(time.Minute)}, func(ctx context.Context) error {
		_, bounded := ctx.Deadline()
		fmt.Println("read prices, in bounded time:", bounded)
		return errors.New("no price list")
	})
	fmt.Println(err, len(s.Tasks()))
	fmt.Println(s.Trigger(context.Background(), "prices"))
	fmt.Println(s.Trigger(context.Background(), "rates"))
	// Output:
	// <nil> 1
	// read prices, in bounded time: true
	// no price list
	// Task rates does not exist
}

func TestFakesOfTheHost(t *testing.T) {
	t.Parallel()
	a := backendtest.Auth("costs")
	r := httptest.NewRequestWithContext(httpx.ContextWithCaller(t.Context(), alice), http.MethodGet, "/", nil)
	if c, err := a.Credentials(r); err != nil || c.String() != alice.String() {
		t.Errorf("caller %v, %v", c, err)
	}
	if token, err := a.TokenFor(t.Context(), a.Own(), "catalog"); err != nil || token != "plugin:costs as costs for catalog" {
		t.Errorf("token %q, %v", token, err)
	}
	if _, err := a.TokenFor(t.Context(), principal.Nobody(), "catalog"); err == nil {
		t.Error("nobody has a token")
	}

	where := backendtest.Discovery{"search": "https://search.example.com/api/search"}
	system, err := backendtest.Installed{"search": {"b", "a"}, "catalog": nil}.System(where).Plugins()
	want := "[{catalog http://localhost/api/catalog http://localhost/api/catalog} {search https://search.example.com/api/search https://search.example.com/api/search}]"
	if err != nil || fmt.Sprint(system) != want {
		t.Errorf("system %v, %v", system, err)
	}
	if got := fmt.Sprint(backendtest.Installed{"search": {"b", "a"}, "catalog": nil}.Plugins()); got != "[{catalog []} {search [a b]}]" {
		t.Errorf("installed %s", got)
	}

	g := backendtest.Grants{"user:default/alice": {"costs.read"}}
	for permission, want := range map[string]bool{"costs.read": true, "costs.write": false} {
		if got, err := g.Allowed(t.Context(), alice, permission); err != nil || got != want {
			t.Errorf("%s: %v, %v", permission, got, err)
		}
	}

	busy := errors.New("busy")
	if h := (backendtest.Health{Busy: busy}); h.Live(t.Context()) != nil || !errors.Is(h.Ready(t.Context()), busy) {
		t.Error("a busy process is alive, and not ready")
	}
}

// TestRates holds that counters begin anew with their window.
func TestRates(t *testing.T) {
	t.Parallel()
	var r backendtest.Rates
	count := func() int {
		n, _, err := r.Hit(t.Context(), "a", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	count()
	if n := count(); n != 2 {
		t.Errorf("second request: %d", n)
	}
	if err := r.Undo(t.Context(), "a"); err != nil || count() != 2 {
		t.Errorf("taking one back: %v", err)
	}
	r.Clock.Advance(time.Minute)
	if n := count(); n != 1 {
		t.Errorf("in the next window: %d", n)
	}
	var _ backend.RateStore = &r
}
