package app

import (
	"sync/atomic"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// offeredSchemas are those of the bundle, for other plugins of this process.
type offeredSchemas struct {
	list atomic.Pointer[[]config.Schema]
}

var _ backend.ConfigSchemas = (*offeredSchemas)(nil)

// set is called once the bundle has been read; e is nil without one.
func (o *offeredSchemas) set(e *entry) {
	if e != nil {
		o.list.Store(&e.schemas)
	}
}

// ConfigSchemas implements backend.ConfigSchemas.
func (o *offeredSchemas) ConfigSchemas() []config.Schema {
	if list := o.list.Load(); list != nil {
		return *list
	}
	return nil
}
