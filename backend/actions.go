package backend

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"

	"github.com/callboard-dev/callboard/backend/internal/actions"
)

// Actions is the registry of one plugin's actions: what programs that do not know the
// plugin, such as assistants, may do with it. A plugin that has it injected serves them
// below /.backstage/actions (contract/backend.md section 22).
type Actions struct {
	registry *actions.Registry
	log      *slog.Logger
}

// Register adds actions. It is called from constructors and invoked functions, and
// panics on a duplicate, or on a type that has no JSON Schema: the panic is a boot
// error that names the caller.
func (a *Actions) Register(list ...Action) {
	for _, action := range list {
		d, err := action.define(a.log)
		if err == nil {
			err = a.registry.Register(d)
		}
		if err != nil {
			panic(err)
		}
	}
}

// An Action is made by NewAction or NewActionWithSecrets.
type Action struct {
	define func(log *slog.Logger) (actions.Definition, error)
}

// ActionOptions describe an action.
type ActionOptions struct {
	Name        string // lower-case letters, digits and dashes; the id is "<plugin>:<name>"
	Title       string
	Description string // what assistants read to decide whether it is what they need
	ReadOnly    bool   // it changes nothing
	Idempotent  bool   // to invoke it again changes nothing more
	Destructive *bool  // it may undo what others have done; nil: unless ReadOnly
	// VisibilityPermission is the name of the permission that a caller needs to see the
	// action, and to invoke it; empty: everybody who is signed in may.
	VisibilityPermission string
	Examples             []ActionExample
	// Input, Output and Secrets are JSON Schemas, instead of those of the Go types.
	Input, Output, Secrets json.RawMessage
}

// ActionExample is one use of an action. Input and Output are what JSON is made of.
type ActionExample = actions.Example

// ActionInfo is an action as its clients see it.
type ActionInfo = actions.Info

// OpenObject is a JSON object with any members, as the type of a field of an input or
// output.
type OpenObject map[string]any

