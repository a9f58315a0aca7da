package permission

import (
	"encoding/json"
	"fmt"
)

// A Decision is Allow, Deny, or made by If. The zero value is Deny. Decisions are
// immutable.
type Decision struct {
	allow bool
	given *given
}

type given struct {
	plugin, resourceType string
	criteria             Criteria
}

// The two decisions without conditions.
var (
	Allow = Decision{allow: true}
	Deny  = Decision{}
)

// If allows what criteria match, and leaves it to the plugin that has the resources to
// apply them.
func If(plugin, resourceType string, c Criteria) Decision {
	return Decision{given: &given{plugin, resourceType, c}}
}

// Conditional returns what If was called with; false for Allow and Deny.
func (d Decision) Conditional() (plugin, resourceType string, c Criteria, ok bool) {
	if d.given == nil {
		return "", "", Criteria{}, false
	}
	return d.given.plugin, d.given.resourceType, d.given.criteria, true
}

// String returns ALLOW, DENY or CONDITIONAL.
func (d Decision) String() string {
	switch {
	case d.given != nil:
		return "CONDITIONAL"
	case d.allow:
		return "ALLOW"
	}
	return "DENY"
}

func decided(allow bool) Decision {
	if allow {
		return Allow
	}
	return Deny
}

type wireDecision struct {
	Result       string    `json:"result"`
	PluginID     string    `json:"pluginId,omitempty"`
	ResourceType string    `json:"resourceType,omitempty"`
	Conditions   *Criteria `json:"conditions,omitempty"`
}

func (d Decision) wire() wireDecision {
	w := wireDecision{Result: d.String()}
	if d.given != nil {
		w.PluginID, w.ResourceType, w.Conditions = d.given.plugin, d.given.resourceType, &d.given.criteria
	}
	return w
}

// MarshalJSON writes the decision as the API has it.
func (d Decision) MarshalJSON() ([]byte, error) { return json.Marshal(d.wire()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (d *Decision) UnmarshalJSON(data []byte) error {
	var w wireDecision
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	switch {
	case w.Result == "ALLOW":
		*d = Allow
	case w.Result == "DENY":
		*d = Deny
	case w.Result == "CONDITIONAL" && w.Conditions != nil && w.PluginID != "" && w.ResourceType != "":
		*d = If(w.PluginID, w.ResourceType, *w.Conditions)
	default:
		return fmt.Errorf("%q is no decision, or lacks its conditions", w.Result)
	}
	return nil
}
