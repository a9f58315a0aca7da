package apierr

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
)

// Rendered is what becomes of an error on the wire.
type Rendered struct {
	// Status is the HTTP status of the answer.
	Status int
	// Object is the value of the body's member "error", as JSON.
	Object json.RawMessage
	// LogID is set if the error's text was hidden from the client. The caller of
	// Render must log the error under this id.
	LogID string
}

// Render decides what a client gets to see of err. With stack, which is for
// development only, the object has a member "stack".
func Render(err error, stack bool) Rendered {
	outer := find(err)
	if outer == nil {
		id := newLogID()
		return Rendered{Status: http.StatusInternalServerError, LogID: id,
			Object: object(Internal.Name(), "An internal error occurred logId="+id, nil)}
	}
	k, _ := KindOf(outer)
	return Rendered{Status: k.Status(), Object: objectOf(err, stack)}
}

// Body returns the error body of contract/backend.md section 6. The url is relative
// to the mount of the plugin and includes the query.
func (r Rendered) Body(method, url string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"error":`)
	b.Write(r.Object)
	b.WriteString(`,"request":{"method":`)
	b.Write(encode(method))
	b.WriteString(`,"url":`)
	b.Write(encode(url))
	b.WriteString(`},"response":{"statusCode":`)
	b.Write(encode(r.Status))
	b.WriteString(`}}`)
	return b.Bytes()
}

type member struct {
	name  string
	value json.RawMessage
}

// objectOf renders an error that has a kind.
func objectOf(err error, stack bool) json.RawMessage {
	var more []member
	message := wireMessage(err)
	e, _ := find(err).(*Error)
	if e != nil {
		if stack {
			more = append(more, member{"stack", encode(e.kind.Name() + ": " + message + e.stack())})
		}
		if _, ok := KindOf(e.cause); ok {
			more = append(more, member{"cause", objectOf(e.cause, stack)})
		}
		for _, name := range slices.Sorted(maps.Keys(e.extra)) {
			switch name {
			case "name", "message", "cause", "stack":
				continue
			}
			more = append(more, member{name, encode(e.extra[name])})
		}
	}
	return object(nameOf(err), message, more)
}

func object(name, message string, more []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteString(`{"name":`)
	b.Write(encode(name))
	b.WriteString(`,"message":`)
	b.Write(encode(message))
	for _, m := range more {
		b.WriteByte(',')
		b.Write(encode(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encode returns v as JSON without HTML escaping. A value that has no JSON form
// becomes null: an error answer must not fail because of a decoration.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// newLogID returns 20 hexadecimal digits that tie an answer to a line in the log.
func newLogID() string {
	var b [10]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
