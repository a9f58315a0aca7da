package emailnotifications

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/pace"
	catalog "github.com/callboard-dev/callboard/catalog/client"
)

// Channel is the name of the processor: the channel in the settings of users.
const Channel = "Email"

// An Option changes what Module adds.
type Option func(*options)

type options struct {
	renderer Renderer
	tls      *tls.Config
}

// WithRenderer has r say what e-mails look like.
func WithRenderer(r Renderer) Option { return func(o *options) { o.renderer = r } }

// WithTLS has e-mails go to a server whose certificate the system does not trust. ServerName
// is filled in.
func WithTLS(c *tls.Config) Option { return func(o *options) { o.tls = c } }

// Module adds the processor to the notifications plugin.
func Module(opts ...Option) backend.Feature {
	o := options{}
	for _, opt := range opts {
		opt(&o)
	}
	return backend.NewModule("notifications", "email",
		backend.Section(section, defaults),
		fx.Supply(fx.Private, o),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Config     Config
	Options    options
	Root       *config.Config
	Extensions *notifications.Extensions
	Auth       backend.Auth
	Clients    backend.Clients
	Cache      backend.Cache
	Log        *slog.Logger
}

// register adds nothing where nothing is configured.
func register(p params) error {
	if !p.Root.Has(section) {
		return nil
	}
	if err := p.Config.complete(); err != nil {
		return err
	}
	proc, err := newProcessor(p)
	if err != nil {
		return err
	}
	p.Extensions.AddProcessor(proc)
	return nil
}

func newProcessor(p params) (*processor, error) {
	title, _, err := p.Root.String("app.title")
	if err != nil {
		return nil, err
	}
	app, _, err := p.Root.String("app.baseUrl")
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(app)
	if err != nil {
		return nil, config.At("app.baseUrl", err)
	}
	if title == "" {
		title = "the portal"
	}
	proc := &processor{
		config: p.Config, base: base, renderer: p.Options.renderer, pace: pace.New(p.Config.ConcurrencyLimit, p.Config.ThrottleInterval.Std()),
		cache: p.Cache, log: p.Log, now: time.Now,
		catalog: func(ctx context.Context) (*catalog.Client, error) {
			hc, base, err := p.Clients.Client(ctx, p.Auth.Own(), "catalog")
			if err != nil {
				return nil, err
			}
			return catalog.At(base, hc), nil
		},
	}
	if proc.renderer == nil {
		proc.renderer = newStandard(title)
	}
	// Validate has read both of them.
	proc.from, _ = mail.ParseAddress(p.Config.Sender)
	proc.replyTo, _ = mail.ParseAddress(p.Config.ReplyTo)
	proc.mailer = &smtpMailer{p.Config.Transport, p.Options.tls}
	if p.Config.Transport.Transport == "stream" {
		proc.mailer = logMailer{p.Log}
	}
	return proc, nil
}

// processor sends notifications by e-mail.
type processor struct {
	config        Config
	base          *url.URL
	from, replyTo *mail.Address
	renderer      Renderer
	mailer        mailer
	pace          *pace.Pace
	cache         backend.Cache
	catalog       func(context.Context) (*catalog.Client, error)
	log           *slog.Logger
	now           func() time.Time
}

var (
	_ notifications.PostProcessor = (*processor)(nil)
	_ notifications.Filterer      = (*processor)(nil)
)

// Name implements notifications.NotificationProcessor.
func (p *processor) Name() string { return Channel }

// Filter implements notifications.Filterer.
func (p *processor) Filter() notifications.Filter { return p.config.Filter }

// PostProcess implements notifications.PostProcessor.
func (p *processor) PostProcess(ctx context.Context, d notifications.Delivery) error {
	n := d.Notification
	msg, err := p.renderer.Render(n, p.link(n.Payload.Link))
	if err != nil {
		return err
	}
	if n.User == "" {
		return p.broadcast(ctx, n, msg)
	}
	address, err := p.addressOf(ctx, n.User)
	if err != nil || address == "" {
		return err
	}
	return p.send(ctx, n, msg, address)
}

func (p *processor) link(link string) string {
	if link == "" {
		return ""
	}
	u, err := p.base.Parse(link)
	if err != nil {
		return ""
	}
	return u.String()
}

// broadcast sends to everybody who is to have it. Whoever has got it is noted, so that a
// second attempt sends to the others.
func (p *processor) broadcast(ctx context.Context, n client.Notification, msg Message) error {
	addresses := p.config.Broadcast.Addresses
	if p.config.Broadcast.Receiver == "users" {
		var err error
		if addresses, err = p.everybody(ctx); err != nil {
			return err
		}
	}
	if p.config.Broadcast.Receiver == "none" {
		return nil
	}
	var errs []error
	for _, address := range addresses {
		sum := sha256.Sum256([]byte(messageID(n) + "\x00" + address))
		key := "email-sent:" + hex.EncodeToString(sum[:])
		if _, ok, err := p.cache.Get(ctx, key); err == nil && ok {
			continue
		}
		if err := p.send(ctx, n, msg, address); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil || len(errs) > 10 {
				break // the server is away, not a mailbox
			}
			continue
		}
		if err := p.cache.Set(ctx, key, []byte("1"), 24*time.Hour); err != nil {
			p.log.WarnContext(ctx, "a second attempt would send an e-mail again", "error", err)
		}
	}
	return errors.Join(errs...)
}

