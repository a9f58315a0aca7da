package permission

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
)

// An Authorizer is what a plugin asks, on behalf of the caller of a request. It is safe
// for concurrent use.
//
// Services are decided by the access restrictions of their tokens alone. For others
// everything is allowed while permission.enabled is false; otherwise the policy decides.
// An error means that nobody knows; it must not be taken for a yes.
type Authorizer struct {
	plugin  backend.PluginID
	config  Config
	own     *Extensions
	clients backend.Clients
	local   *backend.Local
	log     *slog.Logger
	faults  faults
}

type authorizerParams struct {
	fx.In

	Plugin     backend.PluginID
	Config     Config
	Extensions *Extensions
	Clients    backend.Clients
	Local      *backend.Local
	Auditor    backend.Auditor
	Log        *slog.Logger
}

func newAuthorizer(p authorizerParams) *Authorizer {
	return &Authorizer{p.Plugin, p.Config, p.Extensions, p.Clients, p.Local, p.Log, faults{p.Auditor, p.Log}}
}

// A Request is one thing that somebody wants to do.
type Request struct {
	Permission Permission
	Ref        string // of the resource; empty for basic permissions
}

// Authorize answers yes or no to each request, in their order. Requests about resources
// need a Ref.
func (a *Authorizer) Authorize(ctx context.Context, creds backend.Credentials, requests ...Request) ([]bool, error) {
	questions := make([]question, len(requests))
	for i, r := range requests {
		questions[i] = question{permission: r.Permission}
		if r.Permission.ResourceType != "" {
			if r.Ref == "" {
				return nil, fmt.Errorf("permission %s is about one %s, and none is named", r.Permission.Name, r.Permission.ResourceType)
			}
			questions[i].refs = []string{r.Ref}
		}
	}
	answers, err := a.ask(ctx, creds, questions)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(answers))
	for i, ans := range answers {
		out[i] = ans.allows(0)
	}
	return out, nil
}

// Decide returns decisions about permissions without naming resources, in their order.
// Those on resources may be conditional; the plugin then applies the criteria, to lists
// with QueryOf. Conditions that the plugin could not apply, such as those with a rule that
// it does not have, are a denial, which is logged and audited.
func (a *Authorizer) Decide(ctx context.Context, creds backend.Credentials, permissions ...Permission) ([]Decision, error) {
	questions := make([]question, len(permissions))
	for i, p := range permissions {
		questions[i] = question{permission: p}
	}
	answers, err := a.ask(ctx, creds, questions)
	if err != nil {
		return nil, err
	}
	out := make([]Decision, len(answers))
	for i, ans := range answers {
		out[i] = a.sound(ctx, creds, permissions[i], ans.decision)
	}
	return out, nil
}

// Require returns nil if creds may do it, an apierr.NotAllowed if not, and another error
// if nobody knows. ref is empty for basic permissions.
func (a *Authorizer) Require(ctx context.Context, creds backend.Credentials, p Permission, ref string) error {
	ok, err := a.Authorize(ctx, creds, Request{p, ref})
	if err != nil {
		return err
	}
	if !ok[0] {
		return apierr.NotAllowed.New("permission %s is denied", p.Name)
	}
	return nil
}

// Allowed implements backend.ActionPermissions: actions name a permission, of this plugin.
// One that nobody has registered, and one on resources unless it is allowed for all of
// them, are denied.
func (a *Authorizer) Allowed(ctx context.Context, caller backend.Credentials, name string) (bool, error) {
	p, ok := a.own.permission(name)
	if !ok {
		a.log.WarnContext(ctx, "an action is hidden: its visibility permission is not registered", "permission", name)
		return false, nil
	}
	d, err := a.Decide(ctx, caller, p)
	return err == nil && d[0] == Allow, err
}

var _ backend.ActionPermissions = (*Authorizer)(nil)

// ask finds who answers (contract permission.md 1.6).
func (a *Authorizer) ask(ctx context.Context, creds backend.Credentials, questions []question) ([]answer, error) {
	if len(questions) == 0 {
		return nil, nil
	}
	if service, ok := creds.Service(); ok {
		return a.restricted(service, questions), nil
	}
	if !a.config.Enabled {
		return same(questions, Allow), nil
	}
	if h, ok := backend.Find[*host](a.local, pluginID); ok {
		return h.answer(ctx, creds, questions)
	}
	return a.askRemote(ctx, creds, questions)
}

// restricted decides about services: no policy sees them.
func (a *Authorizer) restricted(s principal.Service, questions []question) []answer {
	in, ok := s.Restrictions.For(string(a.plugin))
	out := make([]answer, len(questions))
	for i, q := range questions {
		out[i].decision = decided(ok && in.Permits(q.permission.Name, q.permission.Action))
	}
	return out
}

func same(questions []question, d Decision) []answer {
	return slices.Repeat([]answer{{decision: d}}, len(questions))
}

// A question is one item of a batch. Without refs the answer may be conditional.
type question struct {
	permission Permission
	refs       []string
	many       bool // refs were an array, and so is the result
}

// An answer has one result for each ref in each, or a decision for all of them.
type answer struct {
	decision Decision
	each     []bool
}

func (a answer) allows(i int) bool {
	if a.each != nil {
		return a.each[i]
	}
	return a.decision == Allow
}
