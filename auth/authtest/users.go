package authtest

import (
	"context"
	"strings"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/resolve"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Users is an auth.Users over entities in memory. It finds what the catalog would find,
// and is safe for concurrent use as long as it is not changed.
type Users []entity.Entity

var _ auth.Users = Users(nil)

// Named returns a user of the namespace default with an e-mail address, which may be
// empty, and annotations in pairs of key and value.
func Named(name, email string, annotations ...string) entity.Entity {
	meta := map[string]any{"name": name}
	if len(annotations) > 0 {
		a := map[string]any{}
		for i := 0; i+1 < len(annotations); i += 2 {
			a[annotations[i]] = annotations[i+1]
		}
		meta["annotations"] = a
	}
	profile := map[string]any{}
	if email != "" {
		profile["email"] = email
	}
	return entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": meta,
		"spec": map[string]any{"profile": profile, "memberOf": []any{}},
	}
}

// ByRef implements auth.Users.
func (u Users) ByRef(_ context.Context, ref entity.Ref) (entity.Entity, error) {
	if ref.Kind == "" {
		ref.Kind = "user"
	}
	if ref.Namespace == "" {
		ref.Namespace = entity.DefaultNamespace
	}
	return u.only(func(e entity.Entity) bool { return e.Ref().Lower() == ref.Lower() && resolve.Same(e.Name(), ref.Name) })
}

// ByAnnotation implements auth.Users.
func (u Users) ByAnnotation(_ context.Context, key, value string) (entity.Entity, error) {
	return u.only(func(e entity.Entity) bool { return has(e, key) && resolve.Same(e.Annotation(key), value) })
}

// ByExactAnnotation implements auth.Users.
func (u Users) ByExactAnnotation(ctx context.Context, key, value string) (entity.Entity, error) {
	found, err := u.only(func(e entity.Entity) bool { return has(e, key) && e.Annotation(key) == value })
	if other, _ := u.ByAnnotation(ctx, key, value); err != nil && other != nil {
		return nil, apierr.Internal.New("%s has the annotation in another case", other.Ref())
	}
	return found, err
}

// ByEmail implements auth.Users.
func (u Users) ByEmail(_ context.Context, email string) (entity.Entity, error) {
	return u.only(func(e entity.Entity) bool {
		have := e.SpecString("profile", "email")
		return have != "" && resolve.Same(have, email)
	})
}

// Ownership implements auth.Users: users own what is theirs, and what is of the groups of
// spec.memberOf.
func (u Users) Ownership(_ context.Context, user entity.Entity) ([]entity.Ref, error) {
	refs := []entity.Ref{user.Ref().Lower()}
	for _, name := range user.SpecStrings("memberOf") {
		ref, err := entity.ParseRef(name, entity.Default{Kind: "group", Namespace: user.Namespace()})
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref.Lower())
	}
	return refs, nil
}

func has(e entity.Entity, annotation string) bool { return e.Annotation(annotation) != "" }

func (u Users) only(match func(entity.Entity) bool) (entity.Entity, error) {
	var found []entity.Entity
	for _, e := range u {
		if strings.EqualFold(e.Ref().Kind, "user") && match(e) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return nil, apierr.NotFound.New("User not found")
	case 1:
		return found[0], nil
	}
	return nil, apierr.Conflict.New("%d users match", len(found))
}
