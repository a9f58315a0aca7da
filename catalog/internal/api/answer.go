package api

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Entities that are served as they are stored are streamed: their answers have neither
// ETag nor Content-Length. Projections of a page are buffered, and have both. That is
// what the reference does, and clients' caches rely on (the recordings of catalog-read
// hold it).

// streamJSON answers with one document that is not buffered.
func streamJSON(w http.ResponseWriter, doc json.RawMessage) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(doc); err != nil {
		return err
	}
	// Without a flush the server would add a Content-Length to a short answer. After the
	// write it costs no packet of its own.
	return http.NewResponseController(w).Flush()
}

// streamEntities answers with an array of everything that seq yields.
func streamEntities(w http.ResponseWriter, seq iter.Seq2[json.RawMessage, error], fields entity.Fields) error {
	out := httpx.NewArrayWriter(w, http.StatusOK)
	var projected []byte
	empty := true
	for e, err := range seq {
		empty = false
		if err == nil && !fields.All() {
			projected, err = fields.Append(projected[:0], e)
			e = projected
		}
		if err != nil {
			return err
		}
		if err := out.Item(e); err != nil {
			return err
		}
	}
	if empty { // recorded with an ETag, as the one list that is not streamed
		return httpx.JSONBytes(w, http.StatusOK, []byte("[]"))
	}
	return out.Close()
}

var null = json.RawMessage("null")

// each yields what is in a list.
func each(items []json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for _, e := range items {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// writeEntities answers with a page of entities, null where there is none, within
// before and after.
func writeEntities(w http.ResponseWriter, before string, items iter.Seq2[json.RawMessage, error], fields entity.Fields, after string) error {
	if fields.All() {
		out := httpx.NewArrayWriter(w, http.StatusOK).Within(before, after)
		for e, err := range items {
			if err != nil {
				return err
			}
			if e == nil {
				e = null
			}
			if err := out.Item(e); err != nil {
				return err
			}
		}
		return out.Close()
	}
	var doc bytes.Buffer
	doc.WriteString(before + "[")
	var projected []byte
	first := true
	for e, err := range items {
		if err != nil {
			return err
		}
		if !first {
			doc.WriteByte(',')
		}
		first = false
		if e == nil {
			doc.Write(null)
			continue
		}
		if projected, err = fields.Append(projected[:0], e); err != nil {
			return err
		}
		doc.Write(projected)
	}
	doc.WriteString("]" + after)
	return httpx.JSONBytes(w, http.StatusOK, doc.Bytes())
}

// marshal is the JSON of a part of an answer; it has no characters that HTML minds.
func marshal(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
