package config

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// minRedacted is the length of the shortest secret that is struck out. Shorter
	// ones, such as "test", are words that logs are full of.
	minRedacted = 5
	// minLine is the length of a line of a longer secret, such as a PEM key, that is
	// struck out on its own.
	minLine = 20
)

// A Redactor replaces secrets in text by ***, those it was given, and credentials in the
// query of any address. It is safe for concurrent use, and a
// nil Redactor leaves text alone. Secrets are only ever added: a password that was
// rotated is still not for logs. Secrets of fewer than 5 bytes are not replaced.
type Redactor struct {
	mu      sync.Mutex // serializes Add
	known   map[string]struct{}
	matcher atomic.Pointer[matcher]
}

// NewRedactor returns a Redactor that knows the given secrets.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{}
	r.Add(secrets...)
	return r
}

// Add adds secrets and returns how many of them are new.
func (r *Redactor) Add(secrets ...string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]struct{}{}
	}
	added := 0
	for _, s := range secrets {
		if _, ok := r.known[s]; ok || len(s) < minRedacted {
			continue
		}
		r.known[s] = struct{}{}
		added++
	}
	if added > 0 {
		r.matcher.Store(newMatcher(r.known))
	}
	return added
}

// Redact returns s with every secret replaced by ***, and the credentials in addresses,
// see [MaskCredentials]. It allocates only if there is one.
func (r *Redactor) Redact(s string) string {
	if r == nil {
		return s
	}
	if m := r.matcher.Load(); m != nil {
		s = m.replace(s)
	}
	return MaskCredentials(s)
}

// Writer returns a writer that redacts what is written to it. A secret that is split
// over two writes is not found, so each write should be a whole record, as the
// handlers of log/slog do it.
func (r *Redactor) Writer(w io.Writer) io.Writer { return redactingWriter{r, w} }

type redactingWriter struct {
	r *Redactor
	w io.Writer
}

func (w redactingWriter) Write(b []byte) (int, error) {
	m := w.r.matcher.Load()
	known := m != nil && m.matches(b)
	if !known && !hasCredentials(b) {
		return w.w.Write(b)
	}
	if _, err := io.WriteString(w.w, w.r.Redact(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// A matcher finds any of many words. Almost every position of almost every text is
// ruled out by the bitmap of the pairs of bytes that words start with.
type matcher struct {
	starts [1 << 16 / 64]uint64
	words  map[[2]byte][]string // longest first
}

func newMatcher(secrets map[string]struct{}) *matcher {
	m := &matcher{words: map[[2]byte][]string{}}
	for secret := range secrets {
		for _, word := range spellings(secret) {
			pair := [2]byte{word[0], word[1]}
			if !slices.Contains(m.words[pair], word) {
				m.words[pair] = append(m.words[pair], word)
			}
			at := int(pair[0])<<8 | int(pair[1])
			m.starts[at/64] |= 1 << (at % 64)
		}
	}
	for _, words := range m.words {
		slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	}
	return m
}

// find returns the length of the longest word that s has at i, 0 for none.
func find[T string | []byte](m *matcher, s T, i int) int {
	at := int(s[i])<<8 | int(s[i+1])
	if m.starts[at/64]&(1<<(at%64)) == 0 {
		return 0
	}
	for _, word := range m.words[[2]byte{s[i], s[i+1]}] {
		if len(s)-i >= len(word) && string(s[i:i+len(word)]) == word {
			return len(word)
		}
	}
	return 0
}

func (m *matcher) matches(b []byte) bool {
	for i := 0; i+1 < len(b); i++ {
		if find(m, b, i) > 0 {
			return true
		}
	}
	return false
}

func (m *matcher) replace(s string) string {
	var b strings.Builder
	done := 0
	for i := 0; i+1 < len(s); i++ {
		if size := find(m, s, i); size > 0 {
			b.WriteString(s[done:i] + mask)
			done = i + size
			i = done - 1
		}
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// jsonSpelling returns s as it stands in a JSON string, without the quotes.
func jsonSpelling(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil || b.Len() < 3 {
		return s
	}
	return b.String()[1 : b.Len()-2]
}

func longLines(s string) []string {
	if !strings.Contains(s, "\n") {
		return nil
	}
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); len(line) >= minLine && !strings.HasPrefix(line, "-----") {
			out = append(out, line)
		}
	}
	return out
}
