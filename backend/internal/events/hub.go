package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// The values of events.useEventBus.
const (
	Never  = "never"
	Always = "always"
	Auto   = "auto"
)

// Config is what the core reads of the subtree events (contract/backend.md section 17.2).
type Config struct {
	UseEventBus string `config:"useEventBus" doc:"whether events go through the events plugin: never, always, or auto, which is if there is one"`
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	switch c.UseEventBus {
	case "", Never, Always, Auto:
		return nil
	}
	return config.At("useEventBus", fmt.Errorf("is %q, use never, always or auto", c.UseEventBus))
}

// Where is where the events plugin runs, as seen from this process.
type Where int

const (
	Nowhere   Where = iota // not a part of this backend, and no endpoint leads to it
	Here                   // in this process, and has started or will
	Elsewhere              // where discovery says
)

// A Hub is the events of one process.
type Hub struct {
	cfg    Config
	log    *slog.Logger
	where  func() Where
	memory *Memory

	mu       sync.Mutex
	attached Broker
	arrived  chan struct{} // closed when attached is set
	alone    bool          // auto, and the other process has no bus
}

// attachWait bounds how long an early Publish waits for the events plugin to start.
const attachWait = 30 * time.Second

// NewHub returns the Hub of a process. where is asked when events are used, not
// before.
func NewHub(cfg Config, log *slog.Logger, where func() Where) *Hub {
	h := &Hub{cfg: cfg, log: log, where: where, memory: NewMemory(nil), arrived: make(chan struct{})}
	if h.cfg.UseEventBus == "" {
		h.cfg.UseEventBus = Auto
	}
	return h
}

// Service returns the events of a plugin, which reaches the bus with c when that runs
// elsewhere.
func (h *Hub) Service(plugin string, c *Client, log *slog.Logger) *Service {
	c.NoBus = h.noBus
	return &Service{plugin: plugin, hub: h, client: c, log: log}
}

// Attach makes b the broker of this process. The events plugin calls it from its start hook.
func (h *Hub) Attach(b Broker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.attached == nil {
		close(h.arrived)
	}
	h.attached = b
}

// noBus says that the other process answers that it has no bus.
func (h *Hub) noBus() {
	if h.cfg.UseEventBus == Always {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.alone {
		h.alone = true
		h.log.Info("there is no event bus where discovery finds the events plugin; events stay within this process")
	}
}

// broker returns what carries the events of this process: client if the bus is
// elsewhere. While the events plugin of this process starts, it waits.
func (h *Hub) broker(ctx context.Context, client Broker) (Broker, error) {
	if h.cfg.UseEventBus == Never {
		return h.memory, nil
	}
	h.mu.Lock()
	attached, alone := h.attached, h.alone
	h.mu.Unlock()
	if attached != nil {
		return attached, nil
	}
	switch h.where() {
	case Elsewhere:
		if alone {
			return h.memory, nil
		}
		return client, nil
	case Nowhere:
		if h.cfg.UseEventBus == Always {
			return nil, apierr.ServiceUnavailable.New("events.useEventBus is %q, but the events plugin does not run", Always)
		}
		return h.memory, nil
	}
	t := time.NewTimer(attachWait)
	defer t.Stop()
	select {
	case <-h.arrived:
		return h.broker(ctx, client)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.C:
		return nil, apierr.ServiceUnavailable.New("the events plugin has not started within %s", attachWait)
	}
}
