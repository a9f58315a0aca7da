package notifications

import (
	"context"
	"strings"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
)

type sendInput struct {
	EntityRefs  []string `json:"entityRefs,omitempty" doc:"Full references of users, groups, or entities whose owners are meant; everybody if there are none and broadcast is true"`
	Broadcast   bool     `json:"broadcast,omitempty" doc:"Whether everybody is meant"`
	Title       string   `json:"title" doc:"One line that says what has happened" minLength:"1"`
	Description string   `json:"description,omitempty" doc:"More than one line"`
	Link        string   `json:"link,omitempty" doc:"An address, or a path of the frontend"`
	Severity    string   `json:"severity,omitempty" enum:"critical,high,normal,low"`
	Topic       string   `json:"topic,omitempty" doc:"What users turn notifications off by"`
	Scope       string   `json:"scope,omitempty" doc:"What it is about: the same scope again updates the notification"`
}

type sendOutput struct {
	Notifications int `json:"notifications" doc:"How many were made or updated"`
}

type listInput struct {
	Unread          bool   `json:"unread,omitempty" doc:"Only those that are not read"`
	Search          string `json:"search,omitempty" doc:"A part of title or description" maxLength:"250"`
	MinimumSeverity string `json:"minimumSeverity,omitempty" enum:"critical,high,normal,low"`
	Limit           int    `json:"limit,omitempty" minimum:"1" maximum:"100" doc:"How many at most; 20 if absent"`
}

type listOutput struct {
	Total         int            `json:"total"`
	Notifications []listedOutput `json:"notifications"`
}

type listedOutput struct {
	ID          string `json:"id"`
	Created     string `json:"created"`
	Read        bool   `json:"read"`
	Origin      string `json:"origin"`
	Severity    string `json:"severity"`
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	Link        string `json:"link,omitempty"`
	Topic       string `json:"topic,omitempty"`
}

// actions are for programs that do not know the plugin. Whoever may send by the API may by
// an action, and nobody else.
func (p *plugin) actions() []backend.Action {
	quiet := false
	return []backend.Action{
		backend.NewAction(backend.ActionOptions{
			Name: "get-notifications", Title: "Get Notifications", ReadOnly: true, Idempotent: true,
			Description: "Lists the notifications of the user who asks, the newest first.",
		}, p.listAction),
		backend.NewAction(backend.ActionOptions{
			Name: "send-notification", Title: "Send Notification", Destructive: &quiet,
			Description: "Tells users something. Only services may; users are refused.",
		}, p.sendAction),
	}
}

func (p *plugin) listAction(ctx context.Context, call backend.ActionCall[listInput]) (listOutput, error) {
	user, ok := call.Credentials.User()
	if !ok {
		return listOutput{}, httpx.Refuse(call.Credentials)
	}
	f := store.Filter{User: strings.ToLower(user.Ref), Search: call.Input.Search}
	if call.Input.Unread {
		read := false
		f.Read = &read
	}
	if rank, ok := client.Rank(call.Input.MinimumSeverity); ok {
		f.MostSevere = &rank
	}
	limit := call.Input.Limit
	if limit == 0 {
		limit = 20
	}
	list, total, err := p.store.List(ctx, f, store.Page{Limit: limit})
	out := listOutput{Total: total, Notifications: []listedOutput{}}
	for _, n := range list {
		out.Notifications = append(out.Notifications, listedOutput{n.ID, *stamp(n.Created), !n.Read.IsZero(), n.Origin, client.Severities()[n.Severity], n.Title, n.Description, n.Link, n.Topic})
	}
	return out, err
}

func (p *plugin) sendAction(ctx context.Context, call backend.ActionCall[sendInput]) (sendOutput, error) {
	service, ok := call.Credentials.Service()
	if !ok {
		return sendOutput{}, httpx.Refuse(call.Credentials)
	}
	in := call.Input
	to := client.Entities(in.EntityRefs...)
	if in.Broadcast && len(in.EntityRefs) == 0 {
		to = client.Everybody()
	}
	sent, err := p.send(ctx, service.Subject, client.Request{Recipients: to, Payload: client.Payload{
		Title: in.Title, Description: in.Description, Link: in.Link, Severity: in.Severity, Topic: in.Topic, Scope: in.Scope,
	}})
	return sendOutput{len(sent)}, err
}
