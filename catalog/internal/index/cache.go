package index

import (
	"sync"
	"sync/atomic"
)

// A cache holds the bytes of entities, by slot. When it is full, those go that were not
// used since the hand last came by.
type cache struct {
	limit int

	mu    sync.RWMutex
	docs  []*doc
	bytes int
	hand  int
}

type doc struct {
	seq  int64
	json []byte
	used atomic.Bool
}

// docOverhead is what an entity takes beside its bytes.
const docOverhead = 64

func (c *cache) clear(slots int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.docs, c.bytes, c.hand = make([]*doc, slots), 0, 0
}

// forget drops what has changed.
func (c *cache) forget(changed []uint32, slots int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.docs) < slots {
		c.docs = append(c.docs, nil)
	}
	for _, slot := range changed {
		c.drop(int(slot))
	}
}

func (c *cache) drop(i int) {
	if d := c.docs[i]; d != nil {
		c.bytes -= len(d.json) + docOverhead
		c.docs[i] = nil
	}
}

// get returns the bytes of an entity as it is after the change seq.
func (c *cache) get(slot uint32, seq int64) []byte {
	d := c.docs[slot]
	if d == nil || d.seq != seq {
		return nil
	}
	if !d.used.Load() {
		d.used.Store(true)
	}
	return d.json
}

// put keeps bytes. If that needs room, others go; but not for a passing reader, one of
// long lists, who would leave nothing of what others use.
func (c *cache) put(slot uint32, seq int64, json []byte, passing bool) {
	size := len(json) + docOverhead
	if int(slot) >= len(c.docs) || size > c.limit/16 || passing && c.bytes+size > c.limit {
		return
	}
	if d := c.docs[slot]; d != nil && d.seq >= seq {
		return
	}
	c.drop(int(slot))
	for c.bytes+size > c.limit {
		c.hand = (c.hand + 1) % len(c.docs)
		if d := c.docs[c.hand]; d != nil && !d.used.Swap(false) {
			c.drop(c.hand)
		}
	}
	c.docs[slot] = &doc{seq: seq, json: json}
	c.bytes += size
}
