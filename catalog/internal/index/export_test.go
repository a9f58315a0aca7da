package index

// CacheBytes is how many bytes of entities are kept.
func (x *Index) CacheBytes() int {
	x.cache.mu.RLock()
	defer x.cache.mu.RUnlock()
	return x.cache.bytes
}
