package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
)

// A Client lists and invokes the actions of all plugins that are sources.
type Client struct {
	Config Config
	// Open returns a client that acts as c towards a plugin, and the plugin's base URL.
	Open func(ctx context.Context, c principal.Credentials, plugin string) (client *http.Client, baseURL string, err error)
	Log  *slog.Logger
}

// listTimeout bounds how long one plugin may take to list its actions.
const listTimeout = 10 * time.Second

// List returns the actions that the caller may see, in the order of
// backend.actions.pluginSources. A plugin that does not answer is logged, and left out.
func (c *Client) List(ctx context.Context, caller principal.Credentials) ([]Info, error) {
	if c.Config.PluginSources == nil {
		return nil, nil
	}
	sources := *c.Config.PluginSources
	lists := make([][]Info, len(sources))
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, plugin := range sources {
		wg.Go(func() { lists[i], errs[i] = c.list(ctx, caller, plugin) })
	}
	wg.Wait()
	var out []Info
	failed := 0
	for i, plugin := range sources {
		if errs[i] != nil {
			failed++
			c.Log.WarnContext(ctx, "a plugin does not list its actions", "source", plugin, "error", errs[i])
			continue
		}
		for _, a := range lists[i] {
			if a.PluginID == plugin && c.Config.Filter.Offers(a.ID, a.Attributes) {
				out = append(out, a)
			}
		}
	}
	if failed > 0 && failed == len(sources) {
		return nil, fmt.Errorf("list actions: %w", errors.Join(errs...))
	}
	return out, ctx.Err()
}

func (c *Client) list(ctx context.Context, caller principal.Credentials, plugin string) ([]Info, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var out struct{ Actions []Info }
	err := c.send(ctx, caller, plugin, http.MethodGet, "/.backstage/actions/v1/actions", nil, &out)
	return out.Actions, err
}

// Invoke invokes an action by its id, and returns its output. secrets is nil for
// actions without secrets. Its errors have the kinds of those of the action.
func (c *Client) Invoke(ctx context.Context, caller principal.Credentials, id string, input, secrets json.RawMessage) (json.RawMessage, error) {
	plugin, _, ok := strings.Cut(id, ":")
	if !ok || c.Config.PluginSources == nil || !c.Config.source(plugin) {
		return nil, notFound(id)
	}
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	in := map[string]json.RawMessage{"input": input}
	if secrets != nil {
		in["secrets"] = secrets
	}
	var out struct{ Output json.RawMessage }
	err := c.send(ctx, caller, plugin, http.MethodPost, "/.backstage/actions/v2/actions/"+url.PathEscape(id)+"/invoke", in, &out)
	return out.Output, err
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

func (c *Client) send(ctx context.Context, caller principal.Credentials, plugin, method, path string, in, out any) error {
	client, base, err := c.Open(ctx, caller, plugin)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&text).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, &text)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body := io.LimitReader(res.Body, maxAnswer)
	if res.StatusCode >= 300 {
		var e struct {
			Error struct{ Name, Message string }
		}
		answer, _ := io.ReadAll(body)
		if json.Unmarshal(answer, &e) != nil || e.Error.Name == "" {
			return apierr.Status(http.StatusBadGateway).New("plugin %q answers %s", plugin, res.Status)
		}
		return apierr.KindByName(e.Error.Name, res.StatusCode).New("%s", e.Error.Message)
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("answer of plugin %q: %w", plugin, err)
	}
	return nil
}
