package backend

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// index is what answers outside of /api: the plugin that serves pages, else the landing page.
type index struct {
	landing *landing
	owner   PluginID
	handler Handler
	errors  httpx.ErrorWriter
	gate    func() *gate // of the owner
}

// pluginIndex is the Index of one plugin.
type pluginIndex struct {
	x      *index
	id     PluginID
	errors httpx.ErrorWriter
	gate   func() *gate
}

// Handle panics if another plugin has called it: the panic is a boot error that names the
// constructor or invoked function that called it.
func (p pluginIndex) Handle(h Handler) {
	if p.x.owner != "" {
		panic(fmt.Errorf("plugin %q already answers the paths outside of /api", p.x.owner))
	}
	p.x.owner, p.x.handler, p.x.errors, p.x.gate = p.id, h, p.errors, p.gate
}

func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x.handler == nil {
		x.landing.ServeHTTP(w, r)
		return
	}
	err := x.gate().gate.Wait(r.Context())
	if err == nil {
		err = x.handler(w, r)
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrNoPage):
		x.landing.ServeHTTP(w, r)
	default:
		x.errors.Write(w, r, err)
	}
}
