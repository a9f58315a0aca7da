package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// address reads 9464, "9464", ":9464" and "host:9464".
func address(v any) (string, error) {
	text := ""
	switch v := v.(type) {
	case string:
		text = v
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return "", errAddress
	}
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", errAddress
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", errAddress
	}
	return text, nil
}

// IsZero reports whether there is no address.
func (a Address) IsZero() bool { return a.text == "" }

// A Listener serves /metrics, and nothing else, at an address of its own.
type Listener struct {
	http *http.Server
	addr net.Addr
	done chan struct{}
}

// Listen serves scrape at /metrics until Close.
func Listen(ctx context.Context, a Address, scrape http.Handler, log *slog.Logger) (*Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.text)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a.text, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", scrape)
	s := &Listener{addr: l.Addr(), done: make(chan struct{}), http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, WriteTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	return s, nil
}

// Addr returns where it listens.
func (s *Listener) Addr() net.Addr { return s.addr }

// Close ends it, and the scrapes in flight.
func (s *Listener) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}
