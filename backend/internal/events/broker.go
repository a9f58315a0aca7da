// Package events carries events between the plugins of a process, and between
// processes. It is behind every plugin's backend.Events.
//
// Three concepts:
//
//   - A Broker keeps events until each subscription has handled them. Memory is the
//     one of a single process; the events plugin has one on PostgreSQL; Client is one
//     in another process, reached through the bus API.
//   - A Hub is what a process knows of brokers: which one there is, and when.
//   - A Service is the Hub as one plugin sees it: it turns a Broker's batches into the
//     loop that a subscriber writes.
//
// What is promised: an event reaches every subscription to its topic at least once,
// and a subscription gets the events of one topic in the order in which they were
// published. A subscription has an id; all readers of one id, in whichever process,
// share its events, and only one of them has events in hand at any time.
package events

import (
	"context"
	"errors"
	"time"
)

// An Event is one message on a topic. Its form is that of backend.Event.
type Event struct {
	Topic    string
	Payload  []byte // JSON
	Metadata map[string]string
}

// A Broker keeps events until they are handled. All methods are safe for concurrent use.
type Broker interface {
	// Publish keeps an event for every subscription to its topic, except for those
	// whose ids are listed in notified, which have it already. It reports whether any
	// subscription was left. When it returns nil, the event is kept.
	Publish(ctx context.Context, e Event, notified []string) (kept bool, err error)
	// Subscribe creates a subscription, which gets the events published from then on,
	// or changes the topics of the one with that id.
	Subscribe(ctx context.Context, id string, topics []string) error
	// Fetch gives events of a subscription into the hands of a reader, after it has
	// taken note that the reader has handled those up to handled (0 for none). Without
	// events it returns an empty batch: see Wait. Its errors are ErrUnknown, ErrBusy,
	// and whatever goes wrong with the storage.
	Fetch(ctx context.Context, r Read) (Batch, error)
	// Renew keeps what the reader has in hand from being given to somebody else.
	Renew(ctx context.Context, id, reader string) error
	// Release takes note that a reader has handled the events up to handled, and gives
	// back the others.
	Release(ctx context.Context, id, reader string, handled int64) error
	// Wait returns when Fetch may have something, after most at the latest, or when ctx
	// is done. since is the Turn of the batch that was empty.
	Wait(ctx context.Context, id string, since uint64, most time.Duration)
}

// A Read is the question of a reader.
type Read struct {
	ID      string // of the subscription
	Reader  string // whoever reads; unique to it
	Handled int64  // the Last of the batch that the reader has handled; 0 for none
	Most    int    // events in a batch
}

// A Batch is some events of a subscription, in order.
type Batch struct {
	Events []Event
	// Marks has the position of each event, which grow.
	Marks []int64
	// Missed is how many events were dropped before these because nobody read them in time.
	Missed int
	// Turn is for Wait.
	Turn uint64
}

// Last is the mark that says that the whole batch is handled; 0 if it is empty.
func (b Batch) Last() int64 {
	if len(b.Marks) == 0 {
		return 0
	}
	return b.Marks[len(b.Marks)-1]
}

// Lease is how long events stay in the hands of a reader that does not renew. Another
// reader of the subscription gets them after that.
const Lease = 10 * time.Second

var (
	// ErrUnknown means that there is no such subscription, or not any more.
	ErrUnknown = errors.New("no such subscription")
	// ErrBusy means that another reader has events of the subscription in hand.
	ErrBusy = errors.New("another reader has events of this subscription in hand")
	// ErrLost means that events were in hand for too long, and may be given to another reader.
	ErrLost = errors.New("the events were in hand for too long without a sign of life")
	// ErrMissed means that events were dropped before the subscriber came to them.
	ErrMissed = errors.New("events were dropped before they were read")
)

const (
	// MaxAge is how long an event is kept at most (contract/backend.md section 17.2).
	MaxAge = 24 * time.Hour
	// Stale is how long a subscription is kept that nobody reads.
	Stale = 24 * time.Hour
)
