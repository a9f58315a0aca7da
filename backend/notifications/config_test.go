package notifications

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/notifications/client"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"{}":                                    "365d 10 50ms",
		"{retention: false}":                    "0d 10 50ms",
		"{retention: {days: 30}}":               "30d 10 50ms",
		"{retention: P1Y, concurrencyLimit: 3}": "365d 3 50ms",
		"{throttleInterval: 200}":               "365d 10 200ms",
		"{throttleInterval: {seconds: 1}}":      "365d 10 1s",
		"{retention: true}":                     "notifications.retention: expected a duration or false, got true (app-config.yaml:1:28)",
		"{retention: 0s}":                       "notifications.retention: must be more than nothing; false keeps notifications for ever (app-config.yaml:1:28)",
		"{retention: soon}":                     "notifications.retention: ",
		"{concurrencyLimit: 0}":                 "notifications.concurrencyLimit: must be at least 1 (app-config.yaml:1:35)",
		"{defaultSettings: {channels: [{id: Web, origins: [{id: x}]}]}}": "notifications.defaultSettings.channels[0].origins[0].enabled: required key is missing",
	} {
		cfg, err := config.Parse("app-config.yaml", []byte("notifications: "+yaml))
		if err != nil {
			t.Fatal(err)
		}
		c := defaults
		got := ""
		if err := cfg.Decode("notifications", &c); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%dd %d %s", int(time.Duration(c.Retention).Hours())/24, c.ConcurrencyLimit, c.ThrottleInterval)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", yaml, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		filter Filter
		passes string
	}{
		{Filter{}, "critical high normal low"},
		{Filter{MinSeverity: client.High}, "critical high"},
		{Filter{MaxSeverity: client.Normal}, "normal low"},
		{Filter{MinSeverity: client.Normal, MaxSeverity: client.High}, "high normal"},
		{Filter{ExcludedTopics: []string{"t"}}, ""},
	} {
		var got []string
		for _, s := range client.Severities() {
			if tt.filter.Passes(client.Payload{Severity: s, Topic: "t"}) {
				got = append(got, s)
			}
		}
		if strings.Join(got, " ") != tt.passes {
			t.Errorf("%+v lets %v through", tt.filter, got)
		}
	}
}