// messageID is another one when a notification was updated.
func messageID(n client.Notification) string {
	return n.ID + " " + n.Created.UTC().Format(time.RFC3339Nano)
}

func (p *processor) send(ctx context.Context, n client.Notification, msg Message, address string) error {
	to, err := mail.ParseAddress(address)
	if err != nil {
		p.log.WarnContext(ctx, "no e-mail to what is no address", "user", n.User)
		return nil
	}
	if !p.permits(to.Address) {
		return nil
	}
	end, err := p.pace.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	err = p.mailer.send(ctx, envelope{from: p.from, replyTo: p.replyTo, to: to, id: messageID(n), at: p.now(), Message: msg})
	var no *refusal
	if errors.As(err, &no) {
		p.log.WarnContext(ctx, "the server does not take an e-mail to this user", "user", n.User, "error", err)
		return nil
	}
	return err
}

func (p *processor) permits(address string) bool {
	is := func(other string) bool { return strings.EqualFold(strings.TrimSpace(other), address) }
	return (len(p.config.Allow) == 0 || slices.ContainsFunc(p.config.Allow, is)) && !slices.ContainsFunc(p.config.Deny, is)
}

// addressOf is the address of a user, empty if there is none.
func (p *processor) addressOf(ctx context.Context, user string) (string, error) {
	key := "email:" + user
	if known, ok, err := p.cache.Get(ctx, key); err == nil && ok {
		return string(known), nil
	}
	c, err := p.catalog(ctx)
	if err != nil {
		return "", err
	}
	found, err := c.ByRefs(ctx, []string{user}, "spec.profile.email")
	if err != nil {
		return "", err
	}
	address := ""
	if found[0] != nil {
		address = found[0].SpecString("profile", "email")
	}
	if ttl := p.config.Cache.TTL.Std(); ttl > 0 {
		if err := p.cache.Set(ctx, key, []byte(address), ttl); err != nil {
			p.log.WarnContext(ctx, "an address is not remembered", "error", err)
		}
	}
	return address, nil
}

// everybody are the addresses of all users, each once.
func (p *processor) everybody(ctx context.Context) ([]string, error) {
	c, err := p.catalog(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for e, err := range c.Entities(ctx, catalog.Selection{Filter: []string{"kind=user"}, Fields: []string{"spec.profile.email"}}) {
		if err != nil {
			return nil, err
		}
		if address := e.SpecString("profile", "email"); address != "" {
			out = append(out, strings.ToLower(address))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
