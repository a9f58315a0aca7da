package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The severities, from the highest.
const (
	Critical = "critical"
	High     = "high"
	Normal   = "normal" // what a Payload without one has
	Low      = "low"
)

// Severities returns the severities, from the highest.
func Severities() []string { return []string{Critical, High, Normal, Low} }

// Rank returns the place of a severity among Severities, and false for other words.
func Rank(severity string) (int, bool) {
	i := slices.Index(Severities(), severity)
	return i, i >= 0
}

// Channel is the channel of the signals that tell frontends of new notifications, and of
// those that were read elsewhere.
const Channel = "notifications"

// Web is the channel, in the settings of users, of the frontend itself.
const Web = "Web"

// A Request is a notification to be sent.
type Request struct {
	Recipients Recipients `json:"recipients"`
	Payload    Payload    `json:"payload"`
}

// Payload is what a notification says. Only Title is required.
type Payload struct {
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	// Link is an address, or a path of the frontend such as /catalog.
	Link     string `json:"link,omitempty"`
	Severity string `json:"severity,omitempty"`
	// Topic groups notifications; users turn off topics.
	Topic string `json:"topic,omitempty"`
	// Scope identifies what the notification is about, such as one build. A notification with
	// the same scope from the same service replaces what the user was told before.
	Scope string `json:"scope,omitempty"`
	Icon  string `json:"icon,omitempty"` // the name of an icon of the frontend
	// Metadata is for processors; it is not kept.
	Metadata map[string]any `json:"metadata,omitempty"`
}

// A Notification is one that was sent to a user, or to everybody.
type Notification struct {
	ID      string     `json:"id"`
	User    string     `json:"user"` // empty: everybody
	Created time.Time  `json:"created"`
	Updated *time.Time `json:"updated,omitempty"`
	Read    *time.Time `json:"read,omitempty"`
	Saved   *time.Time `json:"saved,omitempty"`
	Origin  string     `json:"origin"` // the service that sent it, such as plugin:scaffolder
	Payload Payload    `json:"payload"`
}

// Recipients says whom a notification is for. The zero value is nobody, which is an error.
type Recipients struct {
	Type string // "entity" or "broadcast"
	// Refs are full references: users get the notification; groups stand for their members
	// and those of the groups below; other entities for their owners.
	Refs []string
	// Without are left out: users get none, and groups are not gone into.
	Without []string
}

// Everybody is all users, those too who come to the portal later.
func Everybody() Recipients { return Recipients{Type: "broadcast"} }

// Entities are the users who are, or are in, or own, the entities with these references.
func Entities(refs ...string) Recipients { return Recipients{Type: "entity", Refs: refs} }

// Except returns r without some users or groups: the one who did it need not be told.
func (r Recipients) Except(refs ...string) Recipients {
	r.Without = append(slices.Clone(r.Without), refs...)
	return r
}

// refs is one reference or a list of them, as JSON.
type refs []string

func (r refs) MarshalJSON() ([]byte, error) {
	if len(r) == 1 {
		return json.Marshal(r[0])
	}
	return json.Marshal([]string(r))
}

func (r *refs) UnmarshalJSON(doc []byte) error {
	var one string
	if json.Unmarshal(doc, &one) == nil && string(doc) != "null" {
		*r = refs{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(doc, &list); err != nil {
		return fmt.Errorf("%s is neither a reference nor a list of references", doc)
	}
	*r = list
	return nil
}

type wireRecipients struct {
	Type    string `json:"type"`
	Refs    refs   `json:"entityRef,omitempty"`
	Without refs   `json:"excludeEntityRef,omitempty"`
}

// MarshalJSON writes the form of the API.
func (r Recipients) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireRecipients{r.Type, r.Refs, r.Without})
}

// UnmarshalJSON reads the form of the API.
func (r *Recipients) UnmarshalJSON(doc []byte) error {
	var w wireRecipients
	if err := json.Unmarshal(doc, &w); err != nil {
		return err
	}
	*r = Recipients{w.Type, w.Refs, w.Without}
	return nil
}
