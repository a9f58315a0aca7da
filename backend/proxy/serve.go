package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// A gateway answers the requests below /api/proxy.
type gateway struct {
	auth  backend.Auth
	log   *slog.Logger
	watch *watch
	// table is replaced as a whole when the configuration changes.
	table atomic.Pointer[table]
	// stopped is closed when the plugin stops: streams without an end of their own are cut.
	stopped chan struct{}
	streams sync.WaitGroup
}

// stop ends the streams, and waits for them until ctx is done at the latest.
func (g *gateway) stop(ctx context.Context) error {
	close(g.stopped)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.streams.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("streams have not ended: %w", ctx.Err())
	}
}

// serve finds the endpoint, and asks in this order: who calls, where the path leads, which
// method it is. Whoever may not call the longest endpoint that matches learns nothing else.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.EscapedPath()
	rt, certain := g.table.Load().lookup(path)
	var token string
	if websocket(r) {
		r, token = withProtocolToken(r)
	}
	if rt == nil || rt.endpoint.Credentials != CredentialsUnauthenticated {
		caller, err := g.auth.Credentials(r)
		if err != nil {
			return err
		}
		if token != "" {
			r = httpx.WithCaller(r, caller) // the host has not seen this token
		}
	}
	if rt == nil {
		return httpx.Empty(w, http.StatusNotFound)
	}
	var out *http.Request
	below := certain && sound(path)
	if below {
		out, below = rt.request(r, path)
	}
	if !below {
		g.watch.refused(r, rt)
		return httpx.Text(w, http.StatusBadRequest, "Bad Request")
	}
	if !rt.allows(r.Method) {
		return httpx.Empty(w, http.StatusNotFound)
	}
	f := &forward{g: g, route: rt, w: w, in: r, out: out, watched: g.watch.begin(r, rt, out)}
	defer f.end()
	if websocket(r) && rt.endpoint.WS {
		return f.upgrade(token)
	}
	return f.exchange()
}

// websocket reports whether r asks for a WebSocket.
func websocket(r *http.Request) bool {
	return r.Method == http.MethodGet && named(r.Header["Connection"], "Upgrade") && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// protocolToken is what a browser, which cannot give a WebSocket headers, puts before its token
// in the list of sub-protocols.
const protocolToken = "callboard.token."

// withProtocolToken takes the caller's token out of the sub-protocols that r offers, and puts it
// where it belongs. A token in the header counts more.
func withProtocolToken(r *http.Request) (*http.Request, string) {
	var offered []string
	var token string
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			if after, ok := strings.CutPrefix(p, protocolToken); ok {
				token = after
			} else if p != "" {
				offered = append(offered, p)
			}
		}
	}
	if token == "" {
		return r, ""
	}
	r = r.Clone(r.Context())
	r.Header.Del("Sec-Websocket-Protocol")
	if len(offered) > 0 {
		r.Header.Set("Sec-Websocket-Protocol", strings.Join(offered, ", "))
	}
	if r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, token
}
