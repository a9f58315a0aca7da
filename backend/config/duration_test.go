package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

const day = 24 * time.Hour

func TestDurationForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want time.Duration
	}{
		{"{years: 1}", 365 * day}, {"{months: 1}", 30 * day}, {"{weeks: 1}", 7 * day}, {"{days: 1}", day},
		{"{hours: 1}", time.Hour}, {"{minutes: 15}", 15 * time.Minute}, {"{seconds: 1}", time.Second}, {"{milliseconds: 1}", time.Millisecond},
		{"{minutes: 1, seconds: 30}", 90 * time.Second}, {"{hours: 0.5}", 30 * time.Minute}, {"{minutes: '2'}", 2 * time.Minute}, {"{minutes: 0}", 0},
		{"PT15M", 15 * time.Minute}, {"P1D", day}, {"P2W", 14 * day}, {"P1Y", 365 * day}, {"P1M", 30 * day}, {"PT1M", time.Minute},
		{"P1DT2H", 26 * time.Hour}, {"P1Y2M3W4DT5H6M7S", (365+60+21+4)*day + 5*time.Hour + 6*time.Minute + 7*time.Second},
		{"PT0.5S", 500 * time.Millisecond}, {"PT1.5H", 90 * time.Minute}, {"P0,5D", 12 * time.Hour}, {"PT0S", 0}, {"PT36H", 36 * time.Hour},
		{"30s", 30 * time.Second}, {"5m", 5 * time.Minute}, {"5 minutes", 5 * time.Minute}, {"1d", day}, {"500ms", 500 * time.Millisecond},
		{"1.5h", 90 * time.Minute}, {".5h", 30 * time.Minute}, {"2 hours", 2 * time.Hour}, {"1 hr", time.Hour}, {"2 hrs", 2 * time.Hour}, {"1 week", 7 * day},
		{"2w", 14 * day}, {"1y", 365 * day}, {"1 yr", 365 * day}, {"10 secs", 10 * time.Second}, {"3 mins", 3 * time.Minute}, {"1 Day", day}, {"7 MSECS", 7 * time.Millisecond},
		{"0.1s", 100 * time.Millisecond}, {"0s", 0}, {"  5m  ", 5 * time.Minute}, {"1 month", 30 * day},
	} {
		cfg, err := config.Parse("c.yaml", []byte("v: "+tt.in))
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := cfg.Duration("v")
		if err != nil || !ok || got.Std() != tt.want {
			t.Errorf("%s is %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestDurationErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"5":                            "expected a duration with a unit, got 5",
		"'5'":                          `duration "5" has no unit`,
		"-5m":                          `duration "-5m" is negative`,
		"{minutes: -5}":                "duration is negative",
		"P":                            `"P" is not an ISO 8601 duration`,
		"PT":                           `"PT" is not an ISO 8601 duration`,
		"P1DT":                         `"P1DT" is not an ISO 8601 duration`,
		"P1H":                          `"P1H" is not an ISO 8601 duration`,
		"P-1D":                         `"P-1D" is not an ISO 8601 duration`,
		"PNY":                          `"PNY" is not an ISO 8601 duration`,
		"5 minuts":                     `unknown unit "minuts", use one of days, hours, milliseconds, minutes, months, seconds, weeks, years; did you mean "minutes"?`,
		"5 parsecs":                    `unknown unit "parsecs", use one of`,
		"soon":                         `"soon" is not a duration, write it as 15m, 2 hours, PT15M or {minutes: 15}`,
		"1h30m":                        `"1h30m" is not a duration`,
		"''":                           `"" is not a duration`,
		"{}":                           "duration has no unit, use at least one of",
		"{minutes: null}":              "duration has no unit",
		"{minutes: x}":                 `expected a number, got "x"`,
		"{minutes: {}}":                "expected a number, got an object",
		"{Minutes: 1}":                 `unknown unit "Minutes"`,
		"[1]":                          "expected a duration, got a list",
		"true":                         "expected a duration, got true",
		"400 years":                    "duration is longer than 290 years",
		"{years: 300}":                 "duration is longer than 290 years",
		"P9999Y":                       "duration is longer than 290 years",
		"${WORD}":                      "expected a duration, got a string",
		strings.Repeat("9", 400) + "d": "duration is longer than 290 years",
	} {
		cfg, err := config.Parse("c.yaml", []byte("v: "+in), "WORD=canary")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := cfg.Duration("v"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.50s: error is %v, want %s", in, err, want)
		}
	}
}

func TestPlainNumbersCountMilliseconds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]config.Duration{
		"1500": config.Duration(1500 * time.Millisecond), "'1500'": config.Duration(1500 * time.Millisecond), "0.5": config.Duration(500 * time.Microsecond),
		"2m": config.Duration(2 * time.Minute), "{seconds: 1}": config.Duration(time.Second), "${TTL}": config.Duration(time.Second),
	} {
		cfg, err := config.Parse("c.yaml", []byte("v: "+in), "TTL=1000")
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			V config.Duration `config:"v,millis"`
		}
		if err := cfg.Decode("", &out); err != nil || out.V != want {
			t.Errorf("%s is %s, %v; want %s", in, out.V, err, want)
		}
	}
	cfg, _ := config.Parse("c.yaml", []byte("v: -1"))
	var out struct {
		V config.Duration `config:"v,millis"`
	}
	if got := text(cfg.Decode("", &out)); got != "v: duration is negative (c.yaml:1:4)" {
		t.Errorf("error is %s", got)
	}
}

