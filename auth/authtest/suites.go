package authtest

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A ProviderCase is a provider with somebody who can sign in through it.
type ProviderCase struct {
	Provider auth.Provider
	// Replica is another one with the same configuration, as on a second replica; nil if
	// there is none.
	Replica auth.Provider
	// SignIn is what the browser does with the address of Start: it returns where it is sent
	// back to.
	SignIn func(address string) (*url.URL, error)
	// Subject is the subject that the profile must have.
	Subject string
	// Scope is what is asked for.
	Scope string
	// Secret is the secret of the client.
	Secret string
}

// RunProvider runs the rules of auth.Provider, auth.Refresher and auth.SignOuter against
// the providers that open makes, each time a new one.
func RunProvider(t *testing.T, open func(t *testing.T) ProviderCase) {
	const redirect = "http://localhost:7007/api/auth/authtest/handler/frame"
	flow := func(c ProviderCase) auth.Flow {
		return auth.Flow{RedirectURL: redirect, Scope: c.Scope, State: "state " + random(), Nonce: random(), Verifier: strings.Repeat(random(), 2)[:43]}
	}
	start := func(t *testing.T, c ProviderCase, f auth.Flow) string {
		t.Helper()
		address, err := c.Provider.Start(t.Context(), f)
		if err != nil {
			t.Fatalf("start: %v", err)
		}
		return address
	}
	signIn := func(t *testing.T, c ProviderCase) (auth.Flow, url.Values) {
		t.Helper()
		f := flow(c)
		back, err := c.SignIn(start(t, c, f))
		if err != nil {
			t.Fatalf("at the identity provider: %v", err)
		}
		if got := back.Query().Get("state"); got != f.State {
			t.Errorf("the browser comes back with the state %q, want %q", got, f.State)
		}
		f.State = ""
		return f, back.Query()
	}
	callback := func(t *testing.T, c ProviderCase) (auth.Profile, auth.Session) {
		t.Helper()
		f, q := signIn(t, c)
		p, s, err := c.Provider.Callback(t.Context(), f, q)
		if err != nil {
			t.Fatalf("callback: %v", err)
		}
		return p, s
	}
	t.Run("StartsWithAnAddress", func(t *testing.T) {
		c := open(t)
		f := flow(c)
		u, err := url.Parse(start(t, c, f))
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			t.Fatalf("the address is %v (%v)", u, err)
		}
		q := u.Query()
		if q.Get("state") != f.State || q.Get("redirect_uri") != redirect {
			t.Errorf("the address has the state %q and redirect_uri %q", q.Get("state"), q.Get("redirect_uri"))
		}
		// The challenge of PKCE may be the verifier itself only where it must be.
		for name, values := range q {
			if strings.Contains(strings.Join(values, " "), c.Secret) {
				t.Errorf("the parameter %s shows the secret of the client", name)
			}
			if name != "code_challenge" && strings.Contains(strings.Join(values, " "), f.Verifier) {
				t.Errorf("the parameter %s shows the verifier", name)
			}
		}
	})
	t.Run("KeepsNothingOfAFlow", func(t *testing.T) {
		c := open(t)
		f := flow(c)
		one := start(t, c, f)
		start(t, c, flow(c))
		if again := start(t, c, f); again != one {
			t.Errorf("the same flow starts with %s and %s", one, again)
		}
	})
	t.Run("SignsIn", func(t *testing.T) {
		c := open(t)
		p, s := callback(t, c)
		if p.Subject != c.Subject {
			t.Errorf("the subject is %q, want %q", p.Subject, c.Subject)
		}
		if s.AccessToken == "" || s.ExpiresIn < 0 {
			t.Errorf("the session has %d characters of access token and lasts for %s", len(s.AccessToken), s.ExpiresIn)
		}
	})
	t.Run("FinishesWhatAnotherReplicaBegan", func(t *testing.T) {
		c := open(t)
		f, q := signIn(t, c)
		other := c.Replica
		if other == nil {
			t.Skip("the case has no Replica")
		}
		if _, _, err := other.Callback(t.Context(), f, q); err != nil {
			t.Errorf("callback: %v", err)
		}
	})
	t.Run("RefusesAnswersWithoutACode", func(t *testing.T) {
		c := open(t)
		f := flow(c)
		for _, q := range []url.Values{nil, {}, {"code": {""}}} {
			_, _, err := c.Provider.Callback(t.Context(), f, q)
			refused(t, c, err, f)
		}
	})
	t.Run("RefusesCodesThatAreMadeUp", func(t *testing.T) {
		c := open(t)
		f, q := signIn(t, c)
		q.Set("code", "made-up")
		_, _, err := c.Provider.Callback(t.Context(), f, q)
		refused(t, c, err, f)
	})
	t.Run("RefusesACodeTheSecondTime", func(t *testing.T) {
		c := open(t)
		f, q := signIn(t, c)
		if _, _, err := c.Provider.Callback(t.Context(), f, q); err != nil {
			t.Fatalf("callback: %v", err)
		}
		_, _, err := c.Provider.Callback(t.Context(), f, q)
		refused(t, c, err, f)
	})
	t.Run("GivesUpWhenItIsInterrupted", func(t *testing.T) {
		c := open(t)
		f, q := signIn(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.Provider.Callback(ctx, f, q); err == nil {
			t.Error("the sign-in went on")
		}
	})
	t.Run("ServesManyGoroutines", func(t *testing.T) {
		c := open(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				f := flow(c)
				address, err := c.Provider.Start(t.Context(), f)
				if err != nil {
					t.Error(err)
					return
				}
				back, err := c.SignIn(address)
				if err != nil {
					t.Error(err)
					return
				}
				if p, _, err := c.Provider.Callback(t.Context(), f, back.Query()); err != nil || p.Subject != c.Subject {
					t.Errorf("subject %q, %v", p.Subject, err)
				}
			})
		}
		all.Wait()
	})
	runRefresher(t, open, callback)
	t.Run("SignsOut", func(t *testing.T) {
		c := open(t)
		out, ok := c.Provider.(auth.SignOuter)
		if !ok {
			return
		}
		_, s := callback(t, c)
		address, err := out.SignOut(t.Context(), auth.Session{RefreshToken: s.RefreshToken})
		if err != nil {
			t.Errorf("sign out: %v", err)
		}
		if u, err := url.Parse(address); address != "" && (err != nil || u.Scheme != "https" && u.Hostname() != "localhost") {
			t.Errorf("the page would be sent to %q", address)
		}
	})
}

