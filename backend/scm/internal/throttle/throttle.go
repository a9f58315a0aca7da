// Package throttle keeps the users of one credential within what its host
// permits.
//
// A [Budget] belongs to one host and one credential. Its transport spreads
// requests with a token bucket, limits how many are under way, waits when the
// host says so (Retry-After, x-ratelimit-reset, secondary limits) and repeats
// idempotent requests that were turned away. A [Cache] remembers answers with an
// ETag and asks again conditionally, which many hosts do not count.
package throttle

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits describe a budget. Zero fields take the values of defaults.
type Limits struct {
	PerSecond   float64       // sustained rate of requests
	Burst       int           // how many may go at once after a pause
	Concurrent  int           // requests without an answer
	MaxWait     time.Duration // longest wait for the host's limit; beyond it the caller gets the 429
	Retries     int           // repetitions of one idempotent request; -1 for none
	RetryStatus []int         // besides 429, limited 403s, 502, 503 and 504
}

// defaults fit GitHub, whose secondary limits are 900 points a minute and 100
// concurrent requests, with room for other users of the same credential.
func defaults() Limits {
	return Limits{PerSecond: 12, Burst: 60, Concurrent: 32, MaxWait: 30 * time.Second, Retries: 2}
}

func (l Limits) orDefault() Limits {
	d := defaults()
	if l.PerSecond <= 0 {
		l.PerSecond = d.PerSecond
	}
	if l.Burst <= 0 {
		l.Burst = d.Burst
	}
	if l.Concurrent <= 0 {
		l.Concurrent = d.Concurrent
	}
	if l.MaxWait <= 0 {
		l.MaxWait = d.MaxWait
	}
	if l.Retries == 0 {
		l.Retries = d.Retries
	}
	return l
}

// A Budget is shared by everybody who uses one credential on one host. It is
// safe for concurrent use and starts no goroutines.
type Budget struct {
	limits  Limits
	bucket  *rate.Limiter
	running chan struct{}

	mu     sync.Mutex
	paused time.Time // no request before this moment
}

// NewBudget returns a full budget.
func NewBudget(l Limits) *Budget {
	l = l.orDefault()
	return &Budget{
		limits:  l,
		bucket:  rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst),
		running: make(chan struct{}, l.Concurrent),
	}
}

// Transport sends requests through base within the budget.
func (b *Budget) Transport(base http.RoundTripper) http.RoundTripper {
	return &transport{budget: b, base: base}
}

type transport struct {
	budget *Budget
	base   http.RoundTripper
}

// RoundTrip sends the request when the budget permits. If the host's limit lasts
// longer than MaxWait, or than the request's context, it answers 429 by itself.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	b := t.budget
	for attempt := 0; ; attempt++ {
		if wait := b.wait(); wait > 0 {
			if !b.affordable(req.Context(), wait) {
				return turnedAway(req, wait), nil
			}
			if err := sleep(req.Context(), wait); err != nil {
				return nil, err
			}
		}
		response, err := t.send(req)
		if err != nil {
			if attempt < b.limits.Retries && repeatable(req) && req.Context().Err() == nil && isTransient(err) {
				if err := sleep(req.Context(), backoff(attempt)); err != nil {
					return nil, err
				}
				continue
			}
			return nil, err
		}
		pause, retry := b.observe(response, attempt)
		if !retry || attempt >= b.limits.Retries || !repeatable(req) || !b.affordable(req.Context(), pause) {
			return response, nil
		}
		_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
		response.Body.Close()
		if err := sleep(req.Context(), pause); err != nil {
			return nil, err
		}
	}
}

func (t *transport) send(req *http.Request) (*http.Response, error) {
	b := t.budget
	if err := b.bucket.Wait(req.Context()); err != nil {
		return nil, err
	}
	select {
	case b.running <- struct{}{}:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	defer func() { <-b.running }()
	return t.base.RoundTrip(req)
}

// Idle reports whether the budget is as good as a new one.
func (b *Budget) Idle() bool {
	return b.wait() <= 0 && len(b.running) == 0 && b.bucket.Tokens() >= float64(b.limits.Burst)
}

// wait is how long the host asked everybody to wait.
func (b *Budget) wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Until(b.paused)
}

