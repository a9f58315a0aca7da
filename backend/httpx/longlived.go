package httpx

import (
	"context"
	"net/http"
)

// A Drainer is what a server tells the requests that it serves about its own end.
type Drainer interface {
	// Draining is closed when the server stops accepting requests.
	Draining() <-chan struct{}
	// LongLived takes one request out of those that the server waits for, until release is called.
	LongLived() (release func())
}

type drainerKey struct{}

// ContextWithDrainer returns a context whose requests are served by d.
func ContextWithDrainer(ctx context.Context, d Drainer) context.Context {
	return context.WithValue(ctx, drainerKey{}, d)
}

// LongLived says that r is answered with a stream that has no end of its own: server-sent
// events, a WebSocket. The server does not wait for such a request when it stops; instead,
// draining is closed, and the handler should say goodbye and return. The handler calls
// release when it returns. Without a server, draining is nil.
func LongLived(r *http.Request) (draining <-chan struct{}, release func()) {
	d, ok := r.Context().Value(drainerKey{}).(Drainer)
	if !ok {
		return nil, func() {}
	}
	return d.Draining(), d.LongLived()
}
