package mcpactions

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/actions"
)

// Config is the subtree mcpActions.
type Config struct {
	NamespacedToolNames bool              `config:"namespacedToolNames" doc:"begin the name of a tool with that of its plugin, as in catalog.get-catalog-entity"`
	Servers             map[string]Server `config:"servers"`
	Limits              Limits            `config:"limits"`
}

// A Server is a view of the tools at a path of its own.
type Server struct {
	Name         string         `config:"name,required" doc:"what the server calls itself"`
	Description  string         `config:"description" doc:"what it is for"`
	Instructions string         `config:"instructions" doc:"what assistants are told about using it"`
	Filter       actions.Filter `config:"filter"`
}

// Limits bound what one request, and all of them, may cost.
type Limits struct {
	RequestBytes   int             `config:"requestBytes" doc:"largest body of a request"`
	ResultBytes    int             `config:"resultBytes" doc:"largest output of an action that is handed on"`
	Calls          int             `config:"concurrentCalls" doc:"how many calls of tools may run at the same time"`
	CallsPerCaller int             `config:"concurrentCallsPerCaller" doc:"how many of them may be of one caller"`
	CallTimeout    config.Duration `config:"callTimeout" doc:"how long a call of a tool may take"`
}

// Validate implements config.Validator.
func (l *Limits) Validate() error {
	var errs []error
	for _, v := range []struct {
		key   string
		value int64
	}{
		{"requestBytes", int64(l.RequestBytes)}, {"resultBytes", int64(l.ResultBytes)}, {"concurrentCalls", int64(l.Calls)},
		{"concurrentCallsPerCaller", int64(l.CallsPerCaller)}, {"callTimeout", int64(l.CallTimeout)},
	} {
		if v.value < 1 {
			errs = append(errs, config.At(v.key, errors.New("must be more than 0")))
		}
	}
	return errors.Join(errs...)
}

// serverKey is what a server may be called in a path.
var serverKey = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// Validate implements config.Validator.
func (c *Config) Validate() error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(c.Servers)) {
		if !serverKey.MatchString(key) {
			errs = append(errs, config.At("servers", fmt.Errorf("the key %q is part of a path: use lower-case letters, digits and dashes, the first one no dash", key)))
		}
	}
	return errors.Join(errs...)
}