func runRefresher(t *testing.T, open func(t *testing.T) ProviderCase, callback func(*testing.T, ProviderCase) (auth.Profile, auth.Session)) {
	t.Run("Refreshes", func(t *testing.T) {
		c := open(t)
		r, ok := c.Provider.(auth.Refresher)
		if !ok {
			return
		}
		_, s := callback(t, c)
		if s.RefreshToken == "" {
			return // the identity provider does not want to
		}
		token := s.RefreshToken
		for range 2 {
			p, next, err := r.Refresh(t.Context(), auth.Session{RefreshToken: token, Scope: c.Scope}, c.Scope)
			if err != nil {
				t.Fatalf("refresh: %v", err)
			}
			if p.Subject != c.Subject || next.AccessToken == "" {
				t.Errorf("the subject is %q, want %q; %d characters of access token", p.Subject, c.Subject, len(next.AccessToken))
			}
			if next.RefreshToken != "" {
				token = next.RefreshToken
			}
		}
	})
	t.Run("SaysThatASessionHasEnded", func(t *testing.T) {
		c := open(t)
		r, ok := c.Provider.(auth.Refresher)
		if !ok {
			return
		}
		_, _, err := r.Refresh(t.Context(), auth.Session{RefreshToken: "made-up", Scope: c.Scope}, c.Scope)
		refused(t, c, err, auth.Flow{})
		if err != nil && !errors.Is(err, auth.ErrSessionEnded) {
			t.Errorf("the error for a token that is made up is %v, want auth.ErrSessionEnded among its causes", err)
		}
	})
	t.Run("DoesNotTakeAnInterruptionForAnEnd", func(t *testing.T) {
		c := open(t)
		r, ok := c.Provider.(auth.Refresher)
		if !ok {
			return
		}
		_, s := callback(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := r.Refresh(ctx, auth.Session{RefreshToken: s.RefreshToken, Scope: c.Scope}, c.Scope); err == nil || errors.Is(err, auth.ErrSessionEnded) {
			t.Errorf("the error is %v", err)
		}
	})
}

// refused checks that a call has failed with an error that users may see.
func refused(t *testing.T, c ProviderCase, err error, f auth.Flow) {
	t.Helper()
	if err == nil {
		t.Error("there is no error")
		return
	}
	if _, ok := apierr.KindOf(err); !ok {
		t.Errorf("the error has no kind: %v", err)
	}
	for _, secret := range []string{c.Secret, f.Verifier, f.Nonce} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

// A ResolverCase is a resolver with somebody it knows and somebody it does not.
type ResolverCase struct {
	Resolver auth.SignInResolver
	// Users is the catalog.
	Users Users
	// Known is the profile of a user of the catalog, Unknown one of the same kind that nobody
	// there has.
	Known, Unknown auth.Profile
	// Want is the reference of the user that Known is.
	Want string
}

// RunResolver runs the rules of auth.SignInResolver against the resolvers that open makes,
// each time a new one.
func RunResolver(t *testing.T, open func(t *testing.T) ResolverCase) {
	t.Run("FindsTheUser", func(t *testing.T) {
		c := open(t)
		known(t, c)
	})
	t.Run("LeavesStrangersToTheNextResolver", func(t *testing.T) {
		c := open(t)
		id, err := c.Resolver.Resolve(t.Context(), c.Unknown, c.Users)
		if !errors.Is(err, apierr.NotFound) {
			t.Errorf("the identity is %v and the error %v, want apierr.NotFound", id.User, err)
		}
	})
	t.Run("GivesNobodyAnIdentityForNothing", func(t *testing.T) {
		c := open(t)
		if id, err := c.Resolver.Resolve(t.Context(), auth.Profile{Provider: c.Known.Provider}, c.Users); err == nil {
			t.Errorf("an empty profile is %v", id.User)
		}
	})
	t.Run("EndsTheSignInWhenTheCatalogCannotBeAsked", func(t *testing.T) {
		c := open(t)
		for _, kind := range []apierr.Kind{apierr.ServiceUnavailable, apierr.Conflict} {
			_, err := c.Resolver.Resolve(t.Context(), c.Known, broken{kind.New("the catalog is broken")})
			if err == nil || errors.Is(err, apierr.NotFound) {
				t.Errorf("the catalog says %s, the resolver %v", kind.Name(), err)
			}
		}
	})
	t.Run("LeavesTheProfileAsItIs", func(t *testing.T) {
		c := open(t)
		before := maps.Clone(c.Known.Claims)
		known(t, c)
		if !reflect.DeepEqual(before, c.Known.Claims) {
			t.Errorf("the claims were %v and are %v", before, c.Known.Claims)
		}
	})
	t.Run("ServesManyGoroutines", func(t *testing.T) {
		c := open(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { known(t, c) })
		}
		all.Wait()
	})
}

func known(t *testing.T, c ResolverCase) {
	t.Helper()
	id, err := c.Resolver.Resolve(t.Context(), c.Known, c.Users)
	if err != nil {
		t.Error(err)
		return
	}
	if id.User.Lower().String() != c.Want {
		t.Errorf("the user is %s, want %s", id.User, c.Want)
	}
	for _, owned := range id.Ownership {
		if owned.Kind == "" || owned.Namespace == "" || owned.Name == "" {
			t.Errorf("%q is not a full reference", owned)
		}
	}
}

// broken is a catalog that answers everything with an error.
type broken struct{ err error }

var _ auth.Users = broken{}

func (b broken) ByRef(context.Context, entity.Ref) (entity.Entity, error) { return nil, b.err }
func (b broken) ByAnnotation(context.Context, string, string) (entity.Entity, error) {
	return nil, b.err
}
func (b broken) ByExactAnnotation(context.Context, string, string) (entity.Entity, error) {
	return nil, b.err
}
func (b broken) ByEmail(context.Context, string) (entity.Entity, error) { return nil, b.err }
func (b broken) Ownership(context.Context, entity.Entity) ([]entity.Ref, error) {
	return nil, b.err
}
