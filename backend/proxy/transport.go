package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of connections to targets.
const (
	maxAnswerHeaders = 128 << 10 // bytes; as many as requests may have
	idleConnections  = 64        // kept open for each target
	idleConnection   = 60 * time.Second
)

// A transport is the connections of the endpoints that want the same.
type transport struct {
	*http.Transport
	wants wants
}

// wants is what connections differ in.
type wants struct {
	connect, headers time.Duration
	secure           bool
}

// transports makes transports, and keeps those that are in use. It is safe for concurrent use.
type transports struct {
	mu   sync.Mutex
	have map[wants]*transport
}

func newTransports() *transports { return &transports{have: map[wants]*transport{}} }

func (t *transports) of(e Endpoint) *transport {
	w := wants{e.Timeouts.Connect.Std(), e.Timeouts.Headers.Std(), e.Secure}
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, ok := t.have[w]; ok {
		return have
	}
	made := &transport{newTransport(w), w}
	t.have[w] = made
	return made
}

func newTransport(w wants) *http.Transport {
	dialer := &net.Dialer{Timeout: w.connect, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    w.connect,
		ResponseHeaderTimeout:  w.headers,
		MaxResponseHeaderBytes: maxAnswerHeaders,
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleConnection,
		DisableCompression:     true, // bodies pass as they are
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !w.secure},
	}
	return t
}

// keep closes the idle connections of transports that none of the routes uses. Requests in
// flight go on.
func (t *transports) keep(routes []*route) {
	used := map[*transport]bool{}
	for _, r := range routes {
		used[r.transport] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for w, have := range t.have {
		if !used[have] {
			delete(t.have, w)
			have.CloseIdleConnections()
		}
	}
}

// roundTrip sends a request. It is never tried again by us.
func (r *route) roundTrip(ctx context.Context, out *http.Request) (*http.Response, error) {
	return r.transport.RoundTrip(out.WithContext(ctx))
}
