package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/tokens"
)

// pluginKeyLife is how long the keys of plugins sign; they are listed for three times that.
const pluginKeyLife = time.Hour

// authSections is what the keys of this process are configured with.
type authSections struct {
	Auth     tokens.Config             // backend.auth
	UserKeys tokens.UserKeyStoreConfig // auth.keyStore
	UserLife tokens.UserTokenLife      // auth.backstageTokenExpiration; also how long their keys sign
	UserAlg  tokens.Algorithm          // auth.identityTokenAlgorithm
}

func (s *authSections) decode(decode func(path string, out any)) {
	decode("backend.auth", &s.Auth)
	decode("auth.keyStore", &s.UserKeys)
	decode("auth.backstageTokenExpiration", &s.UserLife)
	decode("auth.identityTokenAlgorithm", &s.UserAlg)
}

// keyStores makes the key stores of a process. Stores do no I/O until they are used.
type keyStores struct {
	sections authSections
	db       *db.Manager
	now      func() time.Time
	files    *tokens.FileKeys // backend.auth.pluginKeyStore of type static
	userFile *tokens.FileKeys // auth.keyStore of provider static
}

func newKeyStores(s authSections, m *db.Manager, now func() time.Time) *keyStores {
	k := &keyStores{sections: s, db: m, now: now}
	if s.Auth.PluginKeyStore.Type == "static" && len(s.Auth.PluginKeyStore.Static.Keys) > 0 {
		k.files = tokens.NewFileKeys(s.Auth.PluginKeyStore.Static)
	}
	if s.UserKeys.Provider == "static" && len(s.UserKeys.Static.Keys) > 0 {
		k.userFile = tokens.NewFileKeys(s.UserKeys.Static)
	}
	return k
}

// plugin is the store of a plugin's keys: in its database, or the files that all share.
func (k *keyStores) plugin(id PluginID) tokens.KeyStore {
	if k.files != nil {
		return k.files
	}
	return tokens.NewStoredKeys(k.db.Plugin(string(id)).DB(), tokens.PluginKeyTable(), pluginKeyLife, k.now)
}

// users is the store of the keys that user tokens are signed with.
func (k *keyStores) users() tokens.KeyStore {
	life, alg := k.sections.UserLife.Std(), string(k.sections.UserAlg)
	switch {
	case k.userFile != nil:
		return k.userFile
	case k.sections.UserKeys.Provider == "memory" || k.db == nil:
		return tokens.NewMemoryKeys(life, k.now).With(alg)
	}
	return tokens.NewStoredKeys(k.db.Plugin("auth").DB(), tokens.UserKeyTable(), life, k.now).With(alg)
}

// load reads the key files, so that a wrong one is a boot error. Those of user tokens
// count only where the auth plugin runs.
func (k *keyStores) load(users bool) error {
	var errs []error
	load := func(section string, files *tokens.FileKeys) {
		for _, err := range config.Problems(files.Load()) {
			if ke, ok := err.(*config.KeyError); ok {
				err = config.AtWithFix(section+"."+ke.Path, ke.Err, "make the file readable for this process, with a key in PEM text in it")
			}
			errs = append(errs, err)
		}
	}
	if k.files != nil {
		load("backend.auth.pluginKeyStore.static", k.files)
	}
	if k.userFile != nil && users {
		load("auth.keyStore.static", k.userFile)
		if alg := k.sections.UserAlg; alg != "" && alg != "ES256" {
			errs = append(errs, config.AtWithFix("auth.identityTokenAlgorithm", fmt.Errorf("is %q, but static keys sign with ES256", string(alg)), "remove the key"))
		}
	}
	return errors.Join(errs...)
}

// localUserKeys are the keys of user tokens where discovery says that this process
// issues them. It does so only if the auth plugin is part of it: a database for a plugin
// that is not there must not come into being because somebody has sent a token.
type localUserKeys struct{ a *authenticator }

// PublicKey implements tokens.Keys.
func (l localUserKeys) PublicKey(ctx context.Context, id string) (tokens.PublicKey, error) {
	if !l.a.installed("auth") {
		return tokens.PublicKey{}, fmt.Errorf("plugin auth is not part of this backend, and discovery.endpoints does not say where it runs: %w", tokens.ErrUnknownKey)
	}
	return l.a.userKeys.PublicKey(ctx, id)
}