// JSONSchema says that any object will do.
func (OpenObject) JSONSchema() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{},"additionalProperties":true}`)
}

// ActionCall is one invocation. Input has been checked against the schema.
type ActionCall[In any] struct {
	Input       In
	Credentials Credentials // of the caller, who may be a user or a service
	Log         *slog.Logger
}

// NewAction returns an action that run carries out. The schemas are made from the types
// In and Out, which are structs with the tag json, and further ones: doc for the
// description, enum, default, format, pattern, minLength, maxLength, minimum, maximum,
// minItems and maxItems. Fields that are pointers, or have omitempty or omitzero, may be
// left out. An error of run is answered with its kind (package apierr).
//
// run is called from any number of goroutines.
func NewAction[In, Out any](o ActionOptions, run func(ctx context.Context, call ActionCall[In]) (Out, error)) Action {
	return newAction(o, nil, func(ctx context.Context, call ActionCall[In], _ json.RawMessage) (Out, error) {
		return run(ctx, call)
	})
}

// NewActionWithSecrets is NewAction for actions that cannot do without secrets, which
// are apart from the input because inputs are logged and shown.
func NewActionWithSecrets[In, Secrets, Out any](o ActionOptions, run func(ctx context.Context, call ActionCall[In], secrets Secrets) (Out, error)) Action {
	return newAction(o, reflect.TypeFor[Secrets](), func(ctx context.Context, call ActionCall[In], text json.RawMessage) (Out, error) {
		var s Secrets
		if err := json.Unmarshal(text, &s); err != nil {
			var none Out
			return none, errors.New("the secrets do not fit their Go type") // err may repeat them
		}
		return run(ctx, call, s)
	})
}

func newAction[In, Out any](o ActionOptions, secrets reflect.Type, run func(context.Context, ActionCall[In], json.RawMessage) (Out, error)) Action {
	return Action{define: func(log *slog.Logger) (actions.Definition, error) {
		d := actions.Definition{Permission: o.VisibilityPermission}
		d.Name, d.Title, d.Description, d.Examples = o.Name, o.Title, o.Description, o.Examples
		d.Attributes = actions.Attributes{ReadOnly: o.ReadOnly, Idempotent: o.Idempotent, Destructive: !o.ReadOnly}
		if o.Destructive != nil {
			d.Attributes.Destructive = *o.Destructive
		}
		var err error
		if d.Schema.Input, err = schemaOr(o.Input, reflect.TypeFor[In]()); err != nil {
			return d, err
		}
		if d.Schema.Output, err = schemaOr(o.Output, reflect.TypeFor[Out]()); err != nil {
			return d, err
		}
		if secrets != nil {
			if d.Schema.Secrets, err = schemaOr(o.Secrets, secrets); err != nil {
				return d, err
			}
		}
		log = log.With("action", o.Name)
		d.Run = func(ctx context.Context, in, secrets json.RawMessage, caller Credentials) (any, error) {
			call := ActionCall[In]{Credentials: caller, Log: log}
			if err := json.Unmarshal(in, &call.Input); err != nil {
				return nil, err
			}
			return run(ctx, call, secrets)
		}
		return d, nil
	}}
}

func schemaOr(given json.RawMessage, t reflect.Type) (json.RawMessage, error) {
	if given != nil {
		return given, nil
	}
	return actions.SchemaOf(t)
}

// ActionPermissions decides who may see and invoke actions that have a
// VisibilityPermission. In a plugin with permission.Use it is the permission framework.
// In others everybody may, and nobody where permission.enabled is true.
type ActionPermissions interface {
	Allowed(ctx context.Context, caller Credentials, permission string) (bool, error)
}

// actionPermissions are what a plugin has offered (permission.Use does), or else a single
// answer to all questions.
type actionPermissions struct {
	plugin  PluginID
	local   *Local
	without bool
}

// actionPermissions are those of a plugin. Where permissions are enabled, one that nobody
// can be asked about must not become one that everybody has.
func (c *core) actionPermissions(id PluginID, l *Local) ActionPermissions {
	enabled, _, _ := c.cfg.Bool("permission.enabled")
	return actionPermissions{id, l, !enabled}
}

// Allowed implements ActionPermissions.
func (a actionPermissions) Allowed(ctx context.Context, caller Credentials, permission string) (bool, error) {
	if offered, ok := Find[ActionPermissions](a.local, a.plugin); ok {
		return offered.Allowed(ctx, caller, permission)
	}
	return a.without, nil
}

// NewActions returns an empty registry whose routes are on r, for tests of plugins that
// run without a backend; backendtest.Actions has registries with a client. A plugin in a
// backend has its own injected.
func NewActions(id PluginID, r Router, p ActionPermissions, log *slog.Logger) *Actions {
	return newActions(id, actions.Config{}, r, p, log)
}

// newActions mounts the registry of a plugin.
func (c *core) newActions(id PluginID, r Router, p ActionPermissions, log *slog.Logger) *Actions {
	return newActions(id, c.sections.Actions, r, p, log)
}

func newActions(id PluginID, cfg actions.Config, r Router, p ActionPermissions, log *slog.Logger) *Actions {
	a := &Actions{registry: actions.NewRegistry(string(id), cfg, p), log: log}
	a.registry.Routes(func(pattern string, h Handler) { r.Handle(pattern, h) })
	return a
}

// ActionsClient lists and invokes the actions of all plugins that
// backend.actions.pluginSources names, wherever they run, on behalf of a caller.
type ActionsClient interface {
	// List returns the actions that c may see. A plugin that does not answer is left out.
	List(ctx context.Context, c Credentials) ([]ActionInfo, error)
	// Invoke invokes an action by id and returns its output. secrets is nil for actions
	// without secrets. Its errors have the kinds of the action's.
	Invoke(ctx context.Context, c Credentials, id string, input, secrets json.RawMessage) (json.RawMessage, error)
}

func (c *core) actionsClient(clients Clients, log *slog.Logger) ActionsClient {
	return &actions.Client{Config: c.sections.Actions, Open: clients.Client, Log: log}
}
