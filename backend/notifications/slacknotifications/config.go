package slacknotifications

import (
	"errors"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/notifications"
)

const section = "notifications.processors.slack"

// Workspaces is the list notifications.processors.slack: one element for each workspace.
type Workspaces []Config

// Config is one element of notifications.processors.slack.
type Config struct {
	Token             config.Secret        `config:"token,required" doc:"token of the bot, xoxb-…, with the scopes chat:write, users:read and users:read.email"`
	BroadcastChannels []string             `config:"broadcastChannels" doc:"channels that have what is for everybody"`
	Username          string               `config:"username" doc:"the name that messages are shown under, if the bot may change it"`
	ConcurrencyLimit  *int                 `config:"concurrencyLimit" doc:"how many messages may begin in each throttleInterval; 10 if absent"`
	ThrottleInterval  *config.Duration     `config:"throttleInterval,millis" doc:"see concurrencyLimit; 10 seconds if absent"`
	Filter            notifications.Filter `config:"filter"`
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	if c.ConcurrencyLimit != nil && *c.ConcurrencyLimit < 1 {
		return config.At("concurrencyLimit", errors.New("must be at least 1"))
	}
	return nil
}

func (c *Config) limit() int {
	if c.ConcurrencyLimit != nil {
		return *c.ConcurrencyLimit
	}
	return 10
}

func (c *Config) interval() time.Duration {
	if c.ThrottleInterval != nil {
		return c.ThrottleInterval.Std()
	}
	return 10 * time.Second
}
