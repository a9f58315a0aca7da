package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/callboard-dev/callboard/backend/config"
)

// PagerDuty is the subtree catalog.providers.pagerduty.
type PagerDuty struct {
	BaseURL  string          `config:"baseUrl"`
	Token    config.Secret   `config:"token,required"`
	Teams    []string        `config:"teams"` // all teams if empty
	Schedule config.Schedule `config:"schedule,required"`
}

// Validate is called by Decode.
func (c *PagerDuty) Validate() error {
	if every := c.Schedule.Frequency.Every; every > 0 && c.Schedule.Timeout > every {
		return config.At("schedule.timeout", errors.New("is longer than schedule.frequency"))
	}
	return nil
}

func Example() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
catalog:
  providers:
    pagerduty:
      token: ${PAGERDUTY_TOKEN}
      teams: [sre]
      schedule: {frequency: {minutes: 30}, timeout: PT3M}
`), "PAGERDUTY_TOKEN=s3cret")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := PagerDuty{BaseURL: "https://api.pagerduty.com"} // the defaults
	if err := cfg.Decode("catalog.providers.pagerduty", &c); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.BaseURL, c.Teams, c.Token, c.Schedule.Frequency, c.Schedule.Timeout, c.Schedule.Scope)
	// Output: https://api.pagerduty.com [sre] *** PT30M 3m0s global
}

func ExampleConfig_Decode_errors() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
pagerduty:
  token: ${PAGERDUTY_TOKEN}
  teams: sre
  schedule:
    frequency: {minuts: 30}
    timeout: 3m
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, problem := range config.Problems(cfg.Decode("pagerduty", &PagerDuty{})) {
		fmt.Println(problem)
	}
	// Output:
	// pagerduty.token: environment variable PAGERDUTY_TOKEN is not set (app-config.yaml:3:10)
	// pagerduty.teams: expected a list, got "sre" (app-config.yaml:4:10)
	// pagerduty.schedule.frequency: unknown unit "minuts", use one of days, hours, milliseconds, minutes, months, seconds, weeks, years; did you mean "minutes"? (app-config.yaml:6:17)
}

func ExampleConfig_UnknownKeys() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
pagerduty:
  tokn: x
  frequency: PT30M
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, warning := range cfg.UnknownKeys("pagerduty", reflect.TypeFor[PagerDuty]()) {
		fmt.Println(warning)
	}
	// Output:
	// pagerduty.tokn: unknown key; did you mean token? (app-config.yaml:3:3)
	// pagerduty.frequency: unknown key; did you mean pagerduty.schedule.frequency? (app-config.yaml:4:3)
}

// Targets is a list of addresses, or one address in short.
type Targets []string

func (t *Targets) UnmarshalConfig(c *config.Config) error {
	if s, ok := c.Value("").(string); ok {
		*t = Targets{s}
		return nil
	}
	type plain Targets // has no UnmarshalConfig, so Decode does not come back here
	return c.Decode("", (*plain)(t))
}

func ExampleUnmarshaler() {
	cfg, err := config.Parse("app-config.yaml", []byte("short: https://a\nlong: [https://a, https://b]\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range cfg.Keys("") {
		var t Targets
		fmt.Println(cfg.Decode(key, &t), t)
	}
	// Output:
	// <nil> [https://a]
	// <nil> [https://a https://b]
}

func ExampleRedactor() {
	cfg, err := config.Parse("app-config.yaml", []byte("integrations: {github: [{host: github.com, token: ghp_0123456789}]}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	redactor := config.NewRedactor(cfg.Secrets()...)
	handler := slog.NewTextHandler(redactor.Writer(os.Stdout), &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	slog.New(handler).Error("request refused", "header", "Bearer ghp_0123456789")
	// Output: level=ERROR msg="request refused" header="Bearer ***"
}

func ExampleLive() {
	first, _ := config.Parse("app-config.yaml", []byte("search: {pageLimit: 25}"))
	watcher := config.NewWatcher(first, slog.Default())
	type search struct {
		PageLimit int `config:"pageLimit"`
	}
	live, err := config.NewLive(watcher, "search", search{PageLimit: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer live.Close()
	fmt.Println(live.Get().PageLimit)

	second, _ := config.Parse("app-config.yaml", []byte("search: {pageLimit: 100}"))
	watcher.Replace(second) // a server calls Run, which follows the files
	fmt.Println(live.Get().PageLimit)
	// Output:
	// 25
	// 100
}
