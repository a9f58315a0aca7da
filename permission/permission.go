package permission

import (
	"encoding/json"
	"slices"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// The values of Permission.Action.
const (
	Create = "create"
	Read   = "read"
	Update = "update"
	Delete = "delete"
)

// A Permission is what is asked for, as on the wire. Its Name alone identifies it.
type Permission struct {
	Name         string
	Action       string // create, read, update, delete, or empty
	ResourceType string // empty: a basic permission
}

// wirePermission is the JSON form (contract permission.md 1.1).
type wirePermission struct {
	Type       string `json:"type"`
	Name       string `json:"name"`
	Attributes struct {
		Action string `json:"action,omitempty"`
	} `json:"attributes"`
	ResourceType string `json:"resourceType,omitempty"`
}

// MarshalJSON writes the form that all clients know.
func (p Permission) MarshalJSON() ([]byte, error) {
	w := wirePermission{Type: "basic", Name: p.Name, ResourceType: p.ResourceType}
	if p.ResourceType != "" {
		w.Type = "resource"
	}
	w.Attributes.Action = p.Action
	return json.Marshal(w)
}

// UnmarshalJSON reads that form, and checks it. What is wrong is an apierr.Input.
// Members that it does not know are left out, and so is the resourceType of a basic
// permission.
func (p *Permission) UnmarshalJSON(data []byte) error {
	var w struct {
		Type, Name, ResourceType *string
		Attributes               *struct{ Action *string }
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return apierr.Input.New("permission must be an object with type, name and attributes")
	}
	if w.Name == nil {
		return apierr.Input.New("permission must have a name")
	}
	if w.Attributes == nil {
		return apierr.Input.New("permission %s must have attributes", *w.Name)
	}
	out := Permission{Name: *w.Name}
	if action := w.Attributes.Action; action != nil {
		if !validAction(*action) {
			return apierr.Input.New("permission %s: action must be create, read, update or delete, not %q", *w.Name, *action)
		}
		out.Action = *action
	}
	switch {
	case w.Type != nil && *w.Type == "basic":
	case w.Type != nil && *w.Type == "resource" && w.ResourceType != nil && *w.ResourceType != "":
		out.ResourceType = *w.ResourceType
	default:
		return apierr.Input.New("permission %s must have the type basic, or resource with a resourceType", *w.Name)
	}
	*p = out
	return nil
}

func validAction(action string) bool {
	return slices.Contains([]string{Create, Read, Update, Delete}, action)
}
