package emailnotifications

import (
	"errors"
	"fmt"
	"net/mail"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/notifications"
)

const section = "notifications.processors.email"

// Config is the subtree notifications.processors.email.
type Config struct {
	Transport        Transport            `config:"transportConfig"`
	Sender           string               `config:"sender" doc:"the address that e-mails come from, alone or as Name <address>"`
	ReplyTo          string               `config:"replyTo" doc:"the address that answers go to, if another"`
	Broadcast        Broadcast            `config:"broadcastConfig"`
	ConcurrencyLimit int                  `config:"concurrencyLimit" doc:"how many e-mails may begin in each throttleInterval"`
	ThrottleInterval config.Duration      `config:"throttleInterval,millis" doc:"see concurrencyLimit"`
	Cache            Cache                `config:"cache"`
	Allow            []string             `config:"allowlistEmailAddresses" doc:"send to these addresses only; to all if absent"`
	Deny             []string             `config:"denylistEmailAddresses" doc:"send nothing to these addresses"`
	Filter           notifications.Filter `config:"filter"`
}

// Cache is how long addresses are remembered.
type Cache struct {
	TTL config.Duration `config:"ttl,millis" doc:"how long the address of a user is remembered"`
}

// Transport is how e-mails leave.
type Transport struct {
	Transport  string        `config:"transport" doc:"smtp, or stream, which writes e-mails to the log, for development"`
	Hostname   string        `config:"hostname" doc:"the SMTP server"`
	Port       int           `config:"port" doc:"its port; 465 with secure, else 587"`
	Secure     bool          `config:"secure" doc:"TLS from the beginning; without it, STARTTLS is used if the server has it"`
	RequireTLS bool          `config:"requireTls" doc:"send nothing to a server that has no STARTTLS"`
	Username   string        `config:"username" doc:"the account; without one, nobody signs in"`
	Password   config.Secret `config:"password" doc:"its password, which is sent over TLS or to localhost only"`
}

// Broadcast is who has e-mails of what is for everybody.
type Broadcast struct {
	Receiver  string   `config:"receiver" oneof:"none|config|users" doc:"nobody; receiverEmails; or all users of the catalog"`
	Addresses []string `config:"receiverEmails" doc:"addresses for receiver config"`
}

var defaults = Config{
	Transport: Transport{Transport: "smtp"}, Broadcast: Broadcast{Receiver: "none"},
	ConcurrencyLimit: 2, ThrottleInterval: config.Duration(100 * time.Millisecond), Cache: Cache{config.Duration(time.Hour)},
}

// Validate implements config.Validator. The section may be absent, from portals that send no
// e-mails yet; whether it is complete is for complete to say.
func (c *Config) Validate() error {
	var errs []error
	for key, address := range map[string]string{"sender": c.Sender, "replyTo": c.ReplyTo} {
		if address == "" {
			continue
		}
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, config.At(key, fmt.Errorf("%q is no e-mail address", address)))
		}
	}
	for i, address := range c.Broadcast.Addresses {
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, config.At(fmt.Sprintf("broadcastConfig.receiverEmails[%d]", i), fmt.Errorf("%q is no e-mail address", address)))
		}
	}
	if c.Broadcast.Receiver == "config" && len(c.Broadcast.Addresses) == 0 {
		errs = append(errs, config.At("broadcastConfig.receiverEmails", errors.New("receiver is config, and there is no address")))
	}
	if c.ConcurrencyLimit < 1 {
		errs = append(errs, config.At("concurrencyLimit", errors.New("must be at least 1")))
	}
	return errors.Join(errs...)
}

// complete says what a section that is there lacks.
func (c *Config) complete() error {
	var errs []error
	if c.Sender == "" {
		errs = append(errs, config.At(section+".sender", errors.New("required key is missing")))
	}
	if c.Transport.Transport == "smtp" && c.Transport.Hostname == "" {
		errs = append(errs, config.At(section+".transportConfig.hostname", errors.New("required key is missing")))
	}
	return errors.Join(errs...)
}

// Validate implements config.Validator.
func (t *Transport) Validate() error {
	switch t.Transport {
	case "stream":
		return nil
	case "smtp":
		if t.Port < 0 || t.Port > 65535 {
			return config.At("port", errors.New("must be between 1 and 65535"))
		}
		if t.Username != "" && t.Password.Reveal() == "" {
			return config.At("password", errors.New("there is a username, and no password"))
		}
		return nil
	case "ses", "azure", "sendmail":
		fix := "use transport: smtp with the SMTP endpoint of the service"
		if t.Transport == "sendmail" {
			fix = "use transport: smtp with hostname: localhost"
		}
		return config.AtWithFix("transport", fmt.Errorf("%q is not supported", t.Transport), fix)
	}
	return config.At("transport", fmt.Errorf("unknown transport %q, use smtp or stream", t.Transport))
}

func (t Transport) port() int {
	switch {
	case t.Port != 0:
		return t.Port
	case t.Secure:
		return 465
	}
	return 587
}
