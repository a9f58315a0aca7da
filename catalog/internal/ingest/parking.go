package ingest

import (
	"os"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// parkedFrom is how many bytes of documents an outcome keeps in memory. A Location may
// lead to tens of thousands of entities, which are stored in one transaction.
const parkedFrom = 4 << 20

// A parking keeps the documents of one outcome: the first ones in memory, those
// beyond parkedFrom in a temporary file.
type parking struct {
	size int
	file *os.File // nil: there are no others
	end  int64
}

// A document is the JSON of a child. The zero value is that of a child which the cache
// told of, and nobody has read now.
type document struct {
	held []byte
	file *os.File // if held is nil
	at   int64
	size int
}

func (d document) fresh() bool { return d.held != nil || d.file != nil }

func (d document) read() ([]byte, error) {
	if d.file == nil {
		return d.held, nil
	}
	doc := make([]byte, d.size)
	_, err := d.file.ReadAt(doc, d.at)
	return doc, err
}

// put takes a document of a child over. Where no file can be written, it stays in memory.
func (p *parking) put(d document) document {
	if !d.fresh() {
		return d
	}
	if p.size += len(d.held); p.size <= parkedFrom {
		return d
	}
	if p.file == nil {
		file, err := os.CreateTemp("", "callboard-catalog-*")
		if err != nil {
			return d
		}
		p.file = file
	}
	n, err := p.file.WriteAt(d.held, p.end)
	if err != nil {
		return d
	}
	parked := document{file: p.file, at: p.end, size: n}
	p.end += int64(n)
	return parked
}

// close ends the life of all documents that are not in memory.
func (p *parking) close() {
	if p.file != nil {
		p.file.Close()
		os.Remove(p.file.Name())
		p.file = nil
	}
}

// into makes d the document of a content.
func (d document) into(c store.Content) store.Content {
	if d.file == nil {
		c.Unprocessed = d.held
	} else {
		c.Parked = d.read
	}
	return c
}
