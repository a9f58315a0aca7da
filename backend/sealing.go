package backend

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/seal"
)

// SecretKeys are backend.secretKeys for one plugin. It is injected into plugins and
// modules.
//
//	sealer, err := keys.Sealer()
//	if err != nil {
//		return err // a boot error that names backend.secretKeys
//	}
//	text, err := sealer.Seal("task secrets", []byte(taskID), plain)
type SecretKeys interface {
	// Sealer returns what encrypts and signs with the keys. A production without
	// backend.secretKeys is an error, which a constructor returns. In development without
	// them, what is sealed ends with the process.
	Sealer() (Sealer, error)
}

// Sealer encrypts and signs for one plugin.
type Sealer = seal.Sealer

// secretKeys are the keys of a backend.
type secretKeys struct {
	configured seal.Secrets
	env        Environment
	random     func() string // instead of keys, in development
}

func newSecretKeys(configured seal.Secrets, env Environment) *secretKeys {
	return &secretKeys{configured, env, sync.OnceValue(func() string {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		return base64.StdEncoding.EncodeToString(key)
	})}
}

// pluginSecretKeys are the SecretKeys of one plugin.
type pluginSecretKeys struct {
	keys *secretKeys
	id   PluginID
}

// Sealer implements SecretKeys.
func (p pluginSecretKeys) Sealer() (Sealer, error) {
	secrets := p.keys.configured.Reveal()
	if len(secrets) == 0 {
		if p.keys.env == ProductionEnvironment {
			return nil, config.AtWithFix("backend.secretKeys", fmt.Errorf("required key is missing: plugin %s encrypts what it stores with it", p.id),
				"make one with: openssl rand -base64 32, and give it to all replicas")
		}
		secrets = []string{p.keys.random()}
	}
	return seal.New(string(p.id), secrets)
}

// secretServices are the keys of a plugin, in its own scope.
func (c *core) secretServices(id PluginID) fx.Option {
	return fx.Provide(func() SecretKeys { return pluginSecretKeys{c.secretKeys, id} }, fx.Private)
}
