// Package client sends notifications to users. It is for plugins and for programs: it
// speaks the HTTP API of contract/backend.md section 18, wherever the notifications plugin
// runs.
//
//	n := client.New(clients, auth.Own()) // a backend.Clients and a backend.Auth
//	sent, err := n.Send(ctx, client.Request{
//		Recipients: client.Entities("component:default/petstore"), // whoever owns it
//		Payload:    client.Payload{Title: "Build failed", Link: "/catalog/default/component/petstore"},
//	})
//
// Services send; users have no right to. A Request with a Scope that was used before
// updates the notification that it made then, and makes it unread.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// maxAnswer bounds the answer to one request: a notification for each recipient.
const maxAnswer = 1 << 30

// A Client sends notifications in the name of one service. It is safe for concurrent use.
type Client struct {
	open func(context.Context) (*http.Client, string, error)
}

// New returns a Client for a plugin, whose services clients and own it takes.
func New(clients backend.Clients, own backend.Credentials) *Client {
	return &Client{func(ctx context.Context) (*http.Client, string, error) {
		return clients.Client(ctx, own, "notifications")
	}}
}

// At returns a Client for programs elsewhere: baseURL is such as
// http://localhost:7007/api/notifications, and hc authenticates itself as a service.
func At(baseURL string, hc *http.Client) *Client {
	return &Client{func(context.Context) (*http.Client, string, error) { return hc, baseURL, nil }}
}

// Send sends a notification, and returns those that were made or updated: one for each
// user, or one without a user for everybody. Users who have turned such notifications off
// have none. Errors keep their kind: an apierr.Input says what is wrong with r.
func (c *Client) Send(ctx context.Context, r Request) ([]Notification, error) {
	hc, base, err := c.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("send notification: %w", err)
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("send notification: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/notifications", &body)
	if err != nil {
		return nil, fmt.Errorf("send notification: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := hc.Do(req)
	if err != nil {
		return nil, fmt.Errorf("send notification: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("send notification: %w", apierr.FromResponse(res))
	}
	var sent []Notification
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&sent); err != nil {
		return nil, fmt.Errorf("send notification: the answer cannot be read: %w", err)
	}
	return sent, nil
}
