package tokens

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// Bounds of the plugins of other processes. The name of a plugin comes from a token that
// nobody has verified yet, so every new one is as suspicious as an unknown key id.
const (
	maxRemotePlugins = 500
	newRemoteBudget  = 60 // plugins that are met for the first time
	newRemotePer     = time.Minute
)

var errManyPlugins = errors.New("too many tokens of plugins that are not known")

// RemotePlugins finds the keys of plugins that run in other processes.
type RemotePlugins struct {
	url    func(plugin string) (string, error)
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	sets map[string]*RemoteKeys
	met  []time.Time
}

// NewRemotePlugins returns the keys of plugins, each at the address that url gives for its
// key set. Client and clock may be nil.
func NewRemotePlugins(url func(plugin string) (string, error), client *http.Client, now func() time.Time) *RemotePlugins {
	if now == nil {
		now = time.Now
	}
	return &RemotePlugins{url: url, client: client, now: now, sets: map[string]*RemoteKeys{}}
}

// Keys returns the keys of a plugin. It fits Options.PluginKeys.
func (p *RemotePlugins) Keys(plugin string) (Keys, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k, ok := p.sets[plugin]; ok {
		return k, nil
	}
	now := p.now()
	for len(p.met) > 0 && !now.Before(p.met[0].Add(newRemotePer)) {
		p.met = p.met[1:]
	}
	if len(p.met) >= newRemoteBudget {
		return nil, errManyPlugins
	}
	if len(p.sets) >= maxRemotePlugins {
		for name, k := range p.sets {
			if !k.everLoaded() {
				delete(p.sets, name)
			}
		}
		if len(p.sets) >= maxRemotePlugins {
			return nil, errManyPlugins
		}
	}
	p.met = append(p.met, now)
	k := NewRemoteKeys(func() (string, error) { return p.url(plugin) }, p.client, p.now)
	p.sets[plugin] = k
	return k, nil
}

func (k *knownKeys) everLoaded() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.loaded.IsZero()
}
