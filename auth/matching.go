package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/auth/internal/resolve"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// commonResolvers are those that every provider can list (contract/auth.md 6.2).
func commonResolvers() map[string]SignInResolver {
	return map[string]SignInResolver{
		"emailMatchingUserEntityProfileEmail":  MatchEmail(true),
		"emailLocalPartMatchingUserEntityName": matchLocalPart{},
	}
}

// MatchEmail returns the resolver that looks for the user whose spec.profile.email is the
// verified e-mail address, in any case. With tags, an address that nobody has is tried
// again without its +tag. Its options are allowedDomains and
// dangerouslyAllowSignInWithoutUserInCatalog.
func MatchEmail(tags bool) SignInResolver { return matchEmail{tags: tags} }

// MatchName returns the resolver that looks for user:default/<key>. key returns the name,
// and claim is what errors call it if it is empty. Names that could be read as another
// reference are those of nobody. Its option is dangerouslyAllowSignInWithoutUserInCatalog.
func MatchName(claim string, key func(Profile) string) SignInResolver {
	return matchName{claim: claim, key: key}
}

// MatchAnnotation returns the resolver that looks for the user whose annotation has the
// value that key returns, in any case; claim is what errors call the value if it is empty.
// Its option is dangerouslyAllowSignInWithoutUserInCatalog.
func MatchAnnotation(annotation, claim string, key func(Profile) string) SignInResolver {
	return MatchAnnotationOf(claim, false, func(p Profile) (string, string) { return annotation, key(p) })
}

// MatchAnnotationOf is MatchAnnotation for annotations whose name depends on the profile.
// With exact, case matters, see Users.ByExactAnnotation.
func MatchAnnotationOf(claim string, exact bool, key func(Profile) (annotation, value string)) SignInResolver {
	return matchAnnotation{claim: claim, exact: exact, key: key}
}

// MatchEmailAnnotation returns the resolver that looks for the user whose annotation is the
// verified e-mail address, in any case. Its options are allowedDomains and
// dangerouslyAllowSignInWithoutUserInCatalog.
func MatchEmailAnnotation(annotation string) SignInResolver {
	return matchEmailAnnotation{annotation: annotation}
}

// unknownUsers is the option that all resolvers of this file have.
type unknownUsers struct {
	AllowUnknownUser bool `config:"dangerouslyAllowSignInWithoutUserInCatalog"`
}

func (u unknownUsers) unknown() bool { return u.AllowUnknownUser }

// finish signs in as the user that was found, or as user:default/<key> if there is none
// and the option allows that.
func (u unknownUsers) finish(ctx context.Context, users Users, user entity.Entity, err error, key string) (Identity, error) {
	if u.AllowUnknownUser && errors.Is(err, apierr.NotFound) {
		return unknownUser(ctx, users, key)
	}
	if err != nil {
		return Identity{}, err
	}
	return SignInAs(ctx, users, user)
}

// unknownUser is user:default/<key>, who owns nothing else. It must not be somebody whom the
// catalog knows: they did not match, so this is another person.
func unknownUser(ctx context.Context, users Users, key string) (Identity, error) {
	ref := entity.Ref{Kind: "user", Namespace: entity.DefaultNamespace, Name: resolve.Lower(key)}
	if !entity.ValidName(key) && !resolve.IsAddress(key) {
		return Identity{}, apierr.NotAllowed.New("Sign-in without a user in the catalog is not possible as %q: it is neither the name of an entity nor an e-mail address", key)
	}
	found, err := users.ByRef(ctx, ref)
	switch {
	case err == nil:
		return Identity{}, apierr.NotAllowed.New("Sign-in without a user in the catalog is not possible as %q: %s is in the catalog, and is not known to be the same person", key, found.Ref())
	case !errors.Is(err, apierr.NotFound):
		return Identity{}, err
	}
	return Identity{User: ref}, nil
}

// missing is the error for a profile without what a resolver needs. It is no NotFound:
// the next resolver must not be asked instead.
func missing(what, why string) error {
	return apierr.Internal.New("Login failed, user profile does not contain %s: %s", what, why)
}

func verifiedEmail(who Profile) (string, error) {
	switch {
	case who.Email != "":
		return who.Email, nil
	case who.unverified:
		return "", missing("an email", `the identity provider sent one, but does not say that it is verified (claim "email_verified")`)
	}
	return "", missing("an email", `the claim "email" is missing or empty; is the scope that contains it granted?`)
}

// emailOptions are those of the resolvers that go by e-mail.
type emailOptions struct {
	unknownUsers
	AllowedDomains []string `config:"allowedDomains"`
}

func (o *emailOptions) decode(entry *config.Config) error {
	err := Options(entry, o)
	for i, d := range o.AllowedDomains {
		o.AllowedDomains[i] = resolve.Lower(strings.TrimPrefix(d, "@"))
	}
	return err
}

// check refuses addresses of other domains.
func (o *emailOptions) check(email string) error {
	if domain := resolve.Domain(email); o.AllowedDomains != nil && !slices.Contains(o.AllowedDomains, domain) {
		return apierr.NotAllowed.New("Sign-in is not allowed with an e-mail address of the domain %q (option allowedDomains)", domain)
	}
	return nil
}

// emailDomains is implemented by resolvers that go by e-mail: the domains they accept, nil
// for all.
type emailDomains interface{ emailDomains() []string }

func (o emailOptions) emailDomains() []string { return o.AllowedDomains }

type matchEmail struct {
	emailOptions
	tags bool
}

var (
	_ Configurable = matchEmail{}
	_ Configurable = matchLocalPart{}
	_ Configurable = matchEmailAnnotation{}
	_ Configurable = matchName{}
	_ Configurable = matchAnnotation{}
)

