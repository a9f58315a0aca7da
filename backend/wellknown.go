package backend

import (
	"net/http"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// WellKnown serves paths that standards fix at the root of a host, such as
// /.well-known/security.txt. It is injected into plugins and modules.
type WellKnown interface {
	// Handle answers GET and HEAD of a path that begins with /.well-known/, exactly as it is
	// written, for everybody. It answers as soon as the server listens, so h asks other
	// plugins through Clients and does not need its own to have started. Two handlers of one
	// path are a boot error.
	Handle(path string, h Handler)
}

// wellKnown is the WellKnown of one plugin.
type wellKnown struct {
	c      *core
	errors httpx.ErrorWriter
}

// Handle implements WellKnown. A panic is a boot error that names its caller.
func (w wellKnown) Handle(path string, h Handler) {
	err := w.c.server.HandleWellKnown(path, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := h(rw, r); err != nil {
			w.errors.Write(rw, r, err)
		}
	}))
	if err != nil {
		panic(err)
	}
}
