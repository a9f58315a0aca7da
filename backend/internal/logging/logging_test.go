package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/internal/logging"
)

// TestLevels holds which entries get through, by level, override and environment.
func TestLevels(t *testing.T) {
	t.Parallel()
	overrides := []logging.Override{
		{Matchers: map[string]any{"plugin": "catalog", "task": []any{"refresh", "/^orphan/"}}, Level: "debug"},
		{Matchers: map[string]any{"plugin": "/^cat/"}, Level: "error"},
	}
	for _, tt := range []struct {
		name   string
		config logging.Config
		env    string
		with   []any
		level  slog.Level
		args   []any
		want   bool
	}{
		{name: "info is the default", level: slog.LevelInfo, want: true},
		{name: "debug is not", level: slog.LevelDebug},
		{name: "the configured level", config: logging.Config{Level: "warn"}, level: slog.LevelInfo},
		{name: "LOG_LEVEL wins over it", config: logging.Config{Level: "warn"}, env: "debug", level: slog.LevelDebug, want: true},
		{name: "an override by a field of the logger", config: logging.Config{Overrides: overrides}, with: []any{"plugin", "catalog"}, level: slog.LevelWarn},
		{name: "the first override that matches counts", config: logging.Config{Overrides: overrides}, with: []any{"plugin", "catalog"}, args: []any{"task", "refresh"}, level: slog.LevelDebug, want: true},
		{name: "a list of values and patterns", config: logging.Config{Overrides: overrides}, with: []any{"plugin", "catalog"}, args: []any{"task", "orphan_cleanup"}, level: slog.LevelDebug, want: true},
		{name: "others are not touched", config: logging.Config{Overrides: overrides}, with: []any{"plugin", "auth"}, level: slog.LevelInfo, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			h, err := logging.New(logging.JSON(&out), tt.config, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			slog.New(h).With(tt.with...).Log(t.Context(), tt.level, "hello", tt.args...)
			if got := out.Len() > 0; got != tt.want {
				t.Errorf("written: %v, want %v: %s", got, tt.want, out.String())
			}
		})
	}
}

// TestSet holds that levels change for loggers that exist, and stay after a mistake.
func TestSet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h, err := logging.New(logging.JSON(&out), logging.Config{}, "")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h).With("plugin", "catalog")
	log.Debug("no")
	if err := h.Set(logging.Config{Level: "debug"}, ""); err != nil {
		t.Fatal(err)
	}
	log.Debug("yes")
	if err := h.Set(logging.Config{Level: "loud"}, ""); err == nil {
		t.Error("an unknown level is accepted")
	}
	log.Debug("still")
	if got := out.String(); strings.Contains(got, `"no"`) || !strings.Contains(got, `"yes"`) || !strings.Contains(got, `"still"`) {
		t.Errorf("log: %s", got)
	}
}

// TestJSON holds the members of a line in production.
func TestJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(logging.JSON(&out)).With("plugin", "catalog")
	log.Warn("slow", "took", "3s", slog.Group("entity", "level", "x"), "error", errors.New("boom"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"level": "warn", "message": "slow", "service": "backstage", "plugin": "catalog", "took": "3s", "error": "boom"} {
		if line[k] != want {
			t.Errorf("%s is %v, want %v", k, line[k], want)
		}
	}
	if _, ok := line["timestamp"]; !ok {
		t.Error("no timestamp")
	}
	if g, _ := line["entity"].(map[string]any); g["level"] != "x" {
		t.Errorf("a member of a group is renamed: %v", line["entity"])
	}
}

// TestPretty holds lines for people, and that no value can forge one.
func TestPretty(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(logging.Pretty(&out, false)).With("plugin", "catalog", "provider", "github")
	log.WithGroup("http").Info("read\x1b[2J", "status", 200, "text", "two words\nand a line")
	_, got, _ := strings.Cut(out.String(), "Z ")
	want := "catalog info read\uFFFD[2J provider=github http.status=200 http.text=\"two words\\nand a line\"\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	out.Reset()
	slog.New(logging.Pretty(&out, true)).Error("red")
	if !strings.Contains(out.String(), "\x1b[31merror\x1b[0m") {
		t.Errorf("no colour: %q", out.String())
	}
}

// TestRedact holds that a handler of the program's own gets no secret in any form.
func TestRedact(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	hide := func(s string) string { return strings.ReplaceAll(s, "s3cret", "***") }
	log := slog.New(logging.Redact(slog.NewTextHandler(&out, nil), hide)).With("with", "s3cret").WithGroup("g")
	log.Info("the s3cret", "text", "a s3cret", "n", 1, "error", errors.New("no s3cret"), "struct", struct{ K string }{"s3cret"},
		slog.Group("inner", "k", "s3cret"), "bytes", []byte("a s3cret"), "of s3cret", 1, "plain", errors.New("fine"))
	got := out.String()
	if strings.Contains(got, "s3cret") {
		t.Errorf("got %s", got)
	}
	for _, want := range []string{"the ***", "with=***", `g.text="a ***"`, "g.n=1", `g.error="no ***"`, "g.struct={K:***}", "g.inner.k=***", `g.bytes="a ***"`, `"g.of ***"=1`, "g.plain=fine"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}
