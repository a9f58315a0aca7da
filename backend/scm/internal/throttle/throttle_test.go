package throttle

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a host that answers with one step after the other, the last one
// again and again.
type script struct {
	mu    sync.Mutex
	steps []func(*http.Request) *http.Response
	asked []time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := s.steps[min(len(s.asked), len(s.steps)-1)]
	s.asked = append(s.asked, time.Now())
	return step(r), nil
}

func status(code int, body string, header ...string) func(*http.Request) *http.Response {
	return func(r *http.Request) *http.Response {
		h := http.Header{}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}
	}
}

func get(t *testing.T, rt http.RoundTripper, method string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://api.example.com/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		limits Limits
		steps  func(now time.Time) []func(*http.Request) *http.Response
		status int
		asked  int
		after  time.Duration // at least; at most a second more
	}{
		{name: "a short Retry-After is waited for", steps: func(time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(429, "", "Retry-After", "5"), status(200, "ok")}
		}, status: 200, asked: 2, after: 5 * time.Second},
		{name: "a Retry-After that is a date", steps: func(now time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(429, "", "Retry-After", now.Add(7*time.Second).UTC().Format(http.TimeFormat)), status(200, "ok")}
		}, status: 200, asked: 2, after: 6 * time.Second},
		{name: "a near reset of the primary limit is waited for", steps: func(now time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(now.Add(10*time.Second).Unix())), status(200, "ok")}
		}, status: 200, asked: 2, after: 10 * time.Second},
		{name: "a far reset is not", steps: func(now time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(now.Add(time.Hour).Unix()))}
		}, status: 403, asked: 1},
		{name: "a secondary limit that only its text tells is a minute", limits: Limits{MaxWait: 2 * time.Minute}, steps: func(time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(403, `{"message":"You have exceeded a secondary rate limit"}`, "Content-Type", "application/json"), status(200, "ok")}
		}, status: 200, asked: 2, after: time.Minute},
		{name: "another 403 is an answer", steps: func(time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(403, `{"message":"Resource not accessible"}`, "Content-Type", "application/json")}
		}, status: 403, asked: 1},
		{name: "at most two repetitions", steps: func(time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(503, "")}
		}, status: 503, asked: 3, after: 1500 * time.Millisecond},
		{name: "a POST is not repeated", method: "POST", steps: func(time.Time) []func(*http.Request) *http.Response {
			return []func(*http.Request) *http.Response{status(502, ""), status(200, "ok")}
		}, status: 502, asked: 1},
		{name: "configured statuses are repeated", limits: Limits{RetryStatus: []int{500}, Retries: 4}, steps: func(time.Time) []func(*http.Request) *http.Response {
			s := status(500, "")
			return []func(*http.Request) *http.Response{s, s, s, s, status(200, "ok")}
		}, status: 200, asked: 5, after: 7 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				host := &script{steps: tt.steps(start)}
				method := tt.method
				if method == "" {
					method = "GET"
				}
				got, _ := get(t, NewBudget(tt.limits).Transport(host), method)
				took := time.Since(start)
				if got != tt.status || len(host.asked) != tt.asked || took < tt.after || took > tt.after*2+2*time.Second {
					t.Errorf("status %d after %s and %d requests, want %d after %s and %d", got, took, len(host.asked), tt.status, tt.after, tt.asked)
				}
			})
		})
	}
}

func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		host := &script{steps: []func(*http.Request) *http.Response{
			status(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(start.Add(10*time.Minute).Unix())), status(200, "ok"),
		}}
		budget := NewBudget(Limits{})
		one, other := budget.Transport(host), budget.Transport(host)
		get(t, one, "GET")
		if got, body := get(t, other, "GET"); got != 429 || !strings.Contains(body, "retry after 60") || len(host.asked) != 1 {
			t.Errorf("while the limit lasts: %d %s, %d requests", got, body, len(host.asked))
		}
		time.Sleep(10*time.Minute + 2*time.Second)
		if got, _ := get(t, other, "GET"); got != 200 {
			t.Errorf("after the limit: %d", got)
		}
		time.Sleep(time.Minute)
		if !budget.Idle() {
			t.Error("a budget that nobody uses is not idle")
		}
		// A request whose context ends before the limit does is not made to wait.
		budget.pause(20 * time.Second)
		if budget.Idle() {
			t.Error("a paused budget is idle")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/x", nil)
		before := time.Now()
		if response, err := other.RoundTrip(r); err != nil || response.StatusCode != 429 || time.Since(before) != 0 {
			t.Errorf("short context: %v, %v after %s", response, err, time.Since(before))
		}
	})
}

func TestBudgetSpreadsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &script{steps: []func(*http.Request) *http.Response{status(200, "ok")}}
		rt := NewBudget(Limits{PerSecond: 10, Burst: 5}).Transport(host)
		start := time.Now()
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() { get(t, rt, "GET") })
		}
		wg.Wait()
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("25 requests with a burst of 5 at 10 a second took %s", took)
		}
	})
}

func TestCache(t *testing.T) {
	t.Parallel()
	var conditional int
	host := &script{steps: []func(*http.Request) *http.Response{func(r *http.Request) *http.Response {
		if r.Header.Get("If-None-Match") == `"1"` {
			conditional++
			return status(304, "", "ETag", `"1"`, "X-Ratelimit-Remaining", "42")(r)
		}
		return status(200, "body", "ETag", `"1"`, "Content-Type", "text/plain")(r)
	}}}
	cache := NewCache(1<<20, 1<<10)
	mine, yours := cache.Transport("mine", host), cache.Transport("yours", host)
	for range 3 {
		if code, body := get(t, mine, "GET"); code != 200 || body != "body" {
			t.Errorf("%d %q", code, body)
		}
	}
	if conditional != 2 {
		t.Errorf("%d conditional requests of 3, want 2", conditional)
	}
	get(t, yours, "GET")
	if conditional != 2 {
		t.Error("an answer of another credential was used")
	}
	if get(t, mine, "GET", "Accept", "application/json"); conditional != 2 {
		t.Error("an answer in another form was used")
	}
	if code, _ := get(t, mine, "GET", "If-None-Match", `"1"`); code != 304 {
		t.Errorf("a caller's own condition: %d", code)
	}
	big := NewCache(1<<20, 2).Transport("mine", host)
	before := conditional
	get(t, big, "GET")
	if get(t, big, "GET"); conditional != before {
		t.Error("a body above the limit was kept")
	}
}

func TestCacheForgetsTheOldest(t *testing.T) {
	t.Parallel()
	c := NewCache(3000, 1000)
	for i := range 5 {
		c.put(cached{key: fmt.Sprint(i), body: make([]byte, 200)})
	}
	if c.bytes > 3000 || c.recent.Len() != 2 || len(c.entries) != 2 {
		t.Errorf("%d bytes in %d entries", c.bytes, c.recent.Len())
	}
	if _, ok := c.get("4"); !ok {
		t.Error("the newest entry is gone")
	}
}
