package ingest

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// spoolMemory is how many bytes of documents a listing keeps in memory before it
// writes them to a temporary file.
const spoolMemory = 8 << 20

// A spool keeps the changed entities of a listing until it is known to be complete.
// It can be read more than once, since transactions may be run again.
type spool struct {
	refs   []string // of all that was written
	memory []store.Content
	size   int
	file   *os.File
	out    *bufio.Writer
	enc    *gob.Encoder
}

func (s *spool) write(c store.Content) error {
	s.refs = append(s.refs, c.Ref)
	if s.file == nil {
		s.memory = append(s.memory, c)
		s.size += len(c.Unprocessed)
		if s.size < spoolMemory {
			return nil
		}
		return s.spill()
	}
	if err := s.enc.Encode(c); err != nil {
		return fmt.Errorf("write entities to %s: %w", s.file.Name(), err)
	}
	return nil
}

func (s *spool) spill() (err error) {
	if s.file, err = os.CreateTemp("", "callboard-catalog-*"); err != nil {
		return fmt.Errorf("keep a long list of entities: %w", err)
	}
	s.out = bufio.NewWriterSize(s.file, 1<<16)
	s.enc = gob.NewEncoder(s.out)
	for _, c := range s.memory {
		if err := s.enc.Encode(c); err != nil {
			return fmt.Errorf("write entities to %s: %w", s.file.Name(), err)
		}
	}
	s.memory = nil
	return nil
}

// chunks yields what was written, n at a time.
func (s *spool) chunks(n int) iter.Seq2[[]store.Content, error] {
	return func(yield func([]store.Content, error) bool) {
		if s.file == nil {
			for from := 0; from < len(s.memory); from += n {
				if !yield(s.memory[from:min(from+n, len(s.memory))], nil) {
					return
				}
			}
			return
		}
		if err := s.out.Flush(); err != nil {
			yield(nil, err)
			return
		}
		dec := gob.NewDecoder(bufio.NewReaderSize(io.NewSectionReader(s.file, 0, 1<<62), 1<<16))
		for {
			var chunk []store.Content
			for len(chunk) < n {
				var c store.Content
				err := dec.Decode(&c)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					yield(nil, fmt.Errorf("read entities from %s: %w", s.file.Name(), err))
					return
				}
				chunk = append(chunk, c)
			}
			if len(chunk) == 0 || !yield(chunk, nil) {
				return
			}
		}
	}
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
	}
}
