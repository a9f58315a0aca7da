package index

import "math/bits"

// A set is a set of slots, a bit for each. Sets that ended up in a cache or a column are
// never changed. Slots beyond its end are not in it.
type set []uint64

func newSet(slots int) set { return make(set, (slots+63)/64) }

func (s set) has(slot uint32) bool {
	i := int(slot >> 6)
	return i < len(s) && s[i]&(1<<(slot&63)) != 0
}

func (s set) add(slot uint32) { s[slot>>6] |= 1 << (slot & 63) }

func (s set) addAll(slots []uint32) {
	for _, slot := range slots {
		s[slot>>6] |= 1 << (slot & 63)
	}
}

// and, or and without change s, which is at least as long as the other one may be.
func (s set) and(o set) {
	n := min(len(s), len(o))
	for i := range n {
		s[i] &= o[i]
	}
	clear(s[n:])
}

func (s set) or(o set) {
	for i := range min(len(s), len(o)) {
		s[i] |= o[i]
	}
}

func (s set) without(o set) {
	for i := range min(len(s), len(o)) {
		s[i] &^= o[i]
	}
}

func (s set) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// each calls fn for every slot in s, until it returns false.
func (s set) each(fn func(slot uint32) bool) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			if !fn(uint32(i<<6 + bits.TrailingZeros64(w))) {
				return
			}
		}
	}
}
