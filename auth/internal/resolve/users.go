// Package resolve finds the users of sign-ins in the catalog (contract/auth.md section 6),
// over the catalog's API, wherever it runs.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Clients is what of backend.Clients is needed here.
type Clients interface {
	Client(ctx context.Context, c principal.Credentials, plugin string) (*http.Client, string, error)
}

// Users finds users in the catalog. It is safe for concurrent use.
type Users struct {
	Clients Clients
	As      principal.Credentials // those of the auth plugin
	// Ancestors makes Ownership go on to the parents of groups.
	Ancestors bool
	// Own replaces what Ownership answers; nil leaves it.
	Own func(ctx context.Context, user entity.Entity) ([]entity.Ref, error)
}

func (u *Users) catalog(ctx context.Context) (*client.Client, error) {
	hc, base, err := u.Clients.Client(ctx, u.As, "catalog")
	if err != nil {
		return nil, fmt.Errorf("find the catalog: %w", err)
	}
	return client.At(base, hc), nil
}

// ByRef returns the user with a reference, whose kind is user and whose namespace is
// default where they are empty.
func (u *Users) ByRef(ctx context.Context, ref entity.Ref) (entity.Entity, error) {
	if ref.Kind == "" {
		ref.Kind = "user"
	}
	if ref.Namespace == "" {
		ref.Namespace = entity.DefaultNamespace
	}
	// A user name that somebody chose must not lead to a group.
	if !strings.EqualFold(ref.Kind, "user") {
		return nil, apierr.NotFound.New("%s is not a user", ref)
	}
	c, err := u.catalog(ctx)
	if err != nil {
		return nil, err
	}
	e, err := c.ByRef(ctx, ref)
	if errors.Is(err, apierr.NotFound) {
		return nil, apierr.NotFound.New("User not found: the catalog has no %s", ref)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if !Same(e.Name(), ref.Name) {
		return nil, apierr.NotFound.New("User not found: the catalog has no %s, only one that looks like it", ref)
	}
	return e, nil
}

// ByAnnotation returns the only user with an annotation of that value, in any case.
func (u *Users) ByAnnotation(ctx context.Context, key, value string) (entity.Entity, error) {
	found, err := u.find(ctx, client.Predicate{"metadata.annotations." + key: value})
	if err != nil {
		return nil, err
	}
	found = same(found, value, func(e entity.Entity) string { return e.Annotation(key) })
	return only(found, fmt.Sprintf("the annotation %s %q", key, value))
}

// ByExactAnnotation returns the only user with an annotation of exactly that value.
func (u *Users) ByExactAnnotation(ctx context.Context, key, value string) (entity.Entity, error) {
	found, err := u.find(ctx, client.Predicate{"metadata.annotations." + key: value})
	if err != nil {
		return nil, err
	}
	exact := slices.DeleteFunc(slices.Clone(found), func(e entity.Entity) bool { return e.Annotation(key) != value })
	if len(exact) == 0 && len(found) > 0 {
		return nil, apierr.Internal.New("the catalog has %s, whose annotation %s differs from %q in case only", list(found), key, value)
	}
	return only(exact, fmt.Sprintf("the annotation %s %q", key, value))
}

// ByEmail returns the only user with that spec.profile.email, in any case.
func (u *Users) ByEmail(ctx context.Context, email string) (entity.Entity, error) {
	found, err := u.find(ctx, client.Predicate{"spec.profile.email": email})
	if err != nil {
		return nil, err
	}
	found = same(found, email, func(e entity.Entity) string { return e.SpecString("profile", "email") })
	return only(found, fmt.Sprintf("spec.profile.email %q", email))
}

// same leaves the entities whose value is the one that was looked for, in any case. The
// catalog's search goes by Unicode's idea of case, which takes some letters for others.
func same(found []entity.Entity, value string, of func(entity.Entity) string) []entity.Entity {
	return slices.DeleteFunc(found, func(e entity.Entity) bool { return !Same(of(e), value) })
}

// most is how many matches are enough to know that there are too many.
const most = 20

func (u *Users) find(ctx context.Context, p client.Predicate) ([]entity.Entity, error) {
	c, err := u.catalog(ctx)
	if err != nil {
		return nil, err
	}
	p["kind"] = "user"
	page, err := c.Query(ctx, client.QueryRequest{Query: p, Limit: most, WithoutTotal: true})
	if err != nil {
		return nil, unavailable(err)
	}
	return page.Items, nil
}

// only returns the single match.
func only(found []entity.Entity, by string) (entity.Entity, error) {
	switch len(found) {
	case 0:
		return nil, apierr.NotFound.New("User not found: the catalog has no user with %s", by)
	case 1:
		return found[0], nil
	}
	return nil, apierr.Conflict.New("the catalog has %d users with %s: %s", len(found), by, list(found))
}

func list(found []entity.Entity) string {
	var refs []string
	for _, e := range found {
		refs = append(refs, e.Ref().String())
	}
	return strings.Join(refs, ", ")
}

// unavailable is the error for a catalog that did not answer the question. It must never
// look like an answer: then the next resolver would be tried.
func unavailable(err error) error {
	return apierr.ServiceUnavailable.Wrap(err, "the catalog cannot be asked who the user is")
}

// Ownership returns the refs that a user may claim: its own, and those of the groups that
// it is a direct member of; with Ancestors, of their parents, too.
func (u *Users) Ownership(ctx context.Context, user entity.Entity) ([]entity.Ref, error) {
	if u.Own != nil {
		return u.Own(ctx, user)
	}
	refs := []entity.Ref{user.Ref().Lower()}
	groups := related(user, "memberOf")
	refs = append(refs, groups...)
	if !u.Ancestors || len(groups) == 0 {
		return unique(refs), nil
	}
	c, err := u.catalog(ctx)
	if err != nil {
		return nil, err
	}
	return u.ancestors(ctx, c, unique(refs))
}

// ancestors adds the parents of the groups in refs, level by level. Groups that are their
// own ancestors are asked for once.
func (u *Users) ancestors(ctx context.Context, c *client.Client, refs []entity.Ref) ([]entity.Ref, error) {
	for asked := 1; asked < len(refs); {
		var names []string
		for _, r := range refs[asked:] {
			names = append(names, r.String())
		}
		asked = len(refs)
		found, err := c.ByRefs(ctx, names, "kind", "metadata.name", "metadata.namespace", "relations")
		if err != nil {
			return nil, unavailable(err)
		}
		for _, group := range found {
			refs = append(refs, related(group, "childOf")...)
		}
		refs = unique(refs)
	}
	return refs, nil
}

// related are the groups that an entity has a relation to.
func related(e entity.Entity, relation string) []entity.Ref {
	var out []entity.Ref
	relations, _ := e["relations"].([]any)
	for _, r := range relations {
		m, _ := r.(map[string]any)
		target, _ := m["targetRef"].(string)
		if m["type"] != relation {
			continue
		}
		if ref, err := entity.ParseRef(target); err == nil && strings.EqualFold(ref.Kind, "group") {
			out = append(out, ref.Lower())
		}
	}
	return out
}

func unique(refs []entity.Ref) []entity.Ref {
	seen := map[entity.Ref]bool{}
	return slices.DeleteFunc(refs, func(r entity.Ref) bool {
		was := seen[r]
		seen[r] = true
		return was
	})
}
