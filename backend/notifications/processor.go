package notifications

import (
	"context"
	"errors"
	"fmt"

	"github.com/callboard-dev/callboard/backend/notifications/client"
)

// A NotificationProcessor takes part in what is sent. It implements one or more of
// OptionsProcessor, PreProcessor, RequestProcessor and PostProcessor, and may implement
// Filterer. Its methods are called from many goroutines at once.
type NotificationProcessor interface {
	// Name is unique and stable: it is the id of the channel in the settings of users, such
	// as Email.
	Name() string
}

// An OptionsProcessor changes a request before its recipients are looked up. An error of it
// refuses the request, with its kind.
type OptionsProcessor interface {
	ProcessOptions(ctx context.Context, origin string, r client.Request) (client.Request, error)
}

// A PreProcessor changes a notification before it is stored: its payload, nothing else. It
// is called for each user. An error of it refuses the request, with its kind.
type PreProcessor interface {
	PreProcess(ctx context.Context, n client.Notification) (client.Notification, error)
}

// A RequestProcessor sends a request elsewhere as a whole, once, however many users it has:
// to the room of a team. It is called after the notifications are stored; what is said of
// errors is the same as for PostProcessor.
type RequestProcessor interface {
	ProcessRequest(ctx context.Context, origin string, r client.Request) error
}

// A PostProcessor sends a notification elsewhere. It is called for each user who has the
// channel enabled, and once for everybody, after the notifications are stored. After an
// error it is called again, later and on any replica, ten times within three hours; a call that
// was cut off by the end of a process counts. So it may be called although it was done before.
type PostProcessor interface {
	PostProcess(ctx context.Context, d Delivery) error
}

// A Delivery is one notification to be sent elsewhere.
type Delivery struct {
	Notification client.Notification `json:"notification"` // without a user for everybody
	// Named says that the request names the user, not only a group that the user is in or
	// something that the user owns.
	Named bool `json:"named,omitempty"`
}

// A Filterer leaves notifications out, for its RequestProcessor and PostProcessor.
type Filterer interface {
	Filter() Filter
}

// Extensions is the extension point of the plugin. Modules take a *Extensions and add to
// it. The zero value is ready to use, as tests do.
type Extensions struct {
	processors []NotificationProcessor
	errs       []error
}

// AddProcessor adds processors, which are called in the order in which they were added.
// Two with the same name are a boot error.
func (x *Extensions) AddProcessor(list ...NotificationProcessor) {
	for _, p := range list {
		name := p.Name()
		switch {
		case name == "":
			x.errs = append(x.errs, fmt.Errorf("processor %T has no name", p))
		case name == client.Web:
			x.errs = append(x.errs, fmt.Errorf("processor %T has the name of the frontend's own channel, %q", p, name))
		case x.processor(name) != nil:
			x.errs = append(x.errs, fmt.Errorf("two processors have the name %q", name))
		}
		x.processors = append(x.processors, p)
	}
}

func (x *Extensions) processor(name string) NotificationProcessor {
	for _, p := range x.processors {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

func (x *Extensions) err() error { return errors.Join(x.errs...) }

// channels are what users have settings for.
func (x *Extensions) channels() []string {
	out := []string{client.Web}
	for _, p := range x.processors {
		if _, ok := p.(PostProcessor); ok {
			out = append(out, p.Name())
		}
	}
	return out
}

// passes reports whether a processor is to send p at all.
func passes(proc NotificationProcessor, p client.Payload) bool {
	f, ok := proc.(Filterer)
	return !ok || f.Filter().Passes(p)
}
