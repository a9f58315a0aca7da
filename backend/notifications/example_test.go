package notifications_test

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/events"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/emailnotifications"
	"github.com/callboard-dev/callboard/backend/notifications/notificationstest"
	"github.com/callboard-dev/callboard/backend/notifications/slacknotifications"
	"github.com/callboard-dev/callboard/backend/signals"
)

// pager is a processor that pages people.
type pager struct {
	page func(ctx context.Context, who, what string) error
}

var (
	_ notifications.PostProcessor = (*pager)(nil)
	_ notifications.Filterer      = (*pager)(nil)
)

func (*pager) Name() string { return "Pager" }

func (*pager) Filter() notifications.Filter { return notifications.Filter{MinSeverity: "critical"} }

func (p *pager) PostProcess(ctx context.Context, d notifications.Delivery) error {
	if d.Notification.User == "" {
		return nil // nobody is paged for what is for everybody
	}
	return p.page(ctx, d.Notification.User, d.Notification.Payload.Title)
}

// pagerModule adds the processor to the plugin.
func pagerModule(p *pager) backend.Feature {
	return backend.NewModule("notifications", "pager", fx.Invoke(func(x *notifications.Extensions) { x.AddProcessor(p) }))
}

func ExampleNotificationProcessor() {
	p := &pager{page: func(_ context.Context, who, what string) error {
		fmt.Println("page", who, "about", what)
		return nil
	}}
	_ = pagerModule(p) // backend.Add(notifications.Plugin(), pagerModule(p))

	d := notifications.Delivery{}
	d.Notification.User, d.Notification.Payload.Title = "user:default/alice", "Shop is down"
	fmt.Println(p.PostProcess(context.Background(), d))
	// Output:
	// page user:default/alice about Shop is down
	// <nil>
}

// TestPagerKeepsTheRules runs the suite on the example.
func TestPagerKeepsTheRules(t *testing.T) {
	t.Parallel()
	notificationstest.RunProcessor(t, func(*testing.T) notificationstest.Target {
		var got heard
		return notificationstest.Target{
			Processor: &pager{page: func(ctx context.Context, who, what string) error {
				if who == "user:default/alice" && ctx.Err() == nil {
					got.add(what)
				}
				return ctx.Err()
			}},
			Known: "user:default/alice", Unknown: "user:default/nobody",
			Received: func() (out []notificationstest.Message) {
				for _, what := range got.all() {
					out = append(out, notificationstest.Message{Text: what})
				}
				return out
			},
		}
	})
}

// TestThePageOfNotifications compiles what docs/notifications.md shows first.
func TestThePageOfNotifications(t *testing.T) {
	t.Parallel()
	cfg, err := backendtest.Config(t, "")
	if err != nil {
		t.Fatal(err)
	}
	backend := backend.New(backend.WithConfig(cfg))
	backend.Add(notifications.Plugin(), emailnotifications.Module(), slacknotifications.Module())
	backend.Add(signals.Plugin(), events.Plugin())
	if err := backend.Check(); err != nil {
		t.Error(err)
	}
}
