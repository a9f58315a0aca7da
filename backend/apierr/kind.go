// Package apierr holds the error kinds that the HTTP API speaks.
//
// A Kind is a name and a status. Errors are made from kinds, keep their kind
// through any amount of wrapping, and are recognised with errors.Is:
//
//	return apierr.NotFound.New("no entity %s", ref)
//	...
//	if errors.Is(err, apierr.NotFound) { ... }
//
// What a client sees is decided here and nowhere else, by Render. Its rule is that
// only text written for the client leaves the process: the message of an error that
// has a kind, and of its causes that have one. An error without a kind is an internal
// error: the client gets status 500 and a log id, and whoever writes the answer logs
// the original under that id. So a database message cannot reach a client by being
// returned, wrapped, or joined; it can only be printed into a message by hand.
package apierr

import "fmt"

// A Kind is a class of errors: the name that clients see in error.name, and the
// HTTP status. Kinds are comparable values and errors themselves, so that
// errors.Is(err, kind) works. The zero Kind is Internal.
type Kind struct {
	name   string
	status int
}

// The kinds of the contract (contract/backend.md section 6).
var (
	Input              = Kind{"InputError", 400}
	Authentication     = Kind{"AuthenticationError", 401}
	NotAllowed         = Kind{"NotAllowedError", 403}
	NotFound           = Kind{"NotFoundError", 404}
	Conflict           = Kind{"ConflictError", 409}
	NotModified        = Kind{"NotModifiedError", 304}
	NotImplemented     = Kind{"NotImplementedError", 501}
	ServiceUnavailable = Kind{"ServiceUnavailableError", 503}
)

// Kinds that carry their status in the error instead of in the name's row of the table.
var (
	// Syntax is what routers without API description answer to a malformed JSON body.
	Syntax = Kind{"SyntaxError", 400}
	// PayloadTooLarge means that a request body exceeds its limit.
	PayloadTooLarge = Kind{"PayloadTooLargeError", 413}
	// UnsupportedMediaType means that a request body is in a form that nobody here reads.
	UnsupportedMediaType = Kind{"UnsupportedMediaTypeError", 415}
	// TooManyRequests means that a rate limit is exceeded.
	TooManyRequests = Kind{"Error", 429}
	// Internal is a failure of this server whose message is fit for clients. Errors
	// without any kind have the same name and status, but their message is hidden.
	Internal = Kind{"Error", 500}
)

// NewKind returns a kind for errors of a plugin of your own. The status must be
// between 100 and 599; others become 500, which is what clients of the API expect.
func NewKind(name string, status int) Kind {
	if status < 100 || status > 599 {
		status = 500
	}
	return Kind{name, status}
}

// Status returns the kind of errors that are named "Error" and answered with status.
func Status(status int) Kind { return NewKind("Error", status) }

// Name returns what clients see in error.name, such as "NotFoundError".
func (k Kind) Name() string {
	if k.name == "" {
		return "Error"
	}
	return k.name
}

// Status returns the HTTP status that errors of this kind are answered with.
func (k Kind) Status() int {
	if k.status == 0 {
		return 500
	}
	return k.status
}

// Error returns the name. It makes a Kind a valid target of errors.Is.
func (k Kind) Error() string { return k.Name() }

// New returns an error of this kind. Its message is sent to clients.
func (k Kind) New(format string, args ...any) *Error {
	return newError(k, nil, format, args)
}

// Wrap returns an error of this kind that was caused by err. Clients see the cause,
// too, if it has a kind: as the end of the message ("...; caused by InputError: ...")
// and as error.cause. A cause without a kind is only seen in the log.
func (k Kind) Wrap(err error, format string, args ...any) *Error {
	return newError(k, err, format, args)
}

// Forward returns an error that keeps the kind of err, and puts a sentence in front
// of its message. An err without a kind stays an internal error.
func Forward(err error, format string, args ...any) error {
	k, ok := KindOf(err)
	if !ok {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
	}
	return newError(k, err, format, args)
}

// KindByName returns the contract's kind with that name. For other names it returns
// a kind with the name and the given status.
func KindByName(name string, status int) Kind {
	for _, k := range [...]Kind{Input, Authentication, NotAllowed, NotFound, Conflict, NotModified, NotImplemented, ServiceUnavailable} {
		if k.name == name {
			return k
		}
	}
	return NewKind(name, status)
}
