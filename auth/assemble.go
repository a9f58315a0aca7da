package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/auth/internal/resolve"
	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/seal"
)

// assemble makes the api of what modules have added, and of the configuration. It returns
// everything that is wrong with them (contract/auth.md section 5.4).
func assemble(p params) (*api, error) {
	x := p.Extensions
	errs := slices.Clone(x.errs)
	a := &api{
		providers: map[string]*provider{},
		proxies:   map[string]*proxy{},
		issuer:    issuer{tokens: p.Tokens, owns: p.Config.OmitIdentityTokenOwnership != nil && !*p.Config.OmitIdentityTokenOwnership},
		dev:       p.Env == backend.DevelopmentEnvironment,
		now:       p.Tokens.Now,
		log:       p.Log,
		store:     store.New(p.DB),
		events:    p.Events,

		administrators: p.Config.Session.Administrators,
		users:          &resolve.Users{Clients: p.Clients, As: p.Auth.Own(), Ancestors: p.Config.IncludeTransitiveGroupOwnership, Own: x.ownership},
	}
	app, _, err := p.Root.String("app.baseUrl")
	errs = append(errs, err)
	if a.origins, err = flow.NewOrigins(app, p.Config.ExperimentalExtraAllowedOrigins); err != nil {
		errs = append(errs, config.At("app.baseUrl", err))
	}
	base, err := p.Discovery.ExternalBaseURL("auth")
	errs = append(errs, err)
	for _, spec := range x.providers {
		made, err := newProvider(spec, x.resolvers, base)
		errs = append(errs, err)
		a.providers[spec.ID] = made
	}
	for _, spec := range x.proxies {
		made, err := newProxy(spec, x.resolvers)
		errs = append(errs, err)
		a.proxies[spec.ID] = made
	}
	a.watch, err = newWatch(p.Tracer, p.Meter, p.Auditor, p.Log)
	errs = append(errs, err, a.seal(p), a.checkResolvers(p), a.checkDomains(p))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	a.tell(p)
	return a, nil
}

// newProvider puts a provider with its environments in order.
func newProvider(spec ProviderSpec, custom map[string]SignInResolver, base string) (*provider, error) {
	out := &provider{id: spec.ID, envs: map[string]*environment{}}
	var errs []error
	for _, e := range spec.Environments {
		env := &environment{
			provider:   spec.ID,
			name:       e.Name,
			client:     e.Provider,
			scopes:     spec.Scopes,
			additional: append(slices.Clone(e.Config.AdditionalScopes), e.Config.Scope...),
			callback:   e.Config.CallbackURL,
			life:       e.Config.SessionDuration.Std(),
		}
		if env.life == 0 {
			env.life = defaultSession
		}
		if env.callback == "" {
			env.callback = strings.TrimRight(base, "/") + "/" + spec.ID + "/handler/frame"
		}
		callback, err := url.Parse(env.callback)
		if err != nil {
			errs = append(errs, fmt.Errorf("callback URL of %s: %w", spec.ID, err))
			continue
		}
		env.cookies = flow.NewCookies(spec.ID, callback)
		env.chain, err = newChain(e.Config.SignIn, spec.Resolvers, custom)
		errs = append(errs, err)
		out.envs[e.Name] = env
	}
	return out, errors.Join(errs...)
}

// newProxy puts a proxy provider in order.
func newProxy(spec ProxySpec, custom map[string]SignInResolver) (*proxy, error) {
	out := &proxy{id: spec.ID, client: spec.Provider, scriptsOnly: spec.ScriptsOnly, refuses: spec.Refuses}
	if spec.Provider == nil {
		return out, nil
	}
	var err error
	out.chain, err = newChain(spec.SignIn, spec.Resolvers, custom)
	if len(out.chain) == 0 && err == nil {
		if spec.Default == nil {
			path := "auth.providers." + spec.ID + ".signIn.resolvers"
			return out, config.AtWithFix(path, errors.New("nobody can sign in without a resolver"), "list one, such as {resolver: emailMatchingUserEntityProfileEmail}")
		}
		out.chain = chain{{"default", spec.Default}}
	}
	return out, err
}

