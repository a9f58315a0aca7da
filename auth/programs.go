package auth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/auth/internal/oauthserver"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// programs makes the server through which programs act as users (contract/auth.md
// section 10).
func (a *api) programs(p params) (*oauthserver.Server, error) {
	base, err := p.Discovery.ExternalBaseURL("auth")
	if err != nil {
		return nil, err
	}
	app, _, err := p.Root.String("app.baseUrl")
	if err != nil {
		return nil, err
	}
	documents := p.Config.ClientIDMetadataDocuments
	if old := p.Config.ExperimentalClientIDMetadataDocuments; old.Enabled {
		if documents.Enabled {
			return nil, config.At("auth.experimentalClientIdMetadataDocuments", errors.New("is the same as auth.clientIdMetadataDocuments: write one of them"))
		}
		documents = old
	}
	s, err := oauthserver.New(oauthserver.Options{
		Documents: documents, Registration: p.Config.ExperimentalDynamicClientRegistration,
		Refresh: p.Config.ExperimentalRefreshToken, Settings: p.Config.OAuthServer,
		Store: a.store, Issuer: p.Tokens, Present: a.present, BaseURL: base, AppURL: app, SignIns: a.signIns(),
		Development: a.dev, Now: a.now, Log: p.Log,
	})
	if err != nil || !s.Enabled() {
		return s, err
	}
	// The consent page is a page of this backend, and signs users in.
	own, err := flow.Origin(base)
	if err != nil {
		return nil, err
	}
	a.origins.Add(own)
	return s, nil
}

// signIns are those that the consent page offers.
func (a *api) signIns() (out []oauthserver.SignIn) {
	for _, id := range slices.Sorted(maps.Keys(a.providers)) {
		envs := a.providers[id].envs
		for _, name := range slices.Sorted(maps.Keys(envs)) {
			if len(envs[name].chain) > 0 {
				out = append(out, oauthserver.SignIn{Provider: id, Env: name, Popup: true})
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.proxies)) {
		if a.proxies[id].client != nil {
			out = append(out, oauthserver.SignIn{Provider: id})
		}
	}
	return out
}

// present looks a user up in the catalog.
func (a *api) present(ctx context.Context, ref string) error {
	parsed, err := entity.ParseRef(ref)
	if err != nil {
		return apierr.NotFound.Wrap(err, "%q is no user", ref)
	}
	_, err = a.users.ByRef(ctx, parsed)
	return err
}

// cleaning is how often what has expired is deleted. Every replica does it, which finds
// nothing more often than it could do harm: a task of the scheduler would give the plugin
// routes that the recorded API does not have (TestRecordings).
const cleaning = 10 * time.Minute

// clean deletes what has expired until ctx ends.
func (a *api) clean(programs *oauthserver.Server) func(context.Context) {
	return func(ctx context.Context) {
		for tick := time.NewTicker(cleaning); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				if err := errors.Join(a.sessions.Clean(ctx), programs.Clean(ctx)); err != nil && ctx.Err() == nil {
					a.log.WarnContext(ctx, "what has expired is not deleted", "error", err)
				}
			}
		}
	}
}
