package index

// CacheBytes is how many bytes of entities are kept.
func (x *Index) CacheBytes() int {
	x.cache.mu.RLock()
	defer x.cache.mu.RUnlock()
	return x.cache.bytes
}

// Held is how many columns are loaded.
func (x *Index) Held() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.columns)
}

// Wanted is how many keys wait to be loaded.
func (x *Index) Wanted() int {
	x.wantedMu.Lock()
	defer x.wantedMu.Unlock()
	return len(x.wanted)
}
