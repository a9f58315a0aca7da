package backend

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
)

// discoveryConfig is discovery: where plugins answer that another process runs
// (contract/backend.md section 12).
type discoveryConfig struct {
	Endpoints []discoveryEndpoint `config:"endpoints" doc:"overrides, the first that names a plugin or * decides"`
}

type discoveryEndpoint struct {
	Target  discoveryTarget `config:"target,required" doc:"URL with {{pluginId}}, or {internal, external}"`
	Plugins []string        `config:"plugins,required" doc:"plugin ids, or *"`
}

type discoveryTarget struct{ Internal, External string }

type discoveryTargets struct {
	Internal string `config:"internal" doc:"where other plugins find it"`
	External string `config:"external" doc:"where browsers find it"`
}

// ConfigShapes implements config.Shaper.
func (discoveryTarget) ConfigShapes() []any { return []any{discoveryTargets{}} }

// UnmarshalConfig accepts one URL for both, or an object.
func (t *discoveryTarget) UnmarshalConfig(c *config.Config) error {
	if s, ok := c.Value("").(string); ok {
		t.Internal, t.External = s, s
		return checkTarget(s)
	}
	var v discoveryTargets
	if err := c.Decode("", &v); err != nil {
		return err
	}
	t.Internal, t.External = v.Internal, v.External
	for _, s := range []string{v.Internal, v.External} {
		if err := checkTarget(s); err != nil {
			return err
		}
	}
	return nil
}

func checkTarget(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(placeholder(s, "x"))
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is not a URL such as https://catalog.internal/api/{{pluginId}}", s)
	}
	switch u.Scheme {
	case "http", "https", "http+srv", "https+srv":
		return nil
	}
	return fmt.Errorf("%q has the scheme %q, use http, https, http+srv or https+srv", s, u.Scheme)
}

func placeholder(target, plugin string) string {
	for _, form := range []string{"{{pluginId}}", "{{ pluginId }}"} {
		target = strings.ReplaceAll(target, form, url.PathEscape(plugin))
	}
	return target
}

// discovery is the Discovery of this process.
type discovery struct {
	mu        sync.RWMutex
	internal  string // http://localhost:7007, known once the listener is open
	external  string // backend.baseUrl
	endpoints []discoveryEndpoint
	lookup    func(service, proto, name string) (string, []*net.SRV, error)
	now       func() time.Time
	srv       map[string]srvAnswer // by name
}

// srvAnswer is what DNS has said about a name, good for srvKept (contract/backend.md
// section 12).
type srvAnswer struct {
	host  string
	until time.Time
}

const srvKept = time.Second

// resolveSRV returns where the first record of name leads to.
func (d *discovery) resolveSRV(name string) (string, error) {
	now := d.now()
	d.mu.RLock()
	known, ok := d.srv[name]
	d.mu.RUnlock()
	if ok && now.Before(known.until) {
		return known.host, nil
	}
	_, records, err := d.lookup("", "", name)
	if err != nil {
		return "", err
	}
	if len(records) == 0 {
		return "", fmt.Errorf("no SRV record for %s", name)
	}
	host := net.JoinHostPort(strings.TrimSuffix(records[0].Target, "."), fmt.Sprint(records[0].Port))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.srv == nil {
		d.srv = map[string]srvAnswer{}
	}
	d.srv[name] = srvAnswer{host, now.Add(srvKept)} // as many names as targets are configured, or plugins
	return host, nil
}

// set takes over endpoints that have changed.
func (d *discovery) set(endpoints []discoveryEndpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endpoints = endpoints
}

func (d *discovery) endpoint(plugin string) *discoveryEndpoint {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, e := range d.endpoints {
		if slices.Contains(e.Plugins, plugin) || slices.Contains(e.Plugins, "*") {
			return &d.endpoints[i]
		}
	}
	return nil
}

// BaseURL resolves http+srv targets by DNS, at most once a second for each name.
func (d *discovery) BaseURL(plugin string) (string, error) {
	if e := d.endpoint(plugin); e != nil && e.Target.Internal != "" {
		return d.resolve(placeholder(e.Target.Internal, plugin))
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.internal + "/api/" + url.PathEscape(plugin), nil
}

func (d *discovery) ExternalBaseURL(plugin string) (string, error) {
	if e := d.endpoint(plugin); e != nil && e.Target.External != "" {
		return strings.TrimSuffix(placeholder(e.Target.External, plugin), "/"), nil
	}
	return strings.TrimSuffix(d.external, "/") + "/api/" + url.PathEscape(plugin), nil
}

func (d *discovery) resolve(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("discovery target %q: %w", target, err)
	}
	scheme, srv := strings.CutSuffix(u.Scheme, "+srv")
	if !srv {
		return strings.TrimSuffix(target, "/"), nil
	}
	host, err := d.resolveSRV(u.Host)
	if err != nil {
		return "", fmt.Errorf("discovery target %q: %w", target, err)
	}
	u.Scheme, u.Host = scheme, host
	return strings.TrimSuffix(u.String(), "/"), nil
}

// own reports whether base is where this process itself answers for a plugin.
func (d *discovery) own(base string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := strings.CutPrefix(base, d.internal+"/api/")
	return ok && id != "" && !strings.Contains(id, "/")
}

// local reports whether this process answers for plugin.
func (d *discovery) local(plugin string) bool {
	e := d.endpoint(plugin)
	return e == nil || e.Target.Internal == ""
}

// opened notes the port that the listener got, which differs from the configured one
// when that is 0.
func (d *discovery) opened(addr net.Addr, cfg rootserver.Config) {
	l := cfg.Listen
	if t, ok := addr.(*net.TCPAddr); ok {
		l.Port = t.Port
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.internal = l.InternalURL(cfg.HTTPS.Enabled)
}
