package config

// merge lays high over low: objects merge key by key, everything else is replaced
// as a whole, and a null hides what lies below it. A value that is undefined
// because its variable is not set hides nothing.
func merge(low, high *node) *node {
	switch {
	case low == nil:
		return high
	case high == nil:
		return low
	case high.kind == absent && !high.reported:
		if low.present() {
			return low
		}
		return high
	case low.kind != object || high.kind != object:
		return high
	}
	out := &node{kind: object, pos: high.pos, keyPos: high.keyPos}
	for _, key := range low.keys {
		out.set(key, low.fields[key])
	}
	for _, key := range high.keys {
		out.set(key, merge(low.fields[key], high.fields[key]))
	}
	return out
}
