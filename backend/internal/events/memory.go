package events

import (
	"context"
	"slices"
	"sync"
	"time"
)

// MemoryLimit is how many events a Memory keeps for one subscription. Beyond that the
// oldest are dropped, and the reader is told how many.
const MemoryLimit = 1000

// Memory is a Broker in the memory of one process. A slow reader holds up neither
// publishers nor the readers of other subscriptions.
type Memory struct {
	now func() time.Time

	mu   sync.Mutex
	seq  int64
	subs map[string]*subscription
}

var _ Broker = (*Memory)(nil)

// subscription is the queue of one subscription. Its events are shared with the others'.
type subscription struct {
	topics []string
	queue  []queued
	missed int
	reader string // has the first events of the queue in hand
	hand   int    // how many
	until  time.Time
	read   time.Time // when somebody last asked
	waker  Waker
}

type queued struct {
	mark  int64
	at    time.Time // when it was published
	event Event
}

// NewMemory returns an empty broker. now is the clock; nil means the system's.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, subs: map[string]*subscription{}}
}

// Publish implements Broker.
func (m *Memory) Publish(_ context.Context, e Event, notified []string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	kept := false
	now := m.now()
	for id, s := range m.subs {
		if now.Sub(s.read) > Stale {
			delete(m.subs, id)
			continue
		}
		if !slices.Contains(s.topics, e.Topic) || slices.Contains(notified, id) {
			continue
		}
		kept = true
		if len(s.queue) == MemoryLimit { // a batch in hand is always smaller
			s.queue = slices.Delete(s.queue, s.hand, s.hand+1) // the oldest that nobody has in hand
			s.missed++
		}
		s.queue = append(s.queue, queued{m.seq, now, e})
		s.waker.Wake()
	}
	return kept, nil
}

// Cleanup drops events that are older than MaxAge and that nobody has in hand, of which
// readers are told as of those that there was no room for, and subscriptions that nobody
// has read for as long as Stale. It returns how many events and subscriptions those were.
func (m *Memory) Cleanup() (dropped, stale int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for id, s := range m.subs {
		if now.Sub(s.read) > Stale {
			delete(m.subs, id)
			stale++
			continue
		}
		n := s.hand
		for n < len(s.queue) && now.Sub(s.queue[n].at) > MaxAge {
			n++
		}
		s.queue = slices.Delete(s.queue, s.hand, n)
		s.missed += n - s.hand
		dropped += n - s.hand
	}
	return dropped, stale
}

// Subscribe implements Broker.
func (m *Memory) Subscribe(_ context.Context, id string, topics []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil {
		s = &subscription{}
		m.subs[id] = s
	}
	s.topics, s.read = slices.Clone(topics), m.now()
	return nil
}

// Fetch implements Broker.
func (m *Memory) Fetch(_ context.Context, r Read) (Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[r.ID]
	if s == nil {
		return Batch{}, ErrUnknown
	}
	now := m.now()
	s.read = now
	b := Batch{Turn: s.waker.Turn()}
	if s.reader != "" && s.reader != r.Reader && now.Before(s.until) {
		return b, ErrBusy
	}
	if s.reader == r.Reader {
		s.handled(r.Handled)
	}
	s.reader, s.hand = "", 0
	n := min(len(s.queue), r.Most, MemoryLimit/2)
	for _, q := range s.queue[:n] {
		b.Events, b.Marks = append(b.Events, q.event), append(b.Marks, q.mark)
	}
	if n > 0 {
		s.reader, s.hand, s.until = r.Reader, n, now.Add(Lease)
		b.Missed, s.missed = s.missed, 0
	}
	return b, nil
}

// handled drops what has been handled.
func (s *subscription) handled(upTo int64) {
	n := 0
	for n < len(s.queue) && s.queue[n].mark <= upTo {
		n++
	}
	s.queue = slices.Delete(s.queue, 0, n)
	s.hand = max(0, s.hand-n)
}

// Renew implements Broker.
func (m *Memory) Renew(_ context.Context, id, reader string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil {
		return ErrUnknown
	}
	if s.reader != reader {
		return ErrLost
	}
	s.read = m.now()
	s.until = s.read.Add(Lease)
	return nil
}

// Release implements Broker.
func (m *Memory) Release(_ context.Context, id, reader string, handled int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subs[id]
	if s == nil || s.reader != reader {
		return nil
	}
	s.handled(handled)
	s.reader, s.hand = "", 0
	if len(s.queue) > 0 {
		s.waker.Wake()
	}
	return nil
}

// Wait implements Broker.
func (m *Memory) Wait(ctx context.Context, id string, since uint64, most time.Duration) {
	m.mu.Lock()
	s := m.subs[id]
	m.mu.Unlock()
	if s != nil {
		s.waker.Wait(ctx, since, most)
	}
}
