// Package actions offers what plugins can do to programs that do not know them: each
// plugin registers actions, and serves their list and their invocation; a client finds
// those of all plugins (contract/backend.md section 22).
//
// An action that a caller may not see cannot be invoked by that caller either: list and
// invoke ask the same question (SEC-50).
package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// Info is how an action is described to clients.
type Info struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	PluginID    string     `json:"pluginId"`
	Attributes  Attributes `json:"attributes"`
	Examples    []Example  `json:"examples,omitempty"`
	Schema      Schemas    `json:"schema"`
}

// Attributes are what clients want to know before they invoke an action.
type Attributes struct {
	Destructive bool `json:"destructive"`
	Idempotent  bool `json:"idempotent"`
	ReadOnly    bool `json:"readOnly"`
}

// Schemas are JSON Schemas. Secrets is nil for actions without secrets.
type Schemas struct {
	Input   json.RawMessage `json:"input"`
	Output  json.RawMessage `json:"output"`
	Secrets json.RawMessage `json:"secrets,omitempty"`
}

// Example is one use of an action.
type Example struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	Input       any    `json:"input,omitempty"`
	Output      any    `json:"output,omitempty"`
}

// A Definition is an action of a plugin. ID and PluginID of its Info are set when it is
// registered.
type Definition struct {
	Info
	Permission string // to see it, and to invoke it; empty: everybody may
	Run        func(ctx context.Context, in, secrets json.RawMessage, caller principal.Credentials) (any, error)
}

// Permissions decides who may see what.
type Permissions interface {
	Allowed(ctx context.Context, caller principal.Credentials, permission string) (bool, error)
}

// A Registry has the actions of one plugin. Register is called while a program is put
// together, the rest from any number of goroutines afterwards.
type Registry struct {
	plugin      string
	cfg         Config
	permissions Permissions
	actions     []*registered
}

type registered struct {
	Definition
	input, output, secrets *Checker
}

// NewRegistry returns the empty registry of a plugin.
func NewRegistry(plugin string, cfg Config, p Permissions) *Registry {
	return &Registry{plugin: plugin, cfg: cfg, permissions: p}
}

var namePattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Register adds an action.
func (r *Registry) Register(d Definition) error {
	what := fmt.Sprintf("action %q", d.Name)
	if !namePattern.MatchString(d.Name) {
		return fmt.Errorf("%s: the name is not lower-case letters, digits and dashes", what)
	}
	if d.Title == "" || d.Description == "" {
		return fmt.Errorf("%s needs a title and a description", what)
	}
	a := &registered{Definition: d}
	a.PluginID, a.ID = r.plugin, r.plugin+":"+d.Name
	for _, known := range r.actions {
		if known.Name == d.Name {
			return fmt.Errorf("%s is registered twice", what)
		}
	}
	var err error
	if a.input, err = NewChecker(d.Schema.Input); err != nil {
		return fmt.Errorf("%s: input schema: %w", what, err)
	}
	if a.output, err = NewChecker(d.Schema.Output); err != nil {
		return fmt.Errorf("%s: output schema: %w", what, err)
	}
	if d.Schema.Secrets != nil {
		if a.secrets, err = NewChecker(d.Schema.Secrets); err != nil {
			return fmt.Errorf("%s: secrets schema: %w", what, err)
		}
	}
	r.actions = append(r.actions, a)
	return nil
}

// Routes calls handle for each route.
func (r *Registry) Routes(handle func(pattern string, h httpx.HandlerFunc)) {
	handle("GET /.backstage/actions/v1/actions", r.list)
	handle("POST /.backstage/actions/v1/actions/{id}/invoke", r.invoke(bare))
	handle("POST /.backstage/actions/v2/actions/{id}/invoke", r.invoke(wrapped))
}

// visible reports whether a caller may see and invoke an action.
func (r *Registry) visible(ctx context.Context, a *registered, caller principal.Credentials) (bool, error) {
	if !r.cfg.source(r.plugin) || !r.cfg.Filter.Offers(a.ID, a.Attributes) {
		return false, nil
	}
	if a.Permission == "" {
		return true, nil
	}
	return r.permissions.Allowed(ctx, caller, a.Permission)
}

