package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// hooked is a plugin with a start hook and one before it, whose stop is reported.
func hooked(start func(context.Context) error, stopped func()) backend.Feature {
	return backend.NewPlugin("costs", fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StopHook(stopped))
		lc.Append(fx.StartHook(start))
	}))
}

// runHooked runs a backend until it ends, and returns what it printed.
func runHooked(t *testing.T, b *backend.Backend, signals <-chan os.Signal) (code int, out string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app-config.yaml")
	if err := os.WriteFile(file, []byte(base), 0o644); err != nil {
		t.Fatal(err)
	}
	log := &logtest.Buffer{}
	ended := make(chan int, 1)
	go func() { ended <- b.RunMainTo(log, []string{"--config", file}, signals) }()
	select {
	case code = <-ended:
	case <-time.After(time.Minute):
		t.Fatalf("still running:\n%s", log)
	}
	return code, log.String()
}

// TestStartHooksThatTakeTooLong holds that no hook can keep a process from ending.
func TestStartHooksThatTakeTooLong(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(context.Context) error{
		"ignores its context": func(context.Context) error { select {} },
		"returns its error":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stopped := make(chan struct{})
			b := backend.New(backend.WithStartTimeout(50 * time.Millisecond))
			b.Add(hooked(start, func() { close(stopped) }))
			code, out := runHooked(t, b, make(chan os.Signal))
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, want := range []string{"did not start within 50ms: the start hook added at slow_test.go:27: ", "fix: ", "backend.WithStartTimeout"} {
				if !strings.Contains(out, want) {
					t.Errorf("the output does not say %q:\n%s", want, out)
				}
			}
			select {
			case <-stopped:
			default:
				t.Error("what had started before was not stopped")
			}
		})
		t.Run(name+", and a signal comes", func(t *testing.T) {
			t.Parallel()
			running := make(chan struct{})
			signals := make(chan os.Signal, 2)
			b := backend.New()
			b.Add(hooked(func(ctx context.Context) error { close(running); return start(ctx) }, func() {}))
			go func() { <-running; signals <- syscall.SIGINT }()
			code, out := runHooked(t, b, signals)
			if code != 0 {
				t.Errorf("exit code %d", code)
			}
			if want := "stopped before it had started"; !strings.Contains(out, want) {
				t.Errorf("the output does not say %q:\n%s", want, out)
			}
		})
	}
}

// TestStopHooksThatTakeTooLong holds that a stop ends when its context does.
func TestStopHooksThatTakeTooLong(t *testing.T) {
	t.Parallel()
	cfg := parsed(t, base)
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(hooked(func(context.Context) error { return nil }, func() { select {} }))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := b.Stop(ctx)
	if err == nil || !strings.Contains(err.Error(), "the stop hook of what was added at slow_test.go:26: it is still running") {
		t.Errorf("got %v", err)
	}
}

// TestProgressOfASlowStart holds that the log says what a start waits for.
func TestProgressOfASlowStart(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 1)
	b := backend.New()
	b.Add(hooked(func(ctx context.Context) error {
		time.Sleep(1500 * time.Millisecond)
		signals <- syscall.SIGTERM
		return nil
	}, func() {}))
	code, out := runHooked(t, b, signals)
	if code != 0 || strings.Count(out, "plugin is still starting") != 1 || !strings.Contains(out, "the start hook added at slow_test.go:27") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestAddressInUse holds that the key of the address is named, and what to do.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := parsed(t, strings.Replace(base, "listen: 127.0.0.1:0", "listen: "+l.Addr().String(), 1))
	err = backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler)).Start(t.Context())
	want := fmt.Sprintf("backend.listen: listen on %s: address already in use (app-config.yaml:4:11)\n     fix: ", l.Addr())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to say %q", err, want)
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error("the cause is lost")
	}
}

func parsed(t *testing.T, yaml string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
