package notifications

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
	signals "github.com/callboard-dev/callboard/backend/signals/client"
)

const (
	// attempts is how often a processor is called for one delivery: for three hours.
	attempts = 10
	// firstPause is between the first two of them; each further one is twice as long, up to
	// longestPause.
	firstPause, longestPause = 30 * time.Second, time.Hour
	// callTimeout bounds one call: a processor that sends to everybody takes its time.
	callTimeout = time.Hour
	// claimed is after what time a replica that has claimed a delivery is taken to be dead. One
	// that lives says so three times as often.
	claimed = 5 * time.Minute
	// look is how often a replica looks for what others have left.
	look = 10 * time.Second
	// maxSignals bounds the signals that wait to be published.
	maxSignals = 100_000
)

// A job is the JSON of a store.Delivery: one of the two.
type job struct {
	Origin   string          `json:"origin,omitempty"`
	Request  *client.Request `json:"request,omitempty"`
	Delivery *Delivery       `json:"delivery,omitempty"`
}

// wake has this replica look for deliveries at once.
func (p *plugin) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// deliver carries out deliveries until ctx is done: concurrencyLimit at once, of which those
// that begin together begin throttleInterval after the ones before.
func (p *plugin) deliver(ctx context.Context) {
	slots := make(chan struct{}, p.config.ConcurrencyLimit)
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		begun := time.Now()
		n := occupy(ctx, slots)
		list, err := p.store.ClaimDeliveries(ctx, p.now(), p.now().Add(claimed), n)
		if err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "deliveries cannot be read; trying again", "error", err)
		}
		for range n - len(list) {
			<-slots
		}
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		if len(list) == 0 {
			select {
			case <-p.woken:
			case <-time.After(look):
			case <-ctx.Done():
			}
			continue
		}
		for _, d := range list {
			wg.Go(func() {
				defer func() { <-slots }()
				p.attempt(ctx, d)
			})
		}
		pause(ctx, p.config.ThrottleInterval.Std()-time.Since(begun))
	}
}

// occupy waits for a slot, and takes with it what else is free.
func occupy(ctx context.Context, slots chan struct{}) (n int) {
	select {
	case slots <- struct{}{}:
		n = 1
	case <-ctx.Done():
		return 0
	}
	for {
		select {
		case slots <- struct{}{}:
			n++
		default:
			return n
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// attempt calls the processor, and notes the outcome. When ctx is done in between, the
// delivery comes again.
func (p *plugin) attempt(ctx context.Context, d store.Delivery) {
	stop := p.keep(ctx, d.ID)
	err := p.process(ctx, d)
	stop()
	if ctx.Err() != nil {
		return
	}
	log := p.log.With("processor", d.Processor, "delivery", d.ID)
	switch {
	case err == nil:
		err = p.store.Delivered(ctx, d.ID)
	case d.Attempts >= attempts:
		log.ErrorContext(ctx, "notification not delivered", "attempts", d.Attempts, "error", err)
		err = p.store.Delivered(ctx, d.ID)
	default:
		log.WarnContext(ctx, "notification not delivered; trying again", "attempts", d.Attempts, "error", err)
		err = p.store.Postpone(ctx, d.ID, p.now().Add(min(longestPause, firstPause<<(d.Attempts-1))))
	}
	if err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "the outcome of a delivery cannot be stored; it comes again", "error", err)
	}
}

// keep says that this replica lives, until the returned function is called.
func (p *plugin) keep(ctx context.Context, id string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			pause(ctx, claimed/3)
			if ctx.Err() != nil {
				return
			}
			if err := p.store.Postpone(ctx, id, p.now().Add(claimed)); err != nil && ctx.Err() == nil {
				p.log.WarnContext(ctx, "a delivery may come again while it is carried out", "delivery", id, "error", err)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (p *plugin) process(ctx context.Context, d store.Delivery) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("processor panicked: %v\n%s", v, debug.Stack())
		}
	}()
	var j job
	if err := json.Unmarshal(d.Job, &j); err != nil {
		return fmt.Errorf("the delivery cannot be read: %w", err)
	}
	for _, proc := range p.processors {
		if proc.Name() != d.Processor {
			continue
		}
		if to, ok := proc.(RequestProcessor); ok && j.Request != nil {
			return to.ProcessRequest(ctx, j.Origin, *j.Request)
		}
		if to, ok := proc.(PostProcessor); ok && j.Delivery != nil {
			return to.PostProcess(ctx, *j.Delivery)
		}
		return nil // it could do this when the delivery was planned, in another release
	}
	return fmt.Errorf("there is no processor %q in this backend", d.Processor)
}

// signalNew has frontends show a notification.
func (p *plugin) signalNew(n store.Notification) {
	to := signals.Everybody()
	if n.User != "" {
		to = signals.Users(n.User)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) >= maxSignals {
		p.dropped++
		return
	}
	p.pending = append(p.pending, signals.Signal{Recipients: to, Channel: client.Channel, Message: struct {
		Action string `json:"action"`
		ID     string `json:"notification_id"`
	}{"new_notification", n.ID}})
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// signalRead has the other tabs of a user show the same.
func (p *plugin) signalRead(ctx context.Context, user string, list []store.Notification, read bool) {
	action := "notification_unread"
	if read {
		action = "notification_read"
	}
	ids := make([]string, 0, len(list))
	for _, n := range list {
		ids = append(ids, n.ID)
	}
	err := p.signals.Publish(ctx, signals.Signal{Recipients: signals.Users(user), Channel: client.Channel, Message: struct {
		Action string   `json:"action"`
		IDs    []string `json:"notification_ids"`
	}{action, ids}})
	if err != nil {
		p.log.WarnContext(ctx, "frontends were not told what was read", "error", err)
	}
}

// publish sends signals until ctx is done, as fast as deliveries go.
func (p *plugin) publish(ctx context.Context) {
	for ctx.Err() == nil {
		begun := time.Now()
		some, dropped := p.nextSignals()
		if dropped > 0 {
			p.log.WarnContext(ctx, "frontends were not told of new notifications, of which there are too many", "notifications", dropped)
		}
		if len(some) == 0 {
			select {
			case <-p.signal:
			case <-ctx.Done():
			}
			continue
		}
		var wg sync.WaitGroup
		for _, s := range some {
			wg.Go(func() {
				if err := p.signals.Publish(ctx, s); err != nil && ctx.Err() == nil {
					p.log.WarnContext(ctx, "a frontend was not told of a new notification", "error", err)
				}
			})
		}
		wg.Wait()
		pause(ctx, p.config.ThrottleInterval.Std()-time.Since(begun))
	}
}

func (p *plugin) nextSignals() (some []signals.Signal, dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(p.config.ConcurrencyLimit, len(p.pending))
	some, p.pending = p.pending[:n:n], p.pending[n:]
	dropped, p.dropped = p.dropped, 0
	return some, dropped
}
