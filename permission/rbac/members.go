package rbac

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

const (
	// membersKept bounds how old what is known of users and groups may be (contract
	// permission.md 7.3).
	membersKept = 15 * time.Second
	// membersFresh is when groups are read anew, while what is known is still used.
	membersFresh = 7 * time.Second
	maxUsers     = 20_000
)

// A catalogReader reads what roles need of the catalog.
type catalogReader interface {
	// groups returns the parents of every group.
	groups(ctx context.Context) (map[string][]string, error)
	// groupsOf returns the groups that a user is a member of; none if there is no such user.
	groupsOf(ctx context.Context, user string) ([]string, error)
}

// members finds the groups of users, and remembers them.
type members struct {
	catalog catalogReader
	depth   int
	now     func() time.Time
	log     *slog.Logger

	flight   singleflight.Group
	graph    atomic.Pointer[graph]
	renewing atomic.Bool
	users    sync.Map // lower-case reference → *membership
	count    atomic.Int64
	cycles   sync.Map // those that have been warned about
}

type graph struct {
	*engine.Groups
	at time.Time
}

// membership is what is known of one user.
type membership struct {
	direct []string
	at     time.Time

	// above is computed for one graph.
	above atomic.Pointer[ancestry]
}

type ancestry struct {
	of         *graph
	all, cycle []string
}

func newMembers(c catalogReader, depth int, log *slog.Logger) *members {
	return &members{catalog: c, depth: depth, now: time.Now, log: log}
}

// who completes a user with its groups. Somebody whom the catalog does not know has none.
func (m *members) who(ctx context.Context, u *permission.User) (*engine.Who, error) {
	w := &engine.Who{User: u.Ref, Ownership: u.Ownership}
	one, err := m.user(ctx, strings.ToLower(u.Ref))
	if err != nil {
		return nil, err
	}
	if len(one.direct) == 0 {
		return w, nil
	}
	g, err := m.groups(ctx)
	if err != nil {
		return nil, err
	}
	a := one.above.Load()
	if a == nil || a.of != g {
		a = &ancestry{of: g}
		a.all, a.cycle = g.Above(one.direct, m.depth)
		one.above.Store(a)
		if a.cycle != nil {
			m.warn(ctx, a.cycle)
		}
	}
	w.Groups, w.Cycle = a.all, a.cycle
	return w, nil
}

func (m *members) warn(ctx context.Context, cycle []string) {
	text := strings.Join(cycle, " -> ")
	if _, known := m.cycles.LoadOrStore(text, true); !known {
		m.log.WarnContext(ctx, "groups are above each other in a cycle; their members have no roles until it is broken", "cycle", text)
	}
}

func (m *members) user(ctx context.Context, ref string) (*membership, error) {
	if v, ok := m.users.Load(ref); ok {
		if one := v.(*membership); m.now().Sub(one.at) < membersKept {
			return one, nil
		}
	}
	v, err, _ := m.flight.Do("user "+ref, func() (any, error) {
		at := m.now()
		direct, err := m.catalog.groupsOf(context.WithoutCancel(ctx), ref)
		if err != nil {
			return nil, fmt.Errorf("read the groups of %s from the catalog: %w", ref, err)
		}
		one := &membership{direct: direct, at: at}
		m.remember(ref, one)
		return one, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*membership), nil
}

// remember keeps a bounded number of users; beyond it all are forgotten.
func (m *members) remember(ref string, one *membership) {
	if _, had := m.users.Swap(ref, one); !had && m.count.Add(1) > maxUsers {
		m.users.Clear()
		m.count.Store(0)
	}
}

// groups returns the hierarchy. While it is getting old it is read in the background.
func (m *members) groups(ctx context.Context) (*graph, error) {
	g := m.graph.Load()
	if g != nil {
		age := m.now().Sub(g.at)
		if age < membersFresh {
			return g, nil
		}
		if age < membersKept {
			if m.renewing.CompareAndSwap(false, true) {
				go func() { // it ends with one request
					defer m.renewing.Store(false)
					_, _ = m.readGroups(context.WithoutCancel(ctx)) // whoever needs them after membersKept gets the error
				}()
			}
			return g, nil
		}
	}
	return m.readGroups(context.WithoutCancel(ctx))
}

func (m *members) readGroups(ctx context.Context) (*graph, error) {
	v, err, _ := m.flight.Do("groups", func() (any, error) {
		at := m.now()
		parents, err := m.catalog.groups(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the groups of the catalog: %w", err)
		}
		g := &graph{engine.NewGroups(parents), at}
		m.graph.Store(g)
		return g, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*graph), nil
}

// overHTTP reads the catalog wherever it runs.
type overHTTP struct {
	open func(ctx context.Context) (*client.Client, error)
}

// asPlugin reads it as the permission plugin itself.
func asPlugin(clients backend.Clients, auth backend.Auth) *overHTTP {
	return &overHTTP{func(ctx context.Context) (*client.Client, error) {
		hc, base, err := clients.Client(ctx, auth.Own(), "catalog")
		if err != nil {
			return nil, err
		}
		return client.At(base, hc), nil
	}}
}

const catalogTimeout = 20 * time.Second

func (o *overHTTP) groups(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	c, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	parents := map[string][]string{}
	for e, err := range c.Entities(ctx, client.Selection{Filter: []string{"kind=group"}, Fields: []string{"kind", "metadata.name", "metadata.namespace", "relations"}}) {
		if err != nil {
			return nil, err
		}
		parents[e.Ref().String()] = related(e, entity.ChildOf)
	}
	return parents, nil
}

func (o *overHTTP) groupsOf(ctx context.Context, user string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	ref, err := entity.ParseRef(user)
	if err != nil {
		return nil, nil // no entity has such a reference
	}
	c, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	e, err := c.ByRef(ctx, ref)
	if errors.Is(err, apierr.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return related(e, entity.MemberOf), nil
}

// related lists the targets of relations of one type.
func related(e entity.Entity, typ string) (out []string) {
	list, _ := e["relations"].([]any)
	for _, one := range list {
		r, _ := one.(map[string]any)
		if target, ok := r["targetRef"].(string); ok && r["type"] == typ {
			out = append(out, strings.ToLower(target))
		}
	}
	return out
}
