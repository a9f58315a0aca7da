package apierr

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"strings"
)

// Error is an error with a kind. It is made by Kind.New, Kind.Wrap, and Forward,
// and is immutable.
type Error struct {
	kind    Kind
	message string
	cause   error
	extra   map[string]any
	pcs     [12]uintptr
}

func newError(k Kind, cause error, format string, args []any) *Error {
	e := &Error{kind: k, cause: cause, message: format}
	if len(args) > 0 {
		e.message = fmt.Sprintf(format, args...)
	}
	runtime.Callers(3, e.pcs[:])
	return e
}

// Error returns the whole story for logs, with every cause: "message; caused by Name: message".
func (e *Error) Error() string {
	if e.cause == nil {
		return e.message
	}
	return e.message + "; caused by " + nameOf(e.cause) + ": " + e.cause.Error()
}

// Kind returns the kind of the error.
func (e *Error) Kind() Kind { return e.kind }

// Is makes errors.Is(err, kind) find the kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.kind
}

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// With returns a copy of e that has an extra member in the error object on the wire.
// The members name, message, cause, and stack cannot be replaced. The value must be
// one that encoding/json can encode.
func (e *Error) With(member string, value any) *Error {
	c := *e
	c.extra = maps.Clone(e.extra)
	if c.extra == nil {
		c.extra = map[string]any{}
	}
	c.extra[member] = value
	return &c
}

// KindOf returns the outermost kind of err, which decides name and status, and
// whether err has one.
func KindOf(err error) (Kind, bool) {
	switch e := find(err).(type) {
	case *Error:
		return e.kind, true
	case Kind:
		return e, true
	}
	return Internal, false
}

// StatusOf returns the HTTP status that err is answered with; 500 without a kind.
func StatusOf(err error) int {
	k, _ := KindOf(err)
	return k.Status()
}

// IsUnavailable reports whether an error in the tree of err has a method Unavailable that
// returns true: what was needed is away for the moment. Answers to such errors are 503.
func IsUnavailable(err error) bool {
	var away interface{ Unavailable() bool }
	return errors.As(err, &away) && away.Unavailable()
}

// find returns the outermost *Error or Kind in the tree of err, depth first, or nil.
func find(err error) error {
	for err != nil {
		switch e := err.(type) {
		case *Error, Kind:
			return e
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				if f := find(inner); f != nil {
					return f
				}
			}
			return nil
		default:
			return nil
		}
	}
	return nil
}

func nameOf(err error) string {
	k, _ := KindOf(err)
	return k.Name()
}

// wireMessage returns the part of the error's text that clients may see. Text that
// was put in front of an error that has a kind, with fmt.Errorf("...: %w", err), was
// written by the code that handles the request, and belongs to the message. Where
// errors were joined, only the one with the kind speaks.
func wireMessage(err error) string {
	switch e := err.(type) {
	case *Error:
		if c := e.cause; c != nil {
			if _, ok := KindOf(c); ok {
				return e.message + "; caused by " + nameOf(c) + ": " + wireMessage(c)
			}
		}
		return e.message
	case Kind:
		return e.Name()
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		if inner == nil {
			return ""
		}
		full, part := err.Error(), inner.Error()
		if prefix, ok := strings.CutSuffix(full, part); ok {
			return prefix + wireMessage(inner)
		}
		return wireMessage(inner)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if find(inner) != nil {
				return wireMessage(inner)
			}
		}
	}
	return ""
}

// stack returns the place where e was made and its callers, one per line.
func (e *Error) stack() string {
	var b strings.Builder
	frames := runtime.CallersFrames(e.pcs[:])
	for {
		f, more := frames.Next()
		if f.Function == "" {
			break
		}
		b.WriteString("\n    at " + f.Function + " (" + f.File + ":" + strconv.Itoa(f.Line) + ")")
		if !more {
			break
		}
	}
	return b.String()
}

// As returns the outermost *Error of err, or nil.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
