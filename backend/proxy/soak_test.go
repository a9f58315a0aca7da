package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
)

// TestSoak: many clients at once, some of which leave in the middle, while the configuration
// changes all the time: every whole answer is the right one, and nothing is left behind.
func TestSoak(t *testing.T) {
	t.Parallel()
	const clients, each = 12, 40
	var inFlight atomic.Int64
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		inFlight.Add(1)
		defer inFlight.Add(-1)
		sum := crc32.NewIEEE()
		if _, err := io.Copy(sum, r.Body); err != nil {
			return
		}
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("Content-Language", fmt.Sprint(sum.Sum32()))
		if n%2 == 0 {
			w.Header().Set("Content-Length", fmt.Sprint(n))
		}
		_, _ = io.Copy(w, io.LimitReader(pattern{}, int64(n)))
	})
	to.Config.ErrorLog = nil
	var watcher *config.Watcher
	endpoints := "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated}"
	b := start(t, to, endpoints, backend.NewModule("proxy", "test", fx.Invoke(func(w *config.Watcher) { watcher = w })))

	ctx, stop := context.WithCancel(t.Context())
	var changing, all sync.WaitGroup
	changing.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			next, err := backendtest.Config(t, section(to, fmt.Sprintf("%s\n/y: {target: TARGET, timeouts: {connect: %d}}", endpoints, n+1000)))
			if err != nil {
				t.Error(err)
				return
			}
			watcher.Replace(next)
			time.Sleep(time.Millisecond)
		}
	})
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	c := &http.Client{Transport: transport}
	for range clients {
		all.Go(func() {
			for range each {
				if err := once(ctx, c, b.URL+"/api/proxy/x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	changing.Wait()
	transport.CloseIdleConnections()
	for deadline := time.Now().Add(30 * time.Second); inFlight.Load() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are still at the target", inFlight.Load())
		}
		time.Sleep(time.Millisecond)
	}
}

// once sends a request of some size for an answer of some size, and leaves in the middle of one
// in four.
func once(ctx context.Context, c *http.Client, url string) error {
	n, up := rand.IntN(200<<10), rand.IntN(100<<10)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", url+"?n="+strconv.Itoa(n), io.LimitReader(pattern{}, int64(up)))
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	sum := crc32.NewIEEE()
	_, _ = io.Copy(sum, io.LimitReader(pattern{}, int64(up)))
	if got := res.Header.Get("Content-Language"); res.StatusCode != 200 || got != fmt.Sprint(sum.Sum32()) {
		return fmt.Errorf("%d: the target got a body with sum %s, want %d", res.StatusCode, got, sum.Sum32())
	}
	if rand.IntN(4) == 0 {
		_, _ = io.CopyN(io.Discard, res.Body, int64(n/2))
		return nil // and leaves
	}
	got, want := crc32.NewIEEE(), crc32.NewIEEE()
	if _, err := io.Copy(got, res.Body); err != nil {
		return err
	}
	if _, err := io.Copy(want, io.LimitReader(pattern{}, int64(n))); err != nil {
		return err
	}
	if got.Sum32() != want.Sum32() {
		return errors.New("the answer is not the one that was sent")
	}
	return nil
}
