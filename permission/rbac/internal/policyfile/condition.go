package policyfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// Limits bound conditional policies.
type Limits struct {
	Depth, Nodes, Items int // of criteria; Items is the most parts of one allOf or anyOf
	Bytes, Documents    int // of the file
}

// ParseConditions reads a file of conditional policies, which is YAML with a document for
// each. The first mistake is the error: a file counts whole, or not at all. Its text
// begins with the line. check may refuse a condition; nil refuses none.
func ParseConditions(data []byte, l Limits, check func(engine.Condition) error) (out []engine.Condition, err error) {
	if len(data) > l.Bytes {
		return nil, fmt.Errorf("1:1: the file has %d bytes, more than the %d that permission.rbac.validation.conditionalPoliciesFile.maxBytes allows", len(data), l.Bytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	for n := 0; ; n++ {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n+1, err)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
			continue
		}
		line := doc.Content[0].Line
		if n >= l.Documents {
			return nil, fmt.Errorf("%d:1: there are more than %d documents", line, l.Documents)
		}
		var v any
		if err := doc.Decode(&v); err != nil {
			return nil, fmt.Errorf("%d:1: %w", line, err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("%d:1: %w", line, err)
		}
		c, err := DecodeCondition(text, l)
		if err == nil && check != nil {
			err = check(c)
		}
		if err != nil {
			return nil, fmt.Errorf("%d:1: %w", line, err)
		}
		for _, other := range out {
			if what := Overlap(other, c); what != "" {
				return nil, fmt.Errorf("%d:1: another condition of %s on %s is about %s, too", line, c.Role, c.ResourceType, what)
			}
		}
		out = append(out, c)
	}
}

// DecodeCondition reads one condition from JSON and checks it (contract permission.md
// 5.1). Errors are an apierr.Input that names the first mistake.
func DecodeCondition(data []byte, l Limits) (c engine.Condition, err error) {
	bad := func(format string, args ...any) (engine.Condition, error) {
		return c, apierr.Input.New(format, args...)
	}
	var w struct {
		Result, RoleEntityRef, PluginID, ResourceType string
		PermissionMapping                             json.RawMessage
		Conditions                                    json.RawMessage
	}
	if json.Unmarshal(data, &w) != nil {
		return bad("a condition must be an object with result, roleEntityRef, pluginId, resourceType, permissionMapping and conditions")
	}
	for _, f := range []struct{ name, value string }{
		{"roleEntityRef", w.RoleEntityRef}, {"result", w.Result}, {"pluginId", w.PluginID}, {"resourceType", w.ResourceType},
	} {
		if f.value == "" {
			return bad("'%s' must be specified in the role condition", f.name)
		}
		if strings.Contains(f.value, "\x00") {
			return bad("'%s' must not have NUL in it", f.name)
		}
	}
	if w.Result != "CONDITIONAL" {
		return bad("'result' must be CONDITIONAL, not %q", w.Result)
	}
	if err := engine.CheckRef(w.RoleEntityRef, "role"); err != nil {
		return bad("'roleEntityRef': %v", err)
	}
	c = engine.Condition{Role: w.RoleEntityRef, Plugin: w.PluginID, ResourceType: w.ResourceType}
	if c.Mapping, err = decodeMapping(w.PermissionMapping); err != nil {
		return c, err
	}
	if c.ResourceType == "policy-entity" && slices.ContainsFunc(c.Mapping, func(m engine.Mapping) bool { return m.Action == permission.Create }) {
		return bad("creating policies cannot be conditional: there is nothing yet that a condition could be about")
	}
	if len(w.Conditions) == 0 || string(w.Conditions) == "null" {
		return bad("'conditions' must be specified in the role condition")
	}
	if err := c.Criteria.UnmarshalJSON(w.Conditions); err != nil {
		return c, err
	}
	nodes, depth := c.Criteria.Size()
	switch {
	case nodes > l.Nodes:
		return bad("the conditions have %d nodes, more than the %d that are allowed", nodes, l.Nodes)
	case depth > l.Depth:
		return bad("the conditions nest %d deep, more than the %d that are allowed", depth, l.Depth)
	case c.Criteria.Widest() > l.Items:
		return bad("allOf or anyOf has %d conditions, more than the %d that are allowed", c.Criteria.Widest(), l.Items)
	}
	return c, nil
}

// The most entries of a mapping in its two forms.
const (
	maxActions = 5
	maxNamed   = 25
)

func decodeMapping(data json.RawMessage) (out []engine.Mapping, err error) {
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil || len(list) == 0 {
		return nil, apierr.Input.New("'permissionMapping' must be an array with at least one entry")
	}
	plain := 0
	for _, raw := range list {
		var m engine.Mapping
		var named struct{ Name, Action string }
		if json.Unmarshal(raw, &m.Action) == nil {
			plain++
		} else if json.Unmarshal(raw, &named) == nil && named.Name != "" {
			m = engine.Mapping{Name: named.Name, Action: named.Action}
		} else {
			return nil, apierr.Input.New("an entry of 'permissionMapping' must be an action, or an object with name and action")
		}
		if !slices.Contains(engine.Actions(), m.Action) {
			return nil, apierr.Input.New("'permissionMapping' has the action %q; it must be one of %s", m.Action, strings.Join(engine.Actions(), ", "))
		}
		if slices.Contains(out, m) {
			return nil, apierr.Input.New("'permissionMapping' has an entry twice: %s", text(m))
		}
		out = append(out, m)
	}
	switch {
	case plain > 0 && plain < len(out):
		return nil, apierr.Input.New("'permissionMapping' must be all actions, or all objects with name and action")
	case plain > maxActions || len(out) > maxNamed:
		return nil, apierr.Input.New("'permissionMapping' has too many entries")
	}
	return out, nil
}

func text(m engine.Mapping) string {
	if m.Name == "" {
		return "action '" + m.Action + "'"
	}
	return "permission '" + m.Name + "'"
}

// Overlap names what two conditions are both about; empty if nothing.
func Overlap(a, b engine.Condition) string {
	if a.Role != b.Role || a.Plugin != b.Plugin || a.ResourceType != b.ResourceType {
		return ""
	}
	var both []string
	for _, m := range b.Mapping {
		if slices.ContainsFunc(a.Mapping, func(o engine.Mapping) bool {
			return o.Action == m.Action && (o.Name == "" || m.Name == "" || o.Name == m.Name)
		}) {
			both = append(both, text(m))
		}
	}
	return strings.Join(both, ", ")
}
