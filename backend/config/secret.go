package config

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// mask is what a secret prints as.
const mask = "***"

// A Secret prints, logs and marshals as "***". Reveal is the only way to its value.
//
// A secret that app-config.yaml takes from a file ({$file: token.txt}) follows that
// file: once a [Watcher] has seen a new version, Reveal returns it. So call Reveal
// where the secret is used, and do not keep what it returned.
//
// The zero value is the empty secret.
type Secret struct {
	v    string
	file *fileValue
}

// NewSecret returns a Secret with a fixed value, for tests and for values that
// programs make themselves.
func NewSecret(value string) Secret { return Secret{v: value} }

// Reveal returns the secret's current value.
func (s Secret) Reveal() string {
	if s.file != nil {
		return *s.file.current.Load()
	}
	return s.v
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String returns "***".
func (s Secret) String() string { return mask }

// GoString returns "***", for %#v.
func (s Secret) GoString() string { return mask }

// Format writes "***" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, mask) }

// LogValue logs "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText writes "***", in JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// A fileValue is the text of one $file, shared by the secrets that came from it.
type fileValue struct{ current atomic.Pointer[string] }

// fileValues holds the fileValue of every file, for a tree and those that replace
// it when files change. It also remembers which keys were decoded as secrets.
type fileValues struct {
	mu     sync.Mutex
	byFile map[string]*fileValue
	keys   map[string]path
}

// note remembers that the value at p is a secret because a struct says so.
func (f *fileValues) note(p path) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys == nil {
		f.keys = map[string]path{}
	}
	f.keys[p.String()] = p
}

// noted returns what note was given.
func (f *fileValues) noted() []path {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.keys))
}

// of returns the value that follows file. A file that is known keeps its value
// until update, because the tree being loaded may yet be refused.
func (f *fileValues) of(file, value string) *fileValue {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v, ok := f.byFile[file]; ok {
		return v
	}
	v := &fileValue{}
	v.current.Store(&value)
	if f.byFile == nil {
		f.byFile = map[string]*fileValue{}
	}
	f.byFile[file] = v
	return v
}

// update takes over what a load has read, once its tree is accepted.
func (f *fileValues) update(read map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file, value := range read {
		if v, ok := f.byFile[file]; ok {
			v.current.Store(&value)
		}
	}
}
