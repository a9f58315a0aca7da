// Package logging makes the backend's slog.Handler: one JSON object per line in
// production, coloured text otherwise, levels by plugin, and no secret in either
// (contract/backend.md section 11).
package logging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is backend.logger.
type Config struct {
	Level     string         `config:"level" doc:"error, warn, info or debug; the environment variable LOG_LEVEL wins"`
	Meta      map[string]any `config:"meta" doc:"fields added to every entry"`
	Overrides []Override     `config:"overrides" doc:"levels for entries whose fields match; the first that matches decides"`
}

// An Override gives entries whose fields match all matchers a level of their own.
type Override struct {
	Matchers map[string]any `config:"matchers,required" doc:"field to value, /regular expression/, or a list of them"`
	Level    string         `config:"level,required" doc:"error, warn, info or debug"`
}

// Validate checks levels and regular expressions.
func (c *Config) Validate() error {
	var errs []error
	if c.Level != "" {
		if _, err := ParseLevel(c.Level); err != nil {
			errs = append(errs, config.At("level", err))
		}
	}
	_, err := compile(c.Overrides)
	return errors.Join(append(errs, err)...)
}

// ParseLevel reads error, warn, info or debug in any case.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "error":
		return slog.LevelError, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	}
	return 0, fmt.Errorf("unknown log level %q, use error, warn, info or debug", s)
}

// A Handler filters by level and field, and hands on what is left. The levels may be
// changed while it is in use; every Handler derived from it follows.
type Handler struct {
	next  slog.Handler
	rules *atomic.Pointer[rules]
	bound []slog.Attr // what With added, for the matchers
}

type rules struct {
	level     slog.Level
	lowest    slog.Level // of level and all overrides: what Enabled has to let through
	overrides []override
}

type override struct {
	level    slog.Level
	matchers []matcher
}

type matcher struct {
	field string
	any   []func(string) bool
}

// New returns a Handler in front of next. env is the value of LOG_LEVEL, which wins
// over c.Level; with neither the level is info.
func New(next slog.Handler, c Config, env string) (*Handler, error) {
	h := &Handler{next: next, rules: new(atomic.Pointer[rules])}
	if err := h.Set(c, env); err != nil {
		return nil, err
	}
	return h, nil
}

// Set changes levels and overrides; on an error the old ones stay.
func (h *Handler) Set(c Config, env string) error {
	level := slog.LevelInfo
	for _, s := range []string{c.Level, env} {
		if s == "" {
			continue
		}
		l, err := ParseLevel(s)
		if err != nil {
			return err
		}
		level = l
	}
	overrides, err := compile(c.Overrides)
	if err != nil {
		return err
	}
	r := &rules{level: level, lowest: level, overrides: overrides}
	for _, o := range overrides {
		r.lowest = min(r.lowest, o.level)
	}
	h.rules.Store(r)
	return nil
}

func compile(list []Override) ([]override, error) {
	var out []override
	var errs []error
	for i, o := range list {
		level, err := ParseLevel(o.Level)
		if err != nil {
			errs = append(errs, config.At(fmt.Sprintf("overrides[%d].level", i), err))
		}
		c := override{level: level}
		for field, v := range o.Matchers {
			m := matcher{field: field}
			values, ok := v.([]any)
			if !ok {
				values = []any{v}
			}
			for _, v := range values {
				fn, err := match(fmt.Sprint(v))
				if err != nil {
					errs = append(errs, config.At(fmt.Sprintf("overrides[%d].matchers.%s", i, field), err))
					continue
				}
				m.any = append(m.any, fn)
			}
			c.matchers = append(c.matchers, m)
		}
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

func match(s string) (func(string) bool, error) {
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		re, err := regexp.Compile(s[1 : len(s)-1])
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	return func(v string) bool { return v == s }, nil
}

// Enabled lets through what any override could ask for; Handle decides.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.rules.Load().lowest }

// Handle writes r if its level is high enough for its fields.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	rules := h.rules.Load()
	level := rules.level
	for _, o := range rules.overrides {
		if h.matches(o, r) {
			level = o.level
			break
		}
	}
	if r.Level < level {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h *Handler) matches(o override, r slog.Record) bool {
	for _, m := range o.matchers {
		value, found := "", false
		for i := len(h.bound) - 1; i >= 0 && !found; i-- {
			if h.bound[i].Key == m.field {
				value, found = h.bound[i].Value.String(), true
			}
		}
		if m.field == "message" {
			value, found = r.Message, true
		}
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == m.field {
				value, found = a.Value.String(), true
			}
			return true
		})
		if !found || !anyOf(m.any, value) {
			return false
		}
	}
	return true
}

func anyOf(fns []func(string) bool, v string) bool {
	for _, fn := range fns {
		if fn(v) {
			return true
		}
	}
	return false
}

// WithAttrs and WithGroup derive handlers that share the levels of h.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), rules: h.rules, bound: append(h.bound[:len(h.bound):len(h.bound)], attrs...)}
}

func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), rules: h.rules, bound: h.bound}
}
