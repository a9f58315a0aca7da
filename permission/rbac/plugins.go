package rbac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// plugins asks plugins for their permissions and rules, wherever they run.
type plugins struct {
	configured []string // of the configuration and of modules
	own        *permission.Extensions
	clients    backend.Clients
	auth       backend.Auth
	live       *live
	log        *slog.Logger
}

// ids are those of configuration and modules, and then those that were added by the API.
func (p *plugins) ids() []string {
	out := slices.Clone(p.configured)
	for _, id := range p.live.state().Plugins {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

const maxMetadata = 4 << 20

// errNoMetadata is the answer of plugins that have no permissions, and of none.
var errNoMetadata = errors.New("404: no such plugin, or one without permissions")

// metadata asks one plugin.
func (p *plugins) metadata(ctx context.Context, id string) (m wireMetadataOf, err error) {
	if id == "permission" {
		own := p.own.Metadata()
		for i := range own.Rules {
			if own.Rules[i].Name == ruleIsOwner { // recorded: this list and the metadata have it in two drafts
				schema := ownersSchema("https://json-schema.org/draft/2020-12/schema")
				schema["additionalProperties"] = false
				own.Rules[i].ParamsSchema = schema
			}
		}
		return wireMetadataOf{own.Permissions, own.Rules}, nil
	}
	client, base, err := p.clients.Client(ctx, p.auth.Own(), id)
	if err != nil {
		return m, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/.well-known/backstage/permissions/metadata", nil)
	if err != nil {
		return m, err
	}
	res, err := client.Do(req)
	if err != nil {
		return m, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return m, fmt.Errorf("GET %s: %w", req.URL, errNoMetadata)
	}
	if res.StatusCode != http.StatusOK {
		return m, fmt.Errorf("GET %s: %s", req.URL, res.Status)
	}
	return m, json.NewDecoder(io.LimitReader(res.Body, maxMetadata)).Decode(&m)
}

// wireMetadataOf is the metadata of a plugin.
type wireMetadataOf struct {
	Permissions []permission.Permission
	Rules       []permission.RuleInfo
}

// all asks all plugins at the same time. One that fails is logged and left out.
func (p *plugins) all(ctx context.Context) (ids []string, list []wireMetadataOf) {
	asked := p.ids()
	found, errs := make([]wireMetadataOf, len(asked)), make([]error, len(asked))
	var wg sync.WaitGroup
	for i, id := range asked {
		wg.Go(func() { found[i], errs[i] = p.metadata(ctx, id) })
	}
	wg.Wait()
	for i, id := range asked {
		if errs[i] != nil {
			p.log.WarnContext(ctx, "a plugin does not tell its permissions", "plugin", id, "error", errs[i])
			continue
		}
		ids, list = append(ids, id), append(list, found[i])
	}
	return ids, list
}

func (a *rest) pluginPolicies(c *call) error {
	c.event("plugin-policies-read", nil)
	type policy struct {
		Name         string `json:"name"`
		Policy       string `json:"policy"`
		ResourceType string `json:"resourceType,omitempty"`
	}
	type of struct {
		PluginID string   `json:"pluginId"`
		Policies []policy `json:"policies"`
	}
	out := []of{}
	ids, list := a.plugins.all(c.r.Context())
	for i, m := range list {
		one := of{ids[i], []policy{}}
		for _, p := range m.Permissions {
			action := p.Action
			if action == "" {
				action = engine.Use
			}
			one.Policies = append(one.Policies, policy{p.Name, action, p.ResourceType})
		}
		out = append(out, one)
	}
	return c.json(http.StatusOK, out)
}

func (a *rest) pluginRules(c *call) error {
	c.event("condition-rules-read", nil)
	type of struct {
		PluginID string                `json:"pluginId"`
		Rules    []permission.RuleInfo `json:"rules"`
	}
	out := []of{}
	ids, list := a.plugins.all(c.r.Context())
	for i, m := range list {
		if len(m.Rules) > 0 {
			out = append(out, of{ids[i], m.Rules})
		}
	}
	return c.json(http.StatusOK, out)
}

func (a *rest) pluginIDs(c *call) error {
	c.event("plugin-ids-read", nil)
	return c.json(http.StatusOK, a.listed())
}

func (a *rest) listed() map[string][]string {
	return map[string][]string{"ids": append([]string{}, a.plugins.ids()...)}
}

const (
	maxPluginIDs    = 100
	maxPluginLength = 64
)

// readIDs reads the body of changes of the list.
func (c *call) readIDs() ([]string, error) {
	var body struct{ IDs []string }
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if len(body.IDs) == 0 {
		return nil, apierr.Input.New("'ids' must be specified in the permission dependent plugin")
	}
	if len(body.IDs) > maxPluginIDs {
		return nil, apierr.Input.New("'ids' has %d elements, more than %d", len(body.IDs), maxPluginIDs)
	}
	for _, id := range body.IDs {
		if id == "" || len(id) > maxPluginLength || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, apierr.Input.New("a plugin id has 1 to %d characters of ASCII, unlike %q", maxPluginLength, id)
		}
	}
	if twice := repeated(body.IDs); twice != "" {
		return nil, apierr.Input.New("'ids' has %q twice", twice)
	}
	return body.IDs, nil
}

func quoted(list []string) string {
	text, _ := json.Marshal(list)
	return string(text)
}

// only returns the elements of list for which keep holds.
func only(list []string, keep func(string) bool) (out []string) {
	for _, one := range list {
		if keep(one) {
			out = append(out, one)
		}
	}
	return out
}

func (a *rest) addPluginIDs(c *call) error {
	c.writes("plugin-ids-write", "create")
	ids, err := c.readIDs()
	if err != nil {
		return err
	}
	c.meta["ids"] = ids
	if _, err := c.change(func(_ editor, s *engine.State) error {
		known := only(ids, func(id string) bool {
			return slices.Contains(a.plugins.configured, id) || slices.Contains(s.Plugins, id)
		})
		if known != nil {
			return apierr.Conflict.New("plugin IDs %s already exist in the system. Please use a different set of plugin ids.", quoted(known))
		}
		s.Plugins = append(s.Plugins, ids...)
		return nil
	}); err != nil {
		return err
	}
	return c.json(http.StatusOK, a.listed())
}

func (a *rest) removePluginIDs(c *call) error {
	c.writes("plugin-ids-write", "delete")
	ids, err := c.readIDs()
	if err != nil {
		return err
	}
	c.meta["ids"] = ids
	if _, err := c.change(func(_ editor, s *engine.State) error {
		if fixed := only(ids, func(id string) bool { return slices.Contains(a.plugins.configured, id) }); fixed != nil {
			return apierr.NotAllowed.New("plugin IDs %s can be removed only with help of configuration", quoted(fixed))
		}
		if unknown := only(ids, func(id string) bool { return !slices.Contains(s.Plugins, id) }); unknown != nil {
			return apierr.NotFound.New("plugin IDs %s were not found", quoted(unknown))
		}
		s.Plugins = slices.DeleteFunc(s.Plugins, func(id string) bool { return slices.Contains(ids, id) })
		return nil
	}); err != nil {
		return err
	}
	return c.json(http.StatusOK, a.listed())
}
