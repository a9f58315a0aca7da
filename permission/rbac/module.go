package rbac

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// Module makes roles the policy of the permission plugin, and adds their REST API. It does
// nothing but allow everything while permission.enabled is false.
func Module() backend.Feature {
	return backend.NewModule("permission", "rbac",
		backend.Section("permission.rbac", defaults()),
		backend.ExtensionPoint[Extensions](),
		backend.Migrations(store.Migrations()),
		fx.Provide(store.New, fx.Private),
		fx.Invoke(register),
		backend.Subcommand("policy", "checks policy files, and explains decisions", runPolicy),
	)
}

type params struct {
	fx.In

	Config     Config
	Permission permission.Config
	Extensions *Extensions
	Framework  *permission.Extensions
	Authorizer *permission.Authorizer
	Store      *store.Store
	Router     backend.Router
	Clients    backend.Clients
	Auth       backend.Auth
	Auditor    backend.Auditor
	Background *backend.Background
	Lifecycle  fx.Lifecycle
	System     backend.SystemMetadata
	Log        *slog.Logger
}

func register(p params) error {
	if !p.Permission.Enabled {
		p.Framework.SetPolicy(permission.AllowEverything())
		p.Lifecycle.Append(fx.StartHook(func(ctx context.Context) {
			p.Log.WarnContext(ctx, "roles have no effect, and everybody may do everything: permission.enabled is not true")
		}))
		return nil
	}
	all, err := newProviders(p.Extensions.providers)
	if err != nil {
		return err
	}
	l := newLive(p.Store, p.Config.engineOptions(), p.Log)
	m := newMembers(asPlugin(p.Clients, p.Auth), p.Config.depth(), p.Log)
	p.Framework.SetPolicy(&policy{live: l, members: m, audit: p.Config.AuditEvaluations, auditor: p.Auditor, log: p.Log})
	registerPermissions(p.Framework, l, p.Config.DefaultPermissions.DefaultRole)
	known := slices.Clone(p.Config.PluginsWithPermission)
	for _, id := range p.Extensions.plugins {
		if !slices.Contains(known, id) {
			known = append(known, id)
		}
	}
	asked := &plugins{configured: known, own: p.Framework, clients: p.Clients, auth: p.Auth, live: l, log: p.Log}
	(&rest{
		config: p.Config, live: l, authorizer: p.Authorizer, extensions: p.Framework, plugins: asked,
		providers: all, auditor: p.Auditor, log: p.Log, now: time.Now,
	}).mount(p.Router)
	f := newFiles(p.Config, l, p.Auditor, p.Log)
	f.check = asked.checkCondition
	p.Lifecycle.Append(fx.StartHook(func(ctx context.Context) error { return start(ctx, p, f, all) }))
	return nil
}

// start reads everything before the first question is answered.
func start(ctx context.Context, p params, f *files, all *providers) error {
	c := p.Config
	if len(c.Admin.Users) == 0 && len(c.Admin.SuperUsers) == 0 {
		p.Log.WarnContext(ctx, "nobody may edit roles: neither permission.rbac.admin.users nor permission.rbac.admin.superUsers names anybody")
	}
	for _, one := range c.Admin.SuperUsers {
		if one.Name != strings.ToLower(one.Name) {
			p.Log.WarnContext(ctx, "a superUser is nobody: the references of sessions are in lower case", "name", one.Name)
		}
	}
	if err := f.start(ctx); err != nil {
		return err
	}
	for _, one := range all.list {
		conn := &Connection{name: one.ProviderName(), config: c, live: f.live, log: p.Log, now: time.Now}
		if err := one.Connect(ctx, conn); err != nil {
			return err
		}
	}
	p.Background.Go(f.live.follow)
	p.Background.Go(func(ctx context.Context) { warnOfMistakes(ctx, p, f.live) })
	if c.PolicyFileReload && f.paths() != [2]string{} {
		p.Background.Go(f.watch)
	}
	return nil
}
