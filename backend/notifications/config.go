package notifications

import (
	"errors"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/notifications/client"
)

// Config is the subtree notifications.
type Config struct {
	ConcurrencyLimit int             `config:"concurrencyLimit" doc:"how many deliveries, to browsers and by processors, go on at once in a replica"`
	ThrottleInterval config.Duration `config:"throttleInterval,millis" doc:"the time after which the next ones may begin"`
	Retention        Retention       `config:"retention" doc:"how long notifications are kept that were not updated since: a duration, or false for ever"`
	DefaultSettings  DefaultSettings `config:"defaultSettings"`
}

var defaults = Config{
	ConcurrencyLimit: 10,
	ThrottleInterval: config.Duration(50 * time.Millisecond),
	Retention:        Retention(365 * 24 * time.Hour),
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	if c.ConcurrencyLimit < 1 {
		return config.At("concurrencyLimit", errors.New("must be at least 1"))
	}
	return nil
}

// Retention is a duration; zero is for ever.
type Retention time.Duration

// UnmarshalConfig implements config.Unmarshaler.
func (r *Retention) UnmarshalConfig(c *config.Config) error {
	switch v := c.Value("").(type) {
	case bool:
		if v {
			return errors.New("expected a duration or false, got true")
		}
		*r = 0
		return nil
	default:
		var d config.Duration
		if err := c.Decode("", &d); err != nil {
			return err
		}
		if d == 0 {
			return errors.New("must be more than nothing; false keeps notifications for ever")
		}
		*r = Retention(d)
		return nil
	}
}

// MarshalText writes what UnmarshalConfig reads.
func (r Retention) MarshalText() ([]byte, error) {
	if r == 0 {
		return []byte("false"), nil
	}
	return config.Duration(r).MarshalText()
}

// DefaultSettings is what users have who have not settled something else.
type DefaultSettings struct {
	Channels []ChannelDefaults `config:"channels" doc:"by channel: Web, or that of a processor"`
}

// ChannelDefaults is an element of notifications.defaultSettings.channels.
type ChannelDefaults struct {
	ID      string           `config:"id,required" doc:"Web, or the name of a processor"`
	Enabled *bool            `config:"enabled" doc:"whether the channel has what origins below do not speak of; true if absent"`
	Origins []OriginDefaults `config:"origins" doc:"by service that sends"`
}

// OriginDefaults is an element of origins.
type OriginDefaults struct {
	ID      string          `config:"id,required" doc:"the service, such as plugin:scaffolder"`
	Enabled bool            `config:"enabled,required" doc:"whether the channel has what it sends"`
	Topics  []TopicDefaults `config:"topics" doc:"by topic, if the origin is enabled"`
}

// TopicDefaults is an element of topics.
type TopicDefaults struct {
	ID      string `config:"id,required" doc:"the topic"`
	Enabled bool   `config:"enabled,required" doc:"whether the channel has what is about it"`
}

// unknownChannels are those that defaults speak of and that are not there: a configuration may be
// shared with portals that have other processors.
func (c Config) unknownChannels(channels []string) (out []string) {
	for _, d := range c.DefaultSettings.Channels {
		if !slices.Contains(channels, d.ID) {
			out = append(out, d.ID)
		}
	}
	return out
}

// toSettings are the defaults in the form of a user's settings.
func (c Config) toSettings() settings {
	s := settings{}
	for _, ch := range c.DefaultSettings.Channels {
		if ch.Enabled != nil {
			s[settingKey{ch.ID, "", ""}] = *ch.Enabled
		}
		for _, o := range ch.Origins {
			s[settingKey{ch.ID, o.ID, ""}] = o.Enabled
			for _, t := range o.Topics {
				s[settingKey{ch.ID, o.ID, t.ID}] = t.Enabled
			}
		}
	}
	return s
}

// Filter is which notifications a processor is to send. It is the subtree filter of the
// processors of this repository, and the zero value lets all through.
type Filter struct {
	MinSeverity    string   `config:"minSeverity" oneof:"critical|high|normal|low" doc:"send nothing that is less severe"`
	MaxSeverity    string   `config:"maxSeverity" oneof:"critical|high|normal|low" doc:"send nothing that is more severe"`
	ExcludedTopics []string `config:"excludedTopics" doc:"send nothing about these"`
}

// Passes reports whether p is to be sent.
func (f Filter) Passes(p client.Payload) bool {
	rank, _ := client.Rank(p.Severity)
	if least, ok := client.Rank(f.MinSeverity); ok && rank > least {
		return false
	}
	if most, ok := client.Rank(f.MaxSeverity); ok && rank < most {
		return false
	}
	return !slices.Contains(f.ExcludedTopics, p.Topic)
}
