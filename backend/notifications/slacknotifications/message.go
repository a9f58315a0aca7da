package slacknotifications

import (
	"strings"

	"github.com/callboard-dev/callboard/backend/notifications/client"
)

// A message is the body of chat.postMessage.
type message struct {
	Channel     string       `json:"channel"`
	Text        string       `json:"text"` // what lock screens show
	Username    string       `json:"username,omitempty"`
	Attachments []attachment `json:"attachments"`
}

type attachment struct {
	Color    string  `json:"color"`
	Fallback string  `json:"fallback"`
	Blocks   []block `json:"blocks"`
}

type block struct {
	Type      string   `json:"type"`
	Text      *text    `json:"text,omitempty"`
	Elements  []text   `json:"elements,omitempty"`
	Accessory *element `json:"accessory,omitempty"`
}

type element struct {
	Type     string `json:"type"`
	Text     text   `json:"text"`
	URL      string `json:"url"`
	ActionID string `json:"action_id"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Slack refuses texts that are longer.
const (
	maxHeadline = 500
	maxSection  = 2900
	maxURL      = 3000
)

var colors = map[string]string{client.Critical: "#a30200", client.High: "#daa038", client.Normal: "#2eb886", client.Low: "#cccccc"}

// newMessage is what a notification looks like. link is a whole address, or empty.
func newMessage(channel, username string, p client.Payload, link string) message {
	headline := escape(cut(p.Title, maxHeadline))
	body := "*" + strings.ReplaceAll(headline, "*", "∗") + "*" // an asterisk would end the bold type
	if p.Description != "" {
		body += "\n" + escape(cut(p.Description, maxSection-len(body)))
	}
	section := block{Type: "section", Text: &text{"mrkdwn", cut(body, 3000)}}
	if link != "" && len(link) <= maxURL {
		section.Accessory = &element{"button", text{"plain_text", "View"}, link, "view"}
	}
	about := "Severity: " + p.Severity
	if p.Topic != "" {
		about += ", topic: " + p.Topic
	}
	return message{
		Channel: channel, Text: headline, Username: username,
		Attachments: []attachment{{Color: colors[p.Severity], Fallback: headline, Blocks: []block{
			section, {Type: "context", Elements: []text{{"plain_text", cut(about, maxHeadline)}}},
		}}},
	}
}

// escape keeps a text from mentioning people and channels, and from linking.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// cut keeps at most n bytes, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:max(n, 3)-3], "") + "…"
}
