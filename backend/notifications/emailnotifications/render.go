package emailnotifications

import (
	"bytes"
	"html/template"
	"strings"

	"github.com/callboard-dev/callboard/backend/notifications/client"
)

// A Message is what an e-mail says. Without HTML it is plain text alone.
type Message struct{ Subject, Text, HTML string }

// A Renderer makes e-mails of notifications. Link is the notification's link as a whole
// address, empty if it has none. Render is called from many goroutines at once; texts of a
// notification come from other services, so they must be escaped in HTML.
type Renderer interface {
	Render(n client.Notification, link string) (Message, error)
}

// standard is the Renderer that is used without another.
type standard struct {
	portal string // app.title
	page   *template.Template
}

func newStandard(portal string) standard {
	return standard{portal, template.Must(template.New("").Parse(standardPage))}
}

// standardPage has no images and no scripts, which mail programs do not show.
const standardPage = `<!doctype html>
<html><body style="font-family: sans-serif">
<h2>{{.Title}}</h2>
{{range .Paragraphs}}<p>{{.}}</p>
{{end}}{{if .Link}}<p><a href="{{.Link}}">{{.Link}}</a></p>
{{end}}<p style="color: #666; font-size: smaller">{{.Severity}}{{if .Topic}}, {{.Topic}}{{end}}. Sent by {{.Portal}}; its settings say which notifications come by e-mail.</p>
</body></html>
`

// Render implements Renderer.
func (s standard) Render(n client.Notification, link string) (Message, error) {
	p := n.Payload
	var html, text bytes.Buffer
	err := s.page.Execute(&html, map[string]any{
		"Title": p.Title, "Paragraphs": paragraphs(p.Description), "Link": link, "Severity": p.Severity, "Topic": p.Topic, "Portal": s.portal,
	})
	text.WriteString(p.Title + "\n")
	for _, part := range []string{p.Description, link} {
		if part != "" {
			text.WriteString("\n" + part + "\n")
		}
	}
	text.WriteString("\nSent by " + s.portal + "; its settings say which notifications come by e-mail.\n")
	return Message{Subject: p.Title, Text: text.String(), HTML: html.String()}, err
}

func paragraphs(text string) (out []string) {
	for part := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
