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
	groups := grouped(questions, a.config.EnableBatchedRequests)
	items := make([]wireItem, len(groups))
	for i, g := range groups {
		items[i] = wireItem{ID: strconv.Itoa(i), Permission: questions[g[0]].permission}
		var refs []string
		for _, q := range g {
			refs = append(refs, questions[q].refs...)
		}
		switch {
		case len(g) > 1:
			items[i].ResourceRef = refs
		case len(refs) > 0:
			items[i].ResourceRef = refs[0]
		}
	}
	var got struct{ Items []json.RawMessage }
	body, err := post(ctx, a.clients, creds, pluginID, "/authorize", map[string]any{"items": items})
	if err == nil {
		err = json.Unmarshal(body, &got)
	}
	if err == nil && len(got.Items) != len(items) {
		err = fmt.Errorf("%d answers to %d questions", len(got.Items), len(items))
	}
	out := make([]answer, len(questions))
	seen := make([]bool, len(groups))
	for _, raw := range got.Items {
		if err == nil {
			err = readAnswer(raw, groups, seen, questions, out)
		}
	}
	if err != nil {
		return nil, apierr.Forward(err, "ask plugin %s", pluginID)
	}
	return out, nil
}

// grouped lists the questions that become one item: each its own, or with batches all
// about resources for one permission.
func grouped(questions []question, batches bool) (out [][]int) {
	at := map[string]int{}
	for i, q := range questions {
		if g, ok := at[q.permission.Name]; ok && batches && len(q.refs) > 0 {
			out[g] = append(out[g], i)
			continue
		}
		if len(q.refs) > 0 {
			at[q.permission.Name] = len(out)
		}
		out = append(out, []int{i})
	}
	return out
}

// readAnswer reads a decision, which is about all resources of an item, or an array with
// one result for each.
func readAnswer(raw json.RawMessage, groups [][]int, seen []bool, questions []question, out []answer) error {
	var head struct {
		ID     string
		Result json.RawMessage
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	at, err := strconv.Atoi(head.ID)
	if err != nil || at < 0 || at >= len(groups) || seen[at] {
		return fmt.Errorf("an answer has the unknown id %q", head.ID)
	}
	seen[at] = true
	if len(head.Result) > 0 && head.Result[0] == '[' {
		each, err := readResults(head.Result, len(groups[at]))
		for i, q := range groups[at] {
			if err == nil {
				out[q].each = each[i : i+1]
			}
		}
		return err
	}
	var d Decision
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	for _, q := range groups[at] {
		if d.given != nil && len(questions[q].refs) > 0 {
			return fmt.Errorf("the answer about permission %s is conditional, although it is about one resource", questions[q].permission.Name)
		}
		out[q].decision = d
	}
	return nil
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