// caller refuses nobody, who gets this far only where the default auth policy is off.
func caller(req *http.Request) (principal.Credentials, error) {
	c := httpx.CallerOf(req)
	if c.Type() == principal.TypeNone {
		return c, apierr.NotAllowed.New("actions need a signed-in user or a service")
	}
	return c, nil
}

func (r *Registry) list(w http.ResponseWriter, req *http.Request) error {
	c, err := caller(req)
	if err != nil {
		return err
	}
	out := struct {
		Actions []Info `json:"actions"`
	}{[]Info{}}
	for _, a := range r.actions {
		ok, err := r.visible(req.Context(), a, c)
		if err != nil {
			return err
		}
		if ok {
			out.Actions = append(out.Actions, a.Info)
		}
	}
	return httpx.JSON(w, http.StatusOK, out)
}

// maxBody is the largest input; templates and files are among them.
const maxBody = 10 << 20

// body is what is invoked with. nil members were not given.
type body struct {
	Input   json.RawMessage `json:"input"`
	Secrets json.RawMessage `json:"secrets"`
}

// bare is version 1: the body is the input.
func bare(req *http.Request) (body, error) {
	b := body{Input: json.RawMessage("{}")}
	return b, httpx.DecodeJSON(req, &b.Input, httpx.OptionalBody(), httpx.MaxBytes(maxBody))
}

// wrapped is version 2.
func wrapped(req *http.Request) (body, error) {
	var b body
	return b, httpx.DecodeJSON(req, &b, httpx.OptionalBody(), httpx.MaxBytes(maxBody))
}

func (r *Registry) invoke(read func(*http.Request) (body, error)) httpx.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) error {
		c, err := caller(req)
		if err != nil {
			return err
		}
		a, err := r.find(req.Context(), req.PathValue("id"), c)
		if err != nil {
			return err
		}
		b, err := read(req)
		if err != nil {
			return err
		}
		if err := a.check(b); err != nil {
			return err
		}
		out, err := a.Run(req.Context(), b.Input, b.Secrets, c)
		if err != nil {
			return err
		}
		text, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("output of action %q: %w", a.ID, err)
		}
		if err := a.output.Check(text); err != nil {
			// Not the caller's mistake: hide its kind.
			return fmt.Errorf("action %q returns what its schema does not allow: %s", a.ID, err.Error())
		}
		return httpx.JSON(w, http.StatusOK, map[string]any{"output": out})
	}
}

// find returns an action that the caller may invoke; all others do not exist.
func (r *Registry) find(ctx context.Context, id string, c principal.Credentials) (*registered, error) {
	i := slices.IndexFunc(r.actions, func(a *registered) bool { return a.ID == id })
	if i >= 0 {
		ok, err := r.visible(ctx, r.actions[i], c)
		if err != nil {
			return nil, err
		}
		if ok {
			return r.actions[i], nil
		}
	}
	return nil, notFound(id)
}

func notFound(id string) error {
	return apierr.NotFound.New("Action %q not found", strings.ToValidUTF8(id, "\uFFFD"))
}

// check returns what is wrong with input and secrets. Errors never repeat a secret.
func (a *registered) check(b body) error {
	switch {
	case a.secrets == nil && b.Secrets != nil:
		return apierr.Input.New("Action %q does not accept secrets", a.ID)
	case a.secrets != nil && b.Secrets == nil:
		return apierr.Input.New("Action %q requires secrets but none were provided", a.ID)
	}
	if err := a.input.Check(b.Input); err != nil {
		return apierr.Input.Wrap(err, "Invalid input to action %q", a.ID)
	}
	if a.secrets != nil && a.secrets.Check(b.Secrets) != nil {
		return apierr.Input.New("Invalid secrets to action %q: they do not have the form that its schema demands", a.ID)
	}
	return nil
}
