package slacknotifications

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/pace"
	catalog "github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

const (
	// Channel is the name of the processor of the first workspace: the channel in the settings
	// of users. That of the second is Slack-2.
	Channel = "Slack"
	// Annotation names, on a User, a Group or anything else, the user or channel of Slack that
	// is told what is for that entity: an id, or the name of a channel.
	Annotation = "slack.com/bot-notify"

	slackAPI     = "https://slack.com/api"
	rememberedID = time.Hour // how long users and annotations are
)

// An Option changes what Module adds.
type Option func(*options)

type options struct{ api string }

// WithAPI has calls go to another address than https://slack.com/api: that of a gateway, or
// of a test.
func WithAPI(address string) Option {
	return func(o *options) { o.api = strings.TrimSuffix(address, "/") }
}

// Module adds a processor for each workspace to the notifications plugin.
func Module(opts ...Option) backend.Feature {
	o := options{api: slackAPI}
	for _, opt := range opts {
		opt(&o)
	}
	return backend.NewModule("notifications", "slack",
		backend.Section(section, Workspaces(nil)),
		fx.Supply(fx.Private, o),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Workspaces Workspaces
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
	list, err := newProcessors(p)
	for _, proc := range list {
		p.Extensions.AddProcessor(proc)
	}
	return err
}

func newProcessors(p params) (out []*processor, err error) {
	app, _, err := p.Root.String("app.baseUrl")
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(app)
	if err != nil {
		return nil, config.At("app.baseUrl", err)
	}
	for i, c := range p.Workspaces {
		name := Channel
		if i > 0 {
			name = fmt.Sprintf("%s-%d", Channel, i+1)
		}
		out = append(out, &processor{
			name: name, config: c, base: base, cache: p.Cache, log: p.Log,
			api: &api{p.Options.api, c.Token.Reveal(), &http.Client{Timeout: apiTimeout}, pace.New(c.limit(), c.interval())},
			catalog: func(ctx context.Context) (*catalog.Client, error) {
				hc, base, err := p.Clients.Client(ctx, p.Auth.Own(), "catalog")
				if err != nil {
					return nil, err
				}
				return catalog.At(base, hc), nil
			},
		})
	}
	return out, nil
}

// processor sends notifications to one workspace.
type processor struct {
	name    string
	config  Config
	base    *url.URL
	api     *api
	cache   backend.Cache
	catalog func(context.Context) (*catalog.Client, error)
	log     *slog.Logger
}

var (
	_ notifications.PostProcessor    = (*processor)(nil)
	_ notifications.RequestProcessor = (*processor)(nil)
	_ notifications.Filterer         = (*processor)(nil)
)

// Name implements notifications.NotificationProcessor.
func (p *processor) Name() string { return p.name }

// Filter implements notifications.Filterer.
func (p *processor) Filter() notifications.Filter { return p.config.Filter }

// ProcessRequest implements notifications.RequestProcessor: it tells groups, and others who
// have a channel of their own.
func (p *processor) ProcessRequest(ctx context.Context, _ string, r client.Request) error {
	if r.Recipients.Type != "entity" {
		return nil
	}
	without := map[string]bool{}
	for _, s := range r.Recipients.Without {
		without[full(s)] = true
	}
	var refs []string
	for _, s := range r.Recipients.Refs {
		if ref := full(s); !strings.HasPrefix(ref, "user:") && !without[ref] {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	c, err := p.catalog(ctx)
	if err != nil {
		return err
	}
	found, err := c.ByRefs(ctx, refs, "metadata.annotations")
	if err != nil {
		return err
	}
	var channels []string
	for _, e := range found {
		if e != nil {
			channels = append(channels, e.Annotation(Annotation))
		}
	}
	return p.tell(ctx, r.Payload, channels)
}

func full(s string) string {
	ref, err := entity.ParseRef(s)
	if err != nil {
		return s
	}
	return strings.ToLower(ref.String())
}

// PostProcess implements notifications.PostProcessor.
func (p *processor) PostProcess(ctx context.Context, d notifications.Delivery) error {
	n := d.Notification
	if n.User == "" {
		return p.tell(ctx, n.Payload, p.config.BroadcastChannels)
	}
	if !d.Named {
		return nil // the group has it
	}
	id, err := p.user(ctx, n.User)
	if err != nil {
		return err
	}
	return p.tell(ctx, n.Payload, []string{id})
}

// tell posts to some channels or users, each once; empty ones are nobody.
func (p *processor) tell(ctx context.Context, payload client.Payload, channels []string) error {
	link := ""
	if payload.Link != "" {
		if u, err := p.base.Parse(payload.Link); err == nil {
			link = u.String()
		}
	}
	told, errs := map[string]bool{"": true}, []error(nil)
	for _, channel := range channels {
		if told[channel] {
			continue
		}
		told[channel] = true
		err := p.api.post(ctx, newMessage(channel, p.config.Username, payload, link))
		var no *failure
		if errors.As(err, &no) && no.hopeless() {
			p.log.WarnContext(ctx, "slack does not take a message", "channel", channel, "error", err)
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// user is the id of a user in the workspace, or whatever the annotation says; empty if the
// user is not there.
func (p *processor) user(ctx context.Context, ref string) (string, error) {
	key := "slack:" + p.name + ":" + ref
	if known, ok, err := p.cache.Get(ctx, key); err == nil && ok {
		return string(known), nil
	}
	c, err := p.catalog(ctx)
	if err != nil {
		return "", err
	}
	found, err := c.ByRefs(ctx, []string{ref}, "metadata.annotations", "spec.profile.email")
	if err != nil {
		return "", err
	}
	id := ""
	if e := found[0]; e != nil {
		id = e.Annotation(Annotation)
		if address := e.SpecString("profile", "email"); id == "" && address != "" {
			id, err = p.api.lookup(ctx, address)
			var no *failure
			if errors.As(err, &no) && no.hopeless() {
				err = nil
			}
			if err != nil {
				return "", err
			}
		}
	}
	if err := p.cache.Set(ctx, key, []byte(id), rememberedID); err != nil {
		p.log.WarnContext(ctx, "a user is not remembered", "error", err)
	}
	return id, nil
}
