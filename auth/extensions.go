package auth

import (
	"fmt"
	"maps"
	"slices"

	"github.com/callboard-dev/callboard/backend"
)

// Extensions is what modules add to the plugin. Its methods are called while the backend
// is put together; mistakes, such as an id that is taken, keep the backend from starting.
type Extensions struct {
	providers []ProviderSpec
	proxies   []ProxySpec
	resolvers map[string]SignInResolver
	ownership Ownership
	errs      []error
}

// A ProviderSpec is a way to sign in at an identity provider, below /api/auth/<id>. What
// the identity provider has of its own is in the Providers; what is the same for all of
// them happens once, in the plugin.
type ProviderSpec struct {
	// ID is the key below auth.providers and the segment of the path: "github".
	ID string
	// Scopes says which scopes are asked for.
	Scopes Scopes
	// Resolvers are the sign-in resolvers that only make sense for this provider, by the
	// name that the configuration knows them under. They come before those of the same
	// name for all providers.
	Resolvers map[string]SignInResolver
	// Environments are those of the configuration, see Environments; without any the
	// provider is known and answers that it is not configured.
	Environments []Environment
}

// Scopes are the rules by which a provider asks for scopes.
type Scopes struct {
	// Required are always asked for.
	Required []string
	// Persist remembers in a cookie what was granted, and asks for it again. It is for
	// identity providers that do not say in their answer what they have granted.
	Persist bool
	// Transform changes the union of requested, granted, required and additional scopes;
	// nil leaves it. requested is what the page asked for.
	Transform func(union, requested []string) []string
}

// An Environment is a Provider with the settings that all providers have.
type Environment struct {
	Name     string
	Config   OAuthConfig
	Provider Provider
}

// Environments opens a Provider for each environment of a provider's configuration. C is
// the provider's own struct, in which OAuthConfig is embedded:
//
//	type Config struct {
//		auth.OAuthConfig
//		EnterpriseInstanceURL string `config:"enterpriseInstanceUrl"`
//	}
//
// open must do no I/O.
func Environments[C interface{ Common() OAuthConfig }](config map[string]C, open func(env string, c C) Provider) []Environment {
	var out []Environment
	for _, env := range slices.Sorted(maps.Keys(config)) {
		out = append(out, Environment{Name: env, Config: config[env].Common(), Provider: open(env, config[env])})
	}
	return out
}

// A ProxySpec is a way to sign in through a proxy, below /api/auth/<id>.
type ProxySpec struct {
	ID        string
	Resolvers map[string]SignInResolver // as those of ProviderSpec
	// Provider is nil if the configuration has no auth.providers.<id>.
	Provider ProxyProvider
	// SignIn is signIn of the configuration.
	SignIn SignInConfig
	// Default is the resolver that counts if the configuration names none; nil if the
	// configuration must name one.
	Default SignInResolver
	// ScriptsOnly refuses requests without the header X-Requested-With: XMLHttpRequest,
	// which other sites cannot send. It is for providers that trust everybody.
	ScriptsOnly bool
	// Refuses says that Provider refuses everybody in the environment that the backend runs
	// in: it answers, but is not a way to sign in.
	Refuses bool
}

// AddProvider adds a way to sign in at an identity provider.
func (x *Extensions) AddProvider(p ProviderSpec) {
	x.taken(p.ID)
	x.providers = append(x.providers, p)
}

// AddProxyProvider adds a way to sign in through a proxy.
func (x *Extensions) AddProxyProvider(p ProxySpec) {
	x.taken(p.ID)
	x.proxies = append(x.proxies, p)
}

// AddResolver names a resolver that signIn.resolvers of every provider can list.
func (x *Extensions) AddResolver(name string, r SignInResolver) {
	if _, ok := x.resolvers[name]; ok || commonResolvers()[name] != nil {
		x.errs = append(x.errs, backend.Fix(fmt.Sprintf("there are two sign-in resolvers with the name %q", name), "give yours another name"))
		return
	}
	if x.resolvers == nil {
		x.resolvers = map[string]SignInResolver{}
	}
	x.resolvers[name] = r
}

// SetOwnership replaces what Users.Ownership answers. There can be one.
func (x *Extensions) SetOwnership(o Ownership) {
	if x.ownership != nil {
		x.errs = append(x.errs, backend.Fix("two modules replace the ownership of users", "remove one of them"))
	}
	x.ownership = o
}

func (x *Extensions) taken(id string) {
	for _, p := range x.providers {
		if p.ID == id {
			x.errs = append(x.errs, backend.Fix(fmt.Sprintf("there are two auth providers with the id %q", id), "remove one of the two modules"))
		}
	}
	for _, p := range x.proxies {
		if p.ID == id {
			x.errs = append(x.errs, backend.Fix(fmt.Sprintf("there are two auth providers with the id %q", id), "remove one of the two modules"))
		}
	}
}
