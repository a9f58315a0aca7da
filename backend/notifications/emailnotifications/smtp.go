package emailnotifications

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/smtp"
	"net/textproto"
	"strconv"
	"time"
)

// smtpTimeout bounds one e-mail, from the connection to the goodbye.
const smtpTimeout = time.Minute

// A refusal is the word of a server that it will not take an e-mail for an address, now or
// later.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// A mailer hands an e-mail over.
type mailer interface {
	send(ctx context.Context, e envelope) error
}

// smtpMailer speaks to the SMTP server of the configuration.
type smtpMailer struct {
	Transport
	tls *tls.Config // nil: the system's roots
}

func (m *smtpMailer) send(ctx context.Context, e envelope) error {
	text, err := e.bytes()
	if err != nil {
		return err
	}
	address := net.JoinHostPort(m.Hostname, strconv.Itoa(m.port()))
	if err := m.deliver(ctx, address, e, text); err != nil {
		return fmt.Errorf("e-mail by %s: %w", address, err)
	}
	return nil
}

func (m *smtpMailer) deliver(ctx context.Context, address string, e envelope, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	// The protocol knows no contexts: when ctx ends, the connection does.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	if m.Secure {
		conn = tls.Client(conn, m.tlsConfig())
	}
	c, err := smtp.NewClient(conn, m.Hostname)
	if err != nil {
		return err
	}
	if err := m.greet(c); err != nil {
		return err
	}
	if err := c.Mail(e.from.Address); err != nil {
		return err
	}
	if err := c.Rcpt(e.to.Address); err != nil {
		return refused(err)
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return refused(err)
	}
	_ = c.Quit() // the e-mail is theirs now, whatever they say to that
	return nil
}

func (m *smtpMailer) greet(c *smtp.Client) error {
	if has, _ := c.Extension("STARTTLS"); has && !m.Secure {
		if err := c.StartTLS(m.tlsConfig()); err != nil {
			return err
		}
	} else if m.RequireTLS && !m.Secure {
		return errors.New("the server has no STARTTLS, and requireTls is set")
	}
	if m.Username == "" {
		return nil
	}
	// PlainAuth itself refuses to send a password over a connection that others can read.
	if err := c.Auth(smtp.PlainAuth("", m.Username, m.Password.Reveal(), m.Hostname)); err != nil {
		return fmt.Errorf("sign in as %s: %w", m.Username, err)
	}
	return nil
}

func (m *smtpMailer) tlsConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.tls != nil {
		cfg = m.tls.Clone()
	}
	cfg.ServerName = m.Hostname
	return cfg
}

// refused tells a no for good from one for now.
func refused(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 {
		return &refusal{err}
	}
	return err
}

// logMailer writes e-mails to the log.
type logMailer struct{ log *slog.Logger }

func (m logMailer) send(ctx context.Context, e envelope) error {
	text, err := e.bytes()
	if err == nil {
		m.log.InfoContext(ctx, "e-mail that is not sent, because transport is stream", "to", e.to.Address, "message", string(text))
	}
	return err
}