// newChain finds the resolvers that a configuration lists.
func newChain(c SignInConfig, own, custom map[string]SignInResolver) (chain, error) {
	known := commonResolvers()
	maps.Copy(known, custom)
	maps.Copy(known, own)
	var out chain
	var errs []error
	for _, entry := range c.Resolvers {
		r, err := configured(entry, known)
		errs = append(errs, err)
		out = append(out, namedResolver{entry.Resolver, r})
	}
	return out, errors.Join(errs...)
}

// configured is one entry of signIn.resolvers.
func configured(entry ResolverConfig, known map[string]SignInResolver) (SignInResolver, error) {
	r, ok := known[entry.Resolver]
	if !ok {
		names := slices.Sorted(maps.Keys(known))
		what := "this provider knows " + strings.Join(names, ", ")
		if near := config.Suggest(entry.Resolver, names); near != "" {
			what = "did you mean " + near + "? T" + what[1:]
		}
		return nil, entry.at("resolver", fmt.Errorf("sign-in resolver '%s' is not available; %s", entry.Resolver, what))
	}
	if configurable, ok := r.(Configurable); ok && entry.entry != nil {
		return configurable.Configure(entry.entry)
	}
	if entry.entry == nil {
		return r, nil
	}
	var errs []error
	for _, key := range entry.entry.Keys("") {
		if key != "resolver" {
			errs = append(errs, entry.at(key, fmt.Errorf("the resolver %s takes no options", entry.Resolver)))
		}
	}
	return r, errors.Join(errs...)
}

// at says that err is about a key of the entry.
func (r ResolverConfig) at(key string, err error) error {
	if r.entry == nil {
		return err
	}
	return &config.KeyError{Path: r.entry.Path() + "." + key, Pos: r.entry.Pos(key), Err: err}
}

// seal makes what cookies and states are sealed with: auth.session.secret, or else
// backend.secretKeys.
func (a *api) seal(p params) error {
	secrets := p.Config.Session.Secret
	var err error
	switch used := a.configured(); {
	case len(secrets) > 0:
		if a.sealer, err = seal.New("auth", secrets.Reveal()); err != nil {
			return config.At("auth.session.secret", err)
		}
	case len(used) == 0:
		a.sealer = seal.Random("auth")
	default:
		// In development without keys, who was signed in signs in again after a restart.
		if a.sealer, err = p.Keys.Sealer(); err != nil {
			return config.AtWithFix("auth.session.secret", fmt.Errorf("required key is missing, and so is backend.secretKeys: the sign-in with %s seals its cookies with one of them", strings.Join(used, ", ")),
				"make one with: openssl rand -base64 32, and give it to all replicas")
		}
	}
	a.sessions = session.New(session.Options{Store: a.store, Sealer: a.sealer, Log: p.Log, Now: a.now})
	return nil
}

// configured lists the providers with a client at an identity provider.
func (a *api) configured() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(a.providers)) {
		if len(a.providers[id].envs) > 0 {
			out = append(out, id)
		}
	}
	return out
}

// checkResolvers refuses a production in which nobody could sign in. A provider without
// resolvers beside one with them is for the tokens of the identity provider.
func (a *api) checkResolvers(p params) error {
	used := a.configured()
	if a.dev || len(used) == 0 {
		return nil
	}
	for _, id := range used {
		for _, env := range a.providers[id].envs {
			if len(env.chain) > 0 {
				return nil
			}
		}
	}
	var refusing []string
	for _, one := range a.proxies {
		switch {
		case len(one.chain) == 0:
		case one.refuses:
			refusing = append(refusing, one.id)
		default:
			return nil
		}
	}
	none := fmt.Sprintf("nobody can sign in: no provider (%s) has a sign-in resolver, and there is no default one", strings.Join(used, ", "))
	if len(refusing) > 0 {
		slices.Sort(refusing)
		none += ": " + strings.Join(refusing, " and ") + " refuses everybody in this environment"
	}
	id := used[0]
	env := slices.Sorted(maps.Keys(a.providers[id].envs))[0]
	return config.AtWithFix("auth.providers."+id+"."+env+".signIn.resolvers",
		errors.New(none),
		"list one, such as {resolver: emailMatchingUserEntityProfileEmail}; docs/sign-in.md has a table of them")
}

