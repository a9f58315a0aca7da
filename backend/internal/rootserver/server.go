// Package rootserver is the HTTP server of a backend: the listener, what every answer
// has in common, and the way to the plugins.
//
// A request passes, in this order (contract/backend.md section 5): security headers,
// CORS, compression, request log, rate limit, health routes, and then either the plugin
// that is mounted at /api/<id> or the index, which answers everything outside /api.
// Whatever finds no route is 404 with an empty body.
//
// New puts a Server together without touching the network, Mount adds plugins, Start
// listens. Plugins may start while requests already come in: each has a Gate that holds
// its requests back. To stop: SetStopping, Drain, then Close.
package rootserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// maxHeaderBytes bounds the headers of a request. Identity proxies send tokens of tens
// of kilobytes, and 64 KB must get through.
const maxHeaderBytes = 128 << 10

// Options are what a program decides, not its user.
type Options struct {
	// Log receives the request log; nil means slog.Default.
	Log *slog.Logger
	// Stacks adds error.stack to the answers that the server gives itself, for development.
	Stacks bool
	// Observe is called for every request, and returns the request to go on with and what
	// to call with the status of the answer, which may be nil. It may be nil itself.
	Observe func(r *http.Request) (*http.Request, func(status int))
	// RateStores are the stores that backend.rateLimit.store.type can name, besides memory.
	RateStores map[string]RateStoreFactory
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Server is the HTTP server of a backend. Its methods are safe for concurrent use.
type Server struct {
	cfg        Config
	log        *slog.Logger
	errors     httpx.ErrorWriter
	now        func() time.Time
	headers    *securityHeaders
	compressor *compressor
	health     *health
	observe    func(*http.Request) (*http.Request, func(int))
	rateStore  RateStore
	global     *limiter
	routes     *limiter // what the limits of Limit have in common; nil if there are none

	mountMu sync.Mutex
	mounts  atomic.Pointer[map[string]*mount]
	index   atomic.Pointer[http.Handler]
	// wellKnown is replaced as a whole, under mountMu.
	wellKnown map[string]http.Handler

	drain    *drainer
	http     *http.Server
	listener net.Listener
	served   chan error
}

// New returns a server that does not listen yet. Its error names the key that cannot be honoured.
func New(cfg Config, opts Options) (*Server, error) {
	s := &Server{cfg: cfg, log: opts.Log, now: opts.Now, observe: opts.Observe, headers: newSecurityHeaders(cfg), compressor: newCompressor(),
		health: newHealth(cfg.Health.Headers), drain: newDrainer(), served: make(chan error, 1)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = systemNow
	}
	s.errors = httpx.ErrorWriter{Log: s.log, Stacks: opts.Stacks}
	s.mounts.Store(&map[string]*mount{})
	if rl := cfg.RateLimit; !rl.Off {
		if !rl.Enabled {
			rl.LimitConfig.SetDefaults()
		}
		var err error
		if s.rateStore, err = openRateStore(rl.Store, opts.RateStores, s.now); err != nil {
			return nil, err
		}
		if s.routes, err = s.newLimiter(rl.LimitConfig, ""); err != nil {
			return nil, err
		}
		if rl.Enabled && rl.Global {
			if s.global, err = s.newLimiter(rl.LimitConfig, "*"); err != nil {
				return nil, err
			}
		}
	}
	sc := cfg.Server
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.ServeHTTP),
		ReadHeaderTimeout: time.Duration(sc.HeadersTimeout),
		IdleTimeout:       time.Duration(sc.KeepAliveTimeout),
		MaxHeaderBytes:    maxHeaderBytes,
		// "OPTIONS *" is a path like any other: there is no route for it.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // broken connections and handshakes
		BaseContext: func(net.Listener) context.Context {
			return httpx.ContextWithDrainer(context.Background(), s.drain)
		},
	}
	if sc.MaxRequestsPerSocket > 0 {
		s.http.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, new(atomic.Int64))
		}
	}
	return s, nil
}

// Start listens and serves. It returns as soon as the address is taken.
func (s *Server) Start(ctx context.Context) error {
	if s.cfg.HTTPS.Enabled {
		certs, err := newCertificates(s.cfg.HTTPS, s.cfg.BaseURL, s.now())
		if err != nil {
			return err
		}
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen.String())
	if err != nil {
		var cause *os.SyscallError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return config.AtWithFix("backend.listen", fmt.Errorf("listen on %s: %w", s.cfg.Listen, err),
			"stop what listens there, or set backend.listen to another address; APP_CONFIG_backend_listen=8080 does so for one run")
	}
	s.listener = l
	if d := time.Duration(s.cfg.Server.Timeout); d > 0 {
		l = &patientListener{l, d}
	}
	go func() {
		var err error
		if s.cfg.HTTPS.Enabled {
			err = s.http.ServeTLS(l, "", "")
		} else {
			err = s.http.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			s.served <- err
		}
		close(s.served)
	}()
	return nil
}

// Addr returns the address that the server listens on; nil before Start.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Failed delivers at most one error, if the server stops without having been told to,
// and is closed when it has stopped.
func (s *Server) Failed() <-chan error { return s.served }

// ServeHTTP answers one request. It is exported for calls between plugins of one
// process, which need no socket.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.drain.begin()
	defer s.drain.end()
	s.headers.set(w.Header())
	if c, ok := s.cfg.TrustProxy.client(r); ok {
		r = r.WithContext(httpx.ContextWithClient(r.Context(), c))
	}
	if !s.withinConnection(w, r) {
		return
	}
	if s.cfg.CORS.apply(w, r) {
		return
	}
	a := &answer{ResponseWriter: w, compressor: s.compressor}
	if s.observe != nil {
		var seen func(status int)
		if r, seen = s.observe(r); seen != nil {
			defer func() { seen(a.status) }()
		}
	}
	a.r = r
	defer s.end(a, r)
	done, ok := s.global.check(a, r)
	if !ok {
		return
	}
	defer func() { done(a.status) }()
	if s.health.serve(a, r) {
		return
	}
	s.limitReadTime(w, r)
	s.route(a, r)
}

// end finishes an answer, and turns a panic that nobody has caught into one.
func (s *Server) end(a *answer, r *http.Request) {
	if p := recover(); p != nil {
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) || a.status != 0 {
			if !ok || !errors.Is(err, http.ErrAbortHandler) {
				s.log.ErrorContext(r.Context(), "handler panicked after its answer had begun", "error", httpx.Panicked(p))
			}
			a.release()
			s.logRequest(r, a)
			panic(http.ErrAbortHandler)
		}
		s.errors.Write(a, r, httpx.Panicked(p))
	}
	a.finish()
	s.logRequest(r, a)
}

// Drain stops accepting connections and waits for the requests in flight, except those
// that have declared themselves long-lived (httpx.LongLived): they are told, and ended
// by their plugins. It returns ctx's error if requests are left when ctx is done.
func (s *Server) Drain(ctx context.Context) error {
	s.drain.start()
	down := make(chan error, 1)
	go func() { down <- s.http.Shutdown(ctx) }()
	select {
	case err := <-down:
		return err
	case <-s.drain.quiet():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d requests are still in flight: %w", s.drain.ordinary(), ctx.Err())
	}
}

// Close ends what Drain has left: it closes every connection.
func (s *Server) Close() error { return s.http.Close() }