// Configure implements Configurable.
func (m matchEmail) Configure(entry *config.Config) (SignInResolver, error) {
	err := m.decode(entry)
	return &m, err
}

// Resolve implements SignInResolver.
func (m matchEmail) Resolve(ctx context.Context, who Profile, users Users) (Identity, error) {
	email, err := verifiedEmail(who)
	if err != nil {
		return Identity{}, err
	}
	if err := m.check(email); err != nil {
		return Identity{}, err
	}
	user, err := users.ByEmail(ctx, email)
	key := email
	if plain, tagged := resolve.WithoutTag(email); m.tags && tagged {
		key = plain
		if errors.Is(err, apierr.NotFound) {
			user, err = users.ByEmail(ctx, plain)
		}
	}
	return m.finish(ctx, users, user, err, key)
}

type matchLocalPart struct{ emailOptions }

// Configure implements Configurable.
func (m matchLocalPart) Configure(entry *config.Config) (SignInResolver, error) {
	err := m.decode(entry)
	return &m, err
}

// Resolve implements SignInResolver.
func (m matchLocalPart) Resolve(ctx context.Context, who Profile, users Users) (Identity, error) {
	email, err := verifiedEmail(who)
	if err != nil {
		return Identity{}, err
	}
	if err := m.check(email); err != nil {
		return Identity{}, err
	}
	return m.byName(ctx, users, resolve.LocalPart(email))
}

type matchEmailAnnotation struct {
	emailOptions
	annotation string
}

// Configure implements Configurable.
func (m matchEmailAnnotation) Configure(entry *config.Config) (SignInResolver, error) {
	err := m.decode(entry)
	return &m, err
}

// Resolve implements SignInResolver.
func (m matchEmailAnnotation) Resolve(ctx context.Context, who Profile, users Users) (Identity, error) {
	email, err := verifiedEmail(who)
	if err != nil {
		return Identity{}, err
	}
	if err := m.check(email); err != nil {
		return Identity{}, err
	}
	user, err := users.ByAnnotation(ctx, m.annotation, email)
	return m.finish(ctx, users, user, err, email)
}

// byName looks for user:default/<name>. Texts that are no names are those of nobody, also
// where people without an entity may sign in.
func (u unknownUsers) byName(ctx context.Context, users Users, name string) (Identity, error) {
	if !resolve.IsName(name) {
		return Identity{}, apierr.NotFound.New("User not found: %q cannot be the name of a user", name)
	}
	user, err := users.ByRef(ctx, entity.Ref{Kind: "user", Namespace: entity.DefaultNamespace, Name: name})
	return u.finish(ctx, users, user, err, name)
}

type matchName struct {
	unknownUsers
	claim string
	key   func(Profile) string
}

// Configure implements Configurable.
func (m matchName) Configure(entry *config.Config) (SignInResolver, error) {
	err := Options(entry, &m.unknownUsers)
	return m, err
}

// Resolve implements SignInResolver.
func (m matchName) Resolve(ctx context.Context, who Profile, users Users) (Identity, error) {
	name := m.key(who)
	if name == "" {
		return Identity{}, missing(m.claim, "the identity provider did not send it")
	}
	return m.byName(ctx, users, name)
}

type matchAnnotation struct {
	unknownUsers
	claim string
	exact bool
	key   func(Profile) (annotation, value string)
}

// Configure implements Configurable.
func (m matchAnnotation) Configure(entry *config.Config) (SignInResolver, error) {
	err := Options(entry, &m.unknownUsers)
	return m, err
}

// Resolve implements SignInResolver.
func (m matchAnnotation) Resolve(ctx context.Context, who Profile, users Users) (Identity, error) {
	annotation, value := m.key(who)
	if value == "" {
		return Identity{}, missing(m.claim, "the identity provider did not send it")
	}
	find := users.ByAnnotation
	if m.exact {
		find = users.ByExactAnnotation
	}
	user, err := find(ctx, annotation, value)
	return m.finish(ctx, users, user, err, value)
}

// chain asks resolvers in order.
type chain []namedResolver

type namedResolver struct {
	name string
	SignInResolver
}

// errNobody is the cause of a sign-in that all resolvers had no user for, as opposed to
// one that could not be decided.
var errNobody = errors.New("nobody")

// resolve returns the identity that the first resolver with a user has found, and the
// name of that resolver, or of the one that has ended the sign-in.
func (c chain) resolve(ctx context.Context, who Profile, users Users) (Identity, string, error) {
	var misses []string
	for _, r := range c {
		id, err := r.Resolve(ctx, who, users)
		switch {
		case err == nil:
			err = checkIdentity(&id)
			return id, r.name, err
		case !errors.Is(err, apierr.NotFound):
			return Identity{}, r.name, fmt.Errorf("sign-in resolver %s: %w", r.name, err)
		}
		misses = append(misses, r.name+": "+err.Error())
	}
	return Identity{}, "", apierr.Internal.Wrap(errNobody, "Failed to sign-in, unable to resolve user identity. %s. Is the user in the catalog?", strings.Join(misses, "; "))
}

// checkIdentity completes what a resolver has returned. Custom resolvers could return
// anything.
func checkIdentity(id *Identity) error {
	if id.User.Kind == "" || id.User.Namespace == "" || id.User.Name == "" || !strings.EqualFold(id.User.Kind, "user") {
		return apierr.Input.New("the sign-in resolver returned %q, which is not the full reference of a user", fmt.Sprint(id.User))
	}
	id.User = id.User.Lower()
	if len(id.Ownership) == 0 {
		id.Ownership = []entity.Ref{id.User}
	}
	return nil
}