func TestDurationISO(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"PT10M": 10 * time.Minute, "PT30S": 30 * time.Second, "PT1H30M": 90 * time.Minute, "PT24H": day, "PT0S": 0, "PT0.5S": 500 * time.Millisecond, "-PT1M": -time.Minute,
	} {
		if got := config.Duration(d).ISO(); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}

func TestCadence(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 4, 12, 0, 0, 0, time.UTC) // a Sunday
	for _, tt := range []struct{ in, str, next, wantErr string }{
		{in: "PT10M", str: "PT10M", next: "2026-01-04 12:10:00"},
		{in: "{hours: 1}", str: "PT1H", next: "2026-01-04 13:00:00"},
		{in: "{cron: '0 3 * * *'}", str: "0 3 * * *", next: "2026-01-05 03:00:00"},
		{in: "{cron: '30 0 3 * * *'}", str: "30 0 3 * * *", next: "2026-01-05 03:00:30"},
		{in: "{cron: '0 3 * * 7'}", str: "0 3 * * 7", next: "2026-01-11 03:00:00"},
		{in: "{cron: '0 3 * * 6-7'}", str: "0 3 * * 6-7", next: "2026-01-10 03:00:00"},
		{in: "{cron: '0 3 * * MON-FRI'}", str: "0 3 * * MON-FRI", next: "2026-01-05 03:00:00"},
		{in: "{cron: '@daily'}", str: "@daily", next: "2026-01-05 00:00:00"},
		{in: "{trigger: manual}", str: "manual", next: "0001-01-01 00:00:00"},
		{in: "{cron: '* * *'}", wantErr: `v.cron: cron expression "* * *" needs five fields, or six with seconds first, found 3 (c.yaml:1:11)`},
		{in: "{cron: 'TZ=UTC'}", wantErr: `v.cron: cron expression "TZ=UTC" needs five fields, or six with seconds first, found 1 (c.yaml:1:11)`},
		{in: "{cron: '* * * * X'}", wantErr: `v.cron: cron expression "* * * * X": "X" is neither a number nor a name (c.yaml:1:11)`},
		{in: "{cron: '${WORD}'}", wantErr: `v.cron: expected a cron expression with five or six fields (c.yaml:1:11)`},
		{in: "{cron: 5}", wantErr: `v.cron: expected a string, got 5 (c.yaml:1:11)`},
		{in: "{cron: '* * * * *', minutes: 1}", wantErr: "v.minutes: cannot stand next to cron (c.yaml:1:24)"},
		{in: "{trigger: auto}", wantErr: `v.trigger: expected "manual", got "auto" (c.yaml:1:14)`},
		{in: "0s", wantErr: "v: must be longer than zero (c.yaml:1:4)"},
	} {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte("v: "+tt.in), "WORD=canary")
			if err != nil {
				t.Fatal(err)
			}
			var c config.Cadence
			if err := cfg.Decode("v", &c); text(err) != tt.wantErr {
				t.Fatalf("error is %q, want %q", text(err), tt.wantErr)
			}
			if tt.wantErr != "" {
				return
			}
			if got := c.Next(at).Format(time.DateTime); c.String() != tt.str || got != tt.next {
				t.Errorf("%s, next %s; want %s, next %s", c, got, tt.str, tt.next)
			}
		})
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"15m", "2 hours", "PT15M", "P1DT2H", "P0,5D", ".5h", "1e3s", "P1Y2M", "-1s", "9999999999999999999 years", "PT", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := config.ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %s", s, d)
		}
		again, err := config.ParseDuration(d.ISO())
		// ISO writes seconds in decimal, which takes away less than a nanosecond.
		if err != nil || again-d > 1 || d-again > 1 {
			t.Fatalf("%q is %s, as ISO %s, and that is %s, %v", s, d, d.ISO(), again, err)
		}
	})
}
