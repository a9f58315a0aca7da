package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule is the frequency/timeout/initialDelay/scope object that every
// recurring task in app-config.yaml shares.
type Schedule struct {
	Frequency    Cadence  `config:"frequency,required" doc:"how often the task runs"`
	Timeout      Duration `config:"timeout,required" doc:"how long one run may take"`
	InitialDelay Duration `config:"initialDelay" doc:"how long to wait after the start before the first run"`
	Scope        string   `config:"scope" oneof:"global|local" doc:"global: on one replica at a time; local: on every replica"`
}

// SetDefaults makes the scope global.
func (s *Schedule) SetDefaults() {
	if s.Scope == "" {
		s.Scope = "global"
	}
}

// Validate refuses a timeout that ends every run at once.
func (s *Schedule) Validate() error {
	if s.Timeout <= 0 {
		return At("timeout", errors.New("must be longer than zero"))
	}
	return nil
}

// A Cadence is a duration, {cron: "0 3 * * *"}, or {trigger: manual}.
type Cadence struct {
	Every  Duration
	Cron   string // five fields, or six with seconds first; in the time zone of the process
	Manual bool
}

// Next returns when a task that last ran at last is due again, the zero time for
// never.
func (c Cadence) Next(last time.Time) time.Time {
	switch {
	case c.Every > 0:
		return last.Add(c.Every.Std())
	case c.Cron != "":
		if schedule, err := parseCron(c.Cron); err == nil {
			return schedule.Next(last)
		}
	}
	return time.Time{}
}

// String writes the cadence as upstream stores it: PT10M, the cron line, or manual.
func (c Cadence) String() string {
	switch {
	case c.Manual:
		return "manual"
	case c.Cron != "":
		return c.Cron
	}
	return c.Every.ISO()
}

// UnmarshalConfig reads any of the three forms.
func (c *Cadence) UnmarshalConfig(cfg *Config) error {
	n, p := cfg.root, cfg.at
	for _, word := range [...]string{"cron", "trigger"} {
		if n.kind != object || !n.fields[word].present() {
			continue
		}
		for _, key := range cfg.Keys("") {
			if key != word {
				return errAt(p.key(key), n.fields[key].place(), "cannot stand next to %s", word)
			}
		}
		value, _, err := cfg.String(word)
		if err != nil {
			return err
		}
		field := n.fields[word]
		if word == "trigger" {
			if value != "manual" {
				return errAt(p.key(word), field.pos, `expected "manual", got %s`, field.describe(hidden(p, field)))
			}
			*c = Cadence{Manual: true}
			return nil
		}
		if _, err := parseCron(value); err != nil {
			if hidden(p, field) {
				err = errors.New("expected a cron expression with five or six fields")
			}
			return errAt(p.key(word), field.pos, "%w", err)
		}
		*c = Cadence{Cron: value}
		return nil
	}
	d, err := durationOf(n, p, false)
	if err != nil {
		return err
	}
	if d == 0 {
		return errAt(p, n.pos, "must be longer than zero")
	}
	*c = Cadence{Every: d}
	return nil
}

// parseCron reads five fields, or six with the seconds first, and @daily and its
// like. Day of week 7 is Sunday, as 0 is.
func parseCron(line string) (cron.Schedule, error) {
	fields := strings.Fields(line)
	// The library takes a time zone here, and panics on some that are incomplete.
	if n := len(fields); n == 0 || strings.Contains(line, "TZ=") || n != 5 && n != 6 && !strings.HasPrefix(line, "@") {
		return nil, fmt.Errorf("cron expression %s needs five fields, or six with seconds first, found %d", quote(line), len(fields))
	}
	if len(fields) >= 5 {
		days := strings.Split(fields[len(fields)-1], ",")
		for i, d := range days {
			if d == "7" {
				days[i] = "0"
			} else if from, ok := strings.CutSuffix(d, "-7"); ok {
				days[i] = from + "-6,0"
			}
		}
		fields[len(fields)-1] = strings.Join(days, ",")
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	schedule, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), ": strconv.")
		if word, ok := strings.CutPrefix(reason, "failed to parse int from "); ok {
			reason = quote(word) + " is neither a number nor a name"
		}
		return nil, fmt.Errorf("cron expression %s: %s", quote(line), reason)
	}
	return schedule, nil
}
