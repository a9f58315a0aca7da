package emailnotifications

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
	"unicode"
)

// An envelope is a message on its way to one address.
type envelope struct {
	from, replyTo, to *mail.Address
	id                string // of the notification, and of when it was updated
	at                time.Time
	Message
}

// bytes is the message as it goes over the wire. Its id is the same for the same
// notification and address, so that a mail server recognises one that comes twice.
func (e envelope) bytes() ([]byte, error) {
	_, domain, _ := strings.Cut(e.from.Address, "@")
	sum := sha256.Sum256([]byte(e.id + "\x00" + e.to.Address))
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", e.from.String())
	header("To", e.to.String())
	if e.replyTo != nil {
		header("Reply-To", e.replyTo.String())
	}
	header("Subject", subject(e.Subject))
	header("Date", e.at.Format(time.RFC1123Z))
	header("Message-ID", "<"+hex.EncodeToString(sum[:16])+"@"+domain+">")
	header("Auto-Submitted", "auto-generated") // keeps out-of-office programs from answering
	header("MIME-Version", "1.0")
	if e.HTML == "" {
		header("Content-Type", "text/plain; charset=utf-8")
		header("Content-Transfer-Encoding", "quoted-printable")
		b.WriteString("\r\n")
		err := quote(&b, e.Text)
		return b.Bytes(), err
	}
	parts := multipart.NewWriter(&b)
	header("Content-Type", `multipart/alternative; boundary="`+parts.Boundary()+`"`)
	b.WriteString("\r\n")
	for _, part := range []struct{ kind, text string }{{"text/plain", e.Text}, {"text/html", e.HTML}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return nil, err
		}
		if err := quote(w, part.text); err != nil {
			return nil, err
		}
	}
	err := parts.Close()
	return b.Bytes(), err
}

func quote(w io.Writer, text string) error {
	q := quotedprintable.NewWriter(w)
	if _, err := q.Write([]byte(text)); err != nil {
		return err
	}
	return q.Close()
}

// maxSubject is how many characters of a title are in the subject; the text has all of them.
const maxSubject = 250

// subject is a title as the value of a header. Its lines stay below the 998 bytes that a line
// may have (RFC 5322 section 2.1.1): encoded words have one each.
func subject(title string) string {
	title = oneLine(title)
	if all := []rune(title); len(all) > maxSubject {
		title = string(all[:maxSubject-1]) + "…"
	}
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", title), "?= =?", "?=\r\n =?")
}

// oneLine keeps a title from adding headers.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
