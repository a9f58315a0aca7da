package rbac

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// Extensions is what modules of plugin permission add to roles. The zero value is ready to
// use.
type Extensions struct {
	mu        sync.Mutex
	providers []Provider
	plugins   []string
}

// AddProvider adds providers of roles. Their names are sources of roles, next to rest,
// csv-file, configuration and legacy; a name twice is a boot error.
func (x *Extensions) AddProvider(p ...Provider) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.providers = append(x.providers, p...)
}

// AddPluginIDs names plugins whose permissions user interfaces should offer, as
// permission.rbac.pluginsWithPermission does.
func (x *Extensions) AddPluginIDs(ids ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plugins = append(x.plugins, ids...)
}

// A Provider says what roles there are in another system.
type Provider interface {
	ProviderName() string
	// Connect is called once, when the plugin starts. The provider keeps conn for later.
	Connect(ctx context.Context, conn *Connection) error
	// Refresh is called for POST /api/permission/refresh/<name>: what it tells conn is
	// in force when it returns.
	Refresh(ctx context.Context) error
}

// A Connection is where a Provider tells its roles. Each call says all that the provider
// has to say of it; what it does not say any more is removed. What is wrong, and what is
// about roles of others, is left out and logged. It is safe for concurrent use.
type Connection struct {
	name   string
	config Config
	live   *live
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	rules   []engine.Rule
	members []engine.Member
}

// ApplyRoles takes the members of all roles, as pairs of member and role.
func (c *Connection) ApplyRoles(ctx context.Context, roles [][2]string) error {
	var members []engine.Member
	for _, pair := range roles {
		m := engine.Member{Ref: strings.ToLower(pair[0]), Role: pair[1], Source: c.name}
		if err := engine.CheckMember(m); err != nil {
			c.log.WarnContext(ctx, "a member of a role is left out", "provider", c.name, "error", err)
		} else if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = members
	return c.apply(ctx)
}

// ApplyPermissions takes all rules, as role, permission, action and effect.
func (c *Connection) ApplyPermissions(ctx context.Context, policies [][4]string) error {
	var rules []engine.Rule
	for _, p := range policies {
		r := engine.Rule{Subject: p[0], Permission: p[1], Action: p[2], Effect: p[3], Source: c.name}
		if err := engine.CheckRule(r); err != nil {
			c.log.WarnContext(ctx, "a rule is left out", "provider", c.name, "error", err)
		} else if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = rules
	return c.apply(ctx)
}

// ApplyConditionalPermissions takes all conditional policies, each in the JSON form of the
// REST API.
func (c *Connection) ApplyConditionalPermissions(ctx context.Context, policies []json.RawMessage) error {
	var list []engine.Condition
	for _, raw := range policies {
		one, err := policyfile.DecodeCondition(raw, c.config.limits())
		if err != nil {
			c.log.WarnContext(ctx, "a condition is left out", "provider", c.name, "error", err)
			continue
		}
		list = append(list, one)
	}
	return c.change(ctx, func(s *engine.State) []string { return c.config.reconcileConditions(s, c.name, list) })
}

func (c *Connection) apply(ctx context.Context) error {
	return c.change(ctx, func(s *engine.State) []string {
		return reconcile(s, desired{source: c.name, author: c.name, now: c.now(), rules: c.rules, members: c.members, reserved: c.config.reserved()})
	})
}

func (c *Connection) change(ctx context.Context, fn func(*engine.State) []string) error {
	var warnings []string
	_, err := c.live.change(ctx, func(s *engine.State) error { warnings = fn(s); return nil })
	if err != nil {
		return fmt.Errorf("store the roles of provider %s: %w", c.name, err)
	}
	for _, w := range warnings {
		c.log.WarnContext(ctx, w, "provider", c.name)
	}
	return nil
}

// providers are those that were added.
type providers struct{ list []Provider }

func newProviders(list []Provider) (*providers, error) {
	var names []string
	for _, p := range list {
		name := p.ProviderName()
		if name == "" || slices.Contains([]string{engine.SourceREST, engine.SourceCSV, engine.SourceConfiguration, engine.SourceLegacy}, name) {
			return nil, fmt.Errorf("a provider of roles cannot be called %q", name)
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("there are two providers of roles called %q", name)
		}
		names = append(names, name)
	}
	return &providers{list}, nil
}

func (a *rest) refresh(c *call) error {
	c.writes("role-write", "create_or_update")
	name := c.r.PathValue("provider")
	for _, p := range a.providers.list {
		if p.ProviderName() == name {
			if err := p.Refresh(c.r.Context()); err != nil {
				return fmt.Errorf("refresh provider %s: %w", name, err)
			}
			return c.empty(http.StatusOK)
		}
	}
	return apierr.NotFound.New("there is no RBAC provider %q", name)
}