// checkDomains looks for providers that could sign in each other's people: an address at
// one identity provider is somebody else's at another (contract/auth.md section 6.3).
func (a *api) checkDomains(p params) error {
	clash := sharedDomains(a.emailChains())
	if clash == "" {
		return nil
	}
	if p.Config.SignIn.RequireExclusiveDomains {
		return config.AtWithFix("auth.signIn.requireExclusiveDomains", errors.New(clash), "set allowedDomains, without a domain in common, on each of their resolvers that go by e-mail")
	}
	p.Log.Warn("two providers could sign in the same user; set allowedDomains on each of their resolvers that go by e-mail", "problem", clash)
	return nil
}

// emailChains are the domains that each provider's resolvers accept, for those that go by
// e-mail: nil for all of them.
func (a *api) emailChains() map[string][]string {
	out := map[string][]string{}
	add := func(id string, c chain) {
		for _, r := range c {
			byEmail, ok := r.SignInResolver.(emailDomains)
			if !ok {
				continue
			}
			have, seen := out[id]
			domains := byEmail.emailDomains()
			if domains == nil || seen && have == nil {
				out[id] = nil
				continue
			}
			out[id] = append(have, domains...)
		}
	}
	for id, p := range a.providers {
		for _, env := range p.envs {
			add(id, env.chain)
		}
	}
	for id, p := range a.proxies {
		add(id, p.chain)
	}
	return out
}

// sharedDomains says which two providers accept the same domain, empty if none do.
func sharedDomains(domains map[string][]string) string {
	ids := slices.Sorted(maps.Keys(domains))
	for i, one := range ids {
		for _, other := range ids[i+1:] {
			if domains[one] == nil || domains[other] == nil {
				return fmt.Sprintf("%s and %s both go by e-mail, and not both say for which domains", one, other)
			}
			for _, d := range domains[one] {
				if slices.Contains(domains[other], d) {
					return fmt.Sprintf("%s and %s both sign in people of %s", one, other, d)
				}
			}
		}
	}
	return ""
}

// tell says at each start what an operator may have forgotten.
func (a *api) tell(p params) {
	for _, id := range p.Root.Keys("auth.providers") {
		if a.providers[id] == nil && a.proxies[id] == nil {
			p.Log.Warn("a sign-in is configured that no module of this backend knows", "provider", id,
				"position", p.Root.Pos("auth.providers."+id), "fix", "backend.Add("+strings.ToLower(id)+"auth.Module())")
		}
	}
	for _, spec := range p.Extensions.providers {
		for _, e := range spec.Environments {
			if len(e.Config.Scope) > 0 {
				p.Log.Warn("the key scope is deprecated: use additionalScopes", "position", p.Root.Pos("auth.providers."+spec.ID+"."+e.Name+".scope"))
			}
			env := a.providers[spec.ID].envs[e.Name]
			p.Log.Info("sign-in is configured", "provider", spec.ID, "env", e.Name, "callback", env.callback,
				"cookies", env.cookies.Attributes(a.origins.App()), "signsIn", len(env.chain) > 0)
		}
	}
	if a.dev {
		return
	}
	for _, e := range a.unsafe() {
		p.Log.Warn("people are signed in who are not in the catalog, by the name or id that the identity provider says; who is added to the catalog under that name later is the same user to every plugin",
			"provider", e, "option", "dangerouslyAllowSignInWithoutUserInCatalog")
	}
}

// unsafe lists the providers that sign in unknown users.
func (a *api) unsafe() []string {
	var out []string
	add := func(id string, c chain) {
		for _, r := range c {
			if u, ok := r.SignInResolver.(interface{ unknown() bool }); ok && u.unknown() && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	for id, p := range a.providers {
		for _, env := range p.envs {
			add(id, env.chain)
		}
	}
	for id, p := range a.proxies {
		add(id, p.chain)
	}
	slices.Sort(out)
	return out
}