func (b *Budget) pause(d time.Duration) {
	until := time.Now().Add(d)
	b.mu.Lock()
	defer b.mu.Unlock()
	if until.After(b.paused) {
		b.paused = until
	}
}

// affordable reports whether waiting d makes sense for a request.
func (b *Budget) affordable(ctx context.Context, d time.Duration) bool {
	if d > b.limits.MaxWait {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > d
}

// observe learns from an answer how long to pause, for everybody if it is the
// host's limit, and whether the request is worth repeating.
func (b *Budget) observe(r *http.Response, attempt int) (time.Duration, bool) {
	limited := r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusForbidden && (exhausted(r) || r.Header.Get("Retry-After") != "" || isSecondary(r))
	if limited {
		d, told := toldPause(r)
		if !told {
			d = backoff(attempt)
			if r.StatusCode == http.StatusForbidden {
				d = time.Minute // GitHub's advice for secondary limits without a header
			}
		}
		b.pause(d)
		return d, true
	}
	if exhausted(r) {
		if d, told := toldPause(r); told {
			b.pause(d)
		}
	}
	switch r.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		if !slices.Contains(b.limits.RetryStatus, r.StatusCode) {
			return 0, false
		}
	}
	if d, told := toldPause(r); told {
		return d, true
	}
	return backoff(attempt), true
}

func exhausted(r *http.Response) bool {
	return r.Header.Get("X-Ratelimit-Remaining") == "0" || r.Header.Get("Ratelimit-Remaining") == "0"
}

// toldPause reads Retry-After (seconds or a date) and the reset headers of
// GitHub, Gitea and GitLab (seconds since 1970).
func toldPause(r *http.Response) (time.Duration, bool) {
	if v := r.Header.Get("Retry-After"); v != "" {
		if seconds, err := strconv.ParseInt(v, 10, 32); err == nil && seconds >= 0 {
			return time.Duration(seconds) * time.Second, true
		}
		if at, err := http.ParseTime(v); err == nil {
			return max(time.Until(at), 0), true
		}
	}
	if !exhausted(r) {
		return 0, false
	}
	for _, name := range []string{"X-Ratelimit-Reset", "Ratelimit-Reset"} {
		if seconds, err := strconv.ParseInt(r.Header.Get(name), 10, 64); err == nil && seconds > 0 {
			return max(time.Until(time.Unix(seconds, 0)), 0) + time.Second, true
		}
	}
	return 0, false
}

// isSecondary recognises GitHub's secondary limit, which only its text tells. It
// puts back what it read.
func isSecondary(r *http.Response) bool {
	if !strings.Contains(r.Header.Get("Content-Type"), "json") {
		return false
	}
	buffered := bufio.NewReaderSize(r.Body, 2048)
	start, _ := buffered.Peek(2048)
	r.Body = struct {
		io.Reader
		io.Closer
	}{buffered, r.Body}
	text := strings.ToLower(string(start))
	return strings.Contains(text, "secondary rate limit") || strings.Contains(text, "abuse detection")
}

func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return req.Body == nil || req.Body == http.NoBody
	}
	return false
}

// isTransient keeps refusals of our own, which carry an HTTP status, from being
// tried again.
func isTransient(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout() || strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "EOF")
}

// backoff doubles from half a second, with jitter so that replicas part ways.
func backoff(attempt int) time.Duration {
	base := 500 * time.Millisecond << min(attempt, 5)
	return base + rand.N(base/2)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turnedAway is the answer that the host would give, without asking it.
func turnedAway(req *http.Request, wait time.Duration) *http.Response {
	if req.Body != nil {
		req.Body.Close()
	}
	seconds := strconv.Itoa(int(wait/time.Second) + 1)
	return &http.Response{
		Status: "429 Too Many Requests", StatusCode: http.StatusTooManyRequests,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type":          {"application/json"},
			"Retry-After":           {seconds},
			"X-Ratelimit-Remaining": {"0"},
			"X-Ratelimit-Reset":     {strconv.FormatInt(time.Now().Add(wait).Unix(), 10)},
		},
		Body:    io.NopCloser(strings.NewReader(`{"message":"rate limit of this credential, retry after ` + seconds + ` s"}`)),
		Request: req,
	}
}
