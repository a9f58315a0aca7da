package ingest

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Failure is an error of processing as it is stored, shown in status.items, and
// published (contract catalog.md, 2.7.5).
type Failure struct {
	Name    string   `json:"name"`
	Message string   `json:"message"`
	Cause   *Failure `json:"cause,omitempty"`

	err  error  // what it was made of; nil once it was stored
	code Code   // what was being done
	path string // JSON pointer of what it is about in the entity, if err does not tell
}

// A Code says in which part of processing a failure came up, for tools that sort them.
type Code string

// The codes. Those of documents and duplicates are about what a Location leads to.
const (
	CodeEntity      Code = "entity"      // the entity itself: a check, or a processor
	CodePlaceholder Code = "placeholder" // what stands in for a value
	CodeTarget      Code = "target"      // what a Location points to cannot be read
	CodeDocument    Code = "document"    // a document that was read is no entity
	CodeDuplicate   Code = "duplicate"   // two documents define one entity
	CodeRule        Code = "rule"        // catalog.rules do not allow what was read
)

// Code says what was being done.
func (f Failure) Code() Code { return f.code }

// Path is the JSON pointer of the value that the failure is about, empty if its error
// tells, or nobody knows.
func (f Failure) Path() string { return f.path }

// Unwrap returns the error that the failure was made of, nil for one that was stored.
func (f Failure) Unwrap() error { return f.err }

func (f Failure) Error() string { return f.Message }

// A flaw is what one of the checks finds wrong with the entity itself, as opposed to
// what could not be read on its behalf. cause is the name that clients show.
type flaw struct {
	cause string
	err   error
}

// Names of causes, which editors show.
const (
	typeCause = "TypeError" // a member is missing, or not what it must be for the kind
	ruleCause = "Error"     // a member breaks a rule of all entities
)

func (f *flaw) Error() string { return f.err.Error() }
func (f *flaw) Unwrap() error { return f.err }

// flawed is err as a flaw; no error stays none.
func flawed(cause string, err error) error {
	if err == nil {
		return nil
	}
	return &flaw{cause, err}
}

// StatusError is the failure as it is served.
func (f Failure) StatusError() entity.StatusError {
	out := entity.StatusError{Name: f.Name, Message: f.Message}
	if f.Cause != nil {
		cause := f.Cause.StatusError()
		out.Cause = &cause
	}
	return out
}

// maxMessage bounds what a foreign server's answer can put into an entity.
const maxMessage = 5000

// failureOf flattens joined errors, one failure for each.
func failuresOf(code Code, err error) []Failure {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if _, list := err.(entity.ValidationErrors); !list {
			var out []Failure
			for _, one := range joined.Unwrap() {
				out = append(out, failuresOf(code, one)...)
			}
			return out
		}
	}
	return []Failure{failureOf(code, err)}
}

func failureOf(code Code, err error) Failure {
	f := Failure{Name: "Error", Message: cut(err.Error()), err: err, code: code}
	var placeholder *entity.PlaceholderError
	if code == CodeEntity && errors.As(err, &placeholder) {
		f.code, f.path = CodePlaceholder, placeholder.Path
	}
	var found *flaw
	if errors.As(err, &found) {
		f.Name = apierr.Input.Name()
		f.Cause = &Failure{Name: found.cause, Message: cut(found.err.Error())}
	}
	if kind, ok := apierr.KindOf(err); ok {
		f.Name = kind.Name()
		return f
	}
	var invalid entity.ValidationErrors
	var one entity.ValidationError
	var doc *entity.DocumentError
	var ref *entity.RefError
	if errors.As(err, &invalid) || errors.As(err, &one) || errors.As(err, &doc) || errors.As(err, &ref) {
		f.Name = apierr.Input.Name()
	}
	return f
}

func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return s[:maxMessage] + "..."
}

func encodeFailures(list []Failure) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return json.Marshal(list)
}

// places is where the document of an entity stands, to be told when its own run
// finds fault with it. At has the pointers that were faulty when it was parsed, and those
// of placeholders, which can fail any time; Kind is the place of the kind, which rules are
// about.
type places struct {
	File   string            `json:"file"`
	Line   int               `json:"line"`
	Column int               `json:"column"`
	Kind   [2]int            `json:"kind,omitzero"`
	At     map[string][2]int `json:"at,omitempty"`
}

// maxPlaces bounds the places that are kept of one document.
const maxPlaces = 100

// placesOf notes the document's place, and those of what check finds wrong.
func placesOf(doc *entity.Document, check func(entity.Entity) error) ([]byte, error) {
	if doc == nil {
		return nil, nil
	}
	start := doc.Positions.At("")
	p := places{File: doc.Name, Line: start.Line, Column: start.Column}
	if at := doc.Positions.At("/kind"); at != start {
		p.Kind = [2]int{at.Line, at.Column}
	}
	note := func(pointer string) {
		if p.At == nil {
			p.At = map[string][2]int{}
		}
		at := doc.Positions.At(pointer)
		p.At[pointer] = [2]int{at.Line, at.Column}
	}
	_, err := entity.ResolvePlaceholders(context.Background(), doc.Entity, func(_ context.Context, found entity.Placeholder) (any, bool, error) {
		if len(p.At) < maxPlaces {
			note(found.Path)
		}
		return nil, false, nil
	})
	if err != nil {
		return nil, err
	}
	var invalid entity.ValidationErrors
	if errors.As(check(doc.Entity), &invalid) {
		for _, one := range invalid[:min(len(invalid), maxPlaces)] {
			note(one.Path)
		}
	}
	return json.Marshal(p)
}

// locate puts file:line:column in front of what err says.
func locate(err error, data []byte) error {
	var p places
	if len(data) == 0 || json.Unmarshal(data, &p) != nil || p.File == "" {
		return err
	}
	at := func(line, column int, err error) error {
		return &entity.DocumentError{Name: p.File, Position: entity.Position{Line: line, Column: column}, Err: err}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if _, list := err.(entity.ValidationErrors); !list {
			var all []error
			for _, one := range joined.Unwrap() {
				all = append(all, locate(one, data))
			}
			return errors.Join(all...)
		}
	}
	var invalid entity.ValidationErrors
	if !errors.As(err, &invalid) {
		pointer := ""
		if placeholder, ok := errors.AsType[*entity.PlaceholderError](err); ok {
			pointer = placeholder.Path
		}
		place := p.of(pointer)
		return at(place[0], place[1], err)
	}
	var of *flaw
	errors.As(err, &of)
	out := make([]error, len(invalid))
	for i, one := range invalid {
		place := p.of(one.Path)
		out[i] = at(place[0], place[1], one)
		if of != nil {
			out[i] = at(place[0], place[1], &flaw{of.cause, one})
		}
	}
	return errors.Join(out...)
}

// of is the place of a value, or else of the document.
func (p places) of(pointer string) [2]int {
	if place, ok := p.At[pointer]; ok {
		return place
	}
	if pointer == "/kind" && p.Kind[0] != 0 {
		return p.Kind
	}
	return [2]int{p.Line, p.Column}
}

// locateAt is locate for an error about one value.
func locateAt(pointer string, err error, data []byte) error {
	var p places
	if len(data) == 0 || json.Unmarshal(data, &p) != nil || p.File == "" {
		return err
	}
	place := p.of(pointer)
	return &entity.DocumentError{Name: p.File, Position: entity.Position{Line: place[0], Column: place[1]}, Err: err}
}
