package config

import (
	"errors"
	"fmt"
	"slices"
)

// A KeyError is a problem with one key. Its text never contains the value of a key
// that is a secret, or that came from a variable or a file.
type KeyError struct {
	Path string // catalog.providers.github.production.organization; empty for a whole file
	Pos  string // app-config.production.yaml:42:7, see [Config.Pos]; may be empty
	Err  error

	whole bool   // Path is complete, as opposed to what At makes
	fix   string // what to do, where Err alone does not say it
}

// Fix says what to do about the problem, in one line without a full stop; empty where
// the error itself says it, as one with a suggestion does.
func (e *KeyError) Fix() string { return e.fix }

// Error returns "path: problem (position)".
func (e *KeyError) Error() string {
	s := e.Err.Error()
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Pos != "" {
		s += " (" + e.Pos + ")"
	}
	return s
}

// Unwrap returns Err.
func (e *KeyError) Unwrap() error { return e.Err }

// At says that err is about the key at path, relative to the value at hand. It is
// for [Validator] and [Unmarshaler], whose caller completes path and position:
//
//	return config.At("schedule.timeout", errors.New("is longer than schedule.frequency"))
//
// At returns nil if err is nil.
func At(path string, err error) error {
	if err == nil {
		return nil
	}
	return &KeyError{Path: path, Err: err}
}

// AtWithFix is At for an error that also says what to do, see [KeyError.Fix].
func AtWithFix(path string, err error, fix string) error {
	if err == nil {
		return nil
	}
	return &KeyError{Path: path, Err: err, fix: fix}
}

// errAt makes a KeyError for a place in a tree.
func errAt(p path, pos position, format string, args ...any) *KeyError {
	return &KeyError{Path: p.String(), Pos: pos.String(), Err: fmt.Errorf(format, args...)}
}

// Problems returns the single errors that errors.Join put into err, in order, nil
// for nil.
func Problems(err error) []error {
	if err == nil {
		return nil
	}
	if _, single := err.(*KeyError); single {
		return []error{err}
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, Problems(e)...)
	}
	return out
}

// Locate completes the errors about keys in err, alone or joined, that do not say where
// their keys are: with the position of the key, or of the nearest one around it; with the
// variable because of which it is absent; and without values that must not be shown.
// Their paths are whole ones.
func (c *Config) Locate(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, c.Locate(e))
		}
		return errors.Join(out...)
	}
	ke, ok := errors.AsType[*KeyError](err)
	if !ok || ke.Pos != "" || ke.Path == "" {
		return err
	}
	p, found, nearest := c.find(ke.Path)
	if found != nil {
		nearest = found
	}
	whole := complete(ke.Err, nearest, p)
	if whole.fix == "" {
		whole.fix = ke.fix
	}
	if err == error(ke) {
		return whole
	}
	if whole.Pos == "" {
		return err
	}
	return &located{err, whole}
}

// A located error has the place of the key that it is about at its end.
type located struct {
	err error
	key *KeyError
}

func (l *located) Error() string { return l.err.Error() + " (" + l.key.Pos + ")" }
func (l *located) Unwrap() error { return l.err }

// Covered reports whether err is about a key that known has a problem with already, or
// about a value around or inside of such a key. Errors that are no *[KeyError] are about
// everything.
func Covered(err error, known ...error) bool {
	if len(known) == 0 {
		return false
	}
	return coveredBy(known, err)
}

func coveredBy(known []error, err error) bool {
	at := pathOf(err)
	return slices.ContainsFunc(known, func(k error) bool {
		one, other := at, pathOf(k)
		short := min(len(one), len(other))
		return slices.Equal(one[:short], other[:short])
	})
}

func pathOf(err error) path {
	if ke, ok := err.(*KeyError); ok {
		p, _ := parsePath(ke.Path)
		return p
	}
	return nil
}
