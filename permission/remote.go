package permission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// maxAnswer bounds what is read of another process's answer.
const maxAnswer = 16 << 20

// askRemote asks the permission plugin of another process.
func (a *Authorizer) askRemote(ctx context.Context, creds backend.Credentials, questions []question) ([]answer, error) {
	items := make([]wireItem, len(questions))
	for i, q := range questions {
		items[i] = wireItem{ID: strconv.Itoa(i), Permission: q.permission}
		if len(q.refs) > 0 {
			items[i].ResourceRef = q.refs[0]
		}
	}
	var got struct {
		Items []struct {
			ID     string          `json:"id"`
			Result json.RawMessage `json:"result"`
		} `json:"items"`
	}
	var raw struct{ Items []json.RawMessage }
	body, err := post(ctx, a.clients, creds, pluginID, "/authorize", map[string]any{"items": items})
	if err == nil {
		if err = json.Unmarshal(body, &got); err == nil {
			err = json.Unmarshal(body, &raw)
		}
	}
	if err != nil {
		return nil, apierr.Forward(err, "ask plugin %s", pluginID)
	}
	if len(got.Items) != len(items) {
		return nil, fmt.Errorf("ask plugin %s: %d answers to %d questions", pluginID, len(got.Items), len(items))
	}
	out := make([]answer, len(items))
	seen := make([]bool, len(items))
	for i, item := range got.Items {
		at, err := strconv.Atoi(item.ID)
		if err != nil || at < 0 || at >= len(items) || seen[at] {
			return nil, fmt.Errorf("ask plugin %s: an answer has the unknown id %q", pluginID, item.ID)
		}
		seen[at] = true
		if out[at], err = readAnswer(raw.Items[i], item.Result); err != nil {
			return nil, fmt.Errorf("ask plugin %s: answer %s: %w", pluginID, item.ID, err)
		}
		if len(questions[at].refs) > 0 && out[at].each == nil && out[at].decision.given != nil {
			return nil, fmt.Errorf("ask plugin %s: answer %s is conditional, although it is about one resource", pluginID, item.ID)
		}
	}
	return out, nil
}

// readAnswer reads a decision, or the array that some versions answer with.
func readAnswer(whole, result json.RawMessage) (a answer, err error) {
	if len(result) > 0 && result[0] == '[' {
		a.each, err = readResults(result, 1)
		return a, err
	}
	return a, json.Unmarshal(whole, &a.decision)
}

func readResults(data json.RawMessage, want int) ([]bool, error) {
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, err
	}
	if len(texts) != want {
		return nil, fmt.Errorf("%d results for %d resources", len(texts), want)
	}
	out := make([]bool, len(texts))
	for i, text := range texts {
		if text != "ALLOW" && text != "DENY" {
			return nil, fmt.Errorf("%q is no result", text)
		}
		out[i] = text == "ALLOW"
	}
	return out, nil
}

// applyRemote has the plugin of a process apply criteria to its resources.
func applyRemote(ctx context.Context, clients backend.Clients, creds backend.Credentials, plugin, resourceType string, items []conditioned) ([]bool, error) {
	wire := make([]map[string]any, len(items))
	for i, item := range items {
		wire[i] = map[string]any{"id": strconv.Itoa(i), "resourceRef": item.ref, "resourceType": resourceType, "conditions": item.criteria}
	}
	body, err := post(ctx, clients, creds, plugin, applyConditionsPath, map[string]any{"items": wire})
	var got struct {
		Items []struct{ ID, Result string }
	}
	if err == nil {
		err = json.Unmarshal(body, &got)
	}
	if err == nil && len(got.Items) != len(items) {
		err = fmt.Errorf("%d answers to %d questions", len(got.Items), len(items))
	}
	if err != nil {
		return nil, apierr.Forward(err, "apply conditions in plugin %s", plugin)
	}
	out := make([]bool, len(items))
	for _, one := range got.Items {
		i, err := strconv.Atoi(one.ID)
		if err != nil || i < 0 || i >= len(out) {
			return nil, fmt.Errorf("apply conditions in plugin %s: an answer has the unknown id %q", plugin, one.ID)
		}
		out[i] = one.Result == "ALLOW"
	}
	return out, nil
}

func post(ctx context.Context, clients backend.Clients, creds backend.Credentials, plugin, path string, body any) ([]byte, error) {
	client, base, err := clients.Client(ctx, creds, plugin)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, apierr.ServiceUnavailable.Wrap(err, "plugin %s does not answer", plugin)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, apierr.FromResponse(res)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxAnswer))
}
