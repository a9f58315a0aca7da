package backend

import (
	"errors"
	"fmt"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// A BootError lists every problem that keeps a backend from starting. errors.Is and
// errors.As see the causes of all of them.
type BootError struct {
	Problems []Problem

	redact func(string) string // nil: texts are shown as they are
}

// A Problem is what is wrong with one feature.
type Problem struct {
	Feature string // catalog, catalog/github, or backend for what belongs to nobody
	AddedAt string // main.go:17; empty for the backend itself
	Err     error  // may be a join of several
}

// Error is the text that Main prints: a numbered list, each entry with the place
// where its feature was added, what is wrong, and the fix where there is one. Secrets of
// the configuration are replaced by three stars, also where a plugin's error has them.
func (e *BootError) Error() string {
	var b strings.Builder
	noun := "problems"
	if len(e.Problems) == 1 {
		noun = "problem"
	}
	fmt.Fprintf(&b, "backend cannot start: %d %s\n", len(e.Problems), noun)
	for i, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %d. %s", i+1, p.Feature)
		if p.AddedAt != "" {
			fmt.Fprintf(&b, " (added at %s)", p.AddedAt)
		}
		b.WriteByte('\n')
		for _, err := range flatten(p.Err) {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				b.WriteString(strings.TrimRight("     "+line, " ") + "\n")
			}
			if ke, ok := errors.AsType[*config.KeyError](err); ok && ke.Fix() != "" {
				b.WriteString("     fix: " + ke.Fix() + "\n")
			}
		}
	}
	if e.redact != nil {
		return e.redact(b.String())
	}
	return b.String()
}

func (e *BootError) Unwrap() []error {
	out := make([]error, 0, len(e.Problems))
	for _, p := range e.Problems {
		out = append(out, p.Err)
	}
	return out
}

// flatten is the leaves of joined errors, in order.
func flatten(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Fix is an error that also says what to do about it. Boot errors print the fix on a
// line of its own:
//
//	techdocs.publisher.type is "awsS3", but no publisher of that type is part of this backend
//	fix: backend.Add(s3techdocs.Module())
func Fix(what, fix string) error { return &fixError{err: errors.New(what), fix: fix} }

// FixErr is Fix for a cause that errors.Is should find.
func FixErr(err error, fix string) error { return &fixError{err: err, fix: fix} }

type fixError struct {
	err error
	fix string
}

func (e *fixError) Error() string { return e.err.Error() + "\nfix: " + e.fix }
func (e *fixError) Unwrap() error { return e.err }

// problems collects, and keeps one entry per feature.
type problems struct {
	list   []Problem
	redact func(string) string
}

func (p *problems) add(f *feature, err error) {
	if err == nil {
		return
	}
	name, at := "backend", ""
	if f != nil {
		name, at = f.name(), f.addedAt
	}
	for i := range p.list {
		if p.list[i].Feature == name && p.list[i].AddedAt == at {
			p.list[i].Err = errors.Join(p.list[i].Err, err)
			return
		}
	}
	p.list = append(p.list, Problem{Feature: name, AddedAt: at, Err: err})
}

// keys is the errors in p that are about keys of the configuration.
func (p *problems) keys() []error {
	var out []error
	for _, problem := range p.list {
		for _, err := range flatten(problem.Err) {
			if ke, ok := err.(*config.KeyError); ok && ke.Path != "" {
				out = append(out, err)
			}
		}
	}
	return out
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &BootError{Problems: p.list, redact: p.redact}
}

// A panicError is a panic caught at a boundary, with the frame that raised it.
type panicError struct {
	value any
	at    string // file:line of the panicking frame
	stack []byte
}

func (e *panicError) Error() string {
	if e.at == "" {
		return fmt.Sprintf("panic: %v", e.value)
	}
	return fmt.Sprintf("panic: %v (%s)", e.value, e.at)
}

func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}
