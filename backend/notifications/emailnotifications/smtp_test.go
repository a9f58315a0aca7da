package emailnotifications

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/notifications/notificationstest"
)

// server is an SMTP server that keeps what it gets.
type server struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config // nil: no STARTTLS
	client   *tls.Config // what clients need to believe it
	implicit bool        // TLS from the beginning
	account  string      // user:password; empty: nobody signs in

	mu     sync.Mutex
	broken bool
	list   []arrived
}

type arrived struct {
	to   string
	tls  bool
	user string
	raw  string
}

func smtpServer(t *testing.T, change func(*server)) *server {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(web.Close)
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	s := &server{t: t, tls: &tls.Config{Certificates: web.TLS.Certificates}, client: &tls.Config{RootCAs: roots}}
	change(s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listener = l
	if s.implicit {
		s.listener = tls.NewListener(l, s.tls)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return s
}

func (s *server) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *server) setBroken(b bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = b
}

func (s *server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		say("421 not today")
		return
	}
	got := arrived{tls: s.implicit}
	say("220 test ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-test")
			if s.tls != nil && !got.tls {
				say("250-STARTTLS")
			}
			if s.account != "" {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			secure := tls.Server(conn, s.tls)
			conn, r, got.tls = secure, bufio.NewReader(secure), true
			say = func(text string) { _, _ = io.WriteString(secure, text+"\r\n") }
		case "AUTH":
			secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if string(secret) != "\x00"+strings.Replace(s.account, ":", "\x00", 1) {
				say("535 who are you")
				continue
			}
			got.user, _, _ = strings.Cut(s.account, ":")
			say("235 welcome")
		case "MAIL":
			say("250 ok")
		case "RCPT":
			got.to = strings.Trim(strings.TrimPrefix(rest, "TO:"), "<>")
			if strings.HasPrefix(got.to, "gone@") {
				say("550 no such mailbox")
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			text, err := io.ReadAll(textproto.NewReader(r).DotReader())
			if err != nil {
				return
			}
			got.raw = string(text)
			s.mu.Lock()
			s.list = append(s.list, got)
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

func (s *server) all() []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// addresses are those who have got something, in order.
func (s *server) addresses() (out []string) {
	for _, a := range s.all() {
		out = append(out, a.to)
	}
	slices.Sort(out)
	return out
}

// messages are what has arrived, decoded.
func (s *server) messages() (out []notificationstest.Message) {
	for _, a := range s.all() {
		m, err := decode(a.raw)
		if err != nil {
			s.t.Errorf("%v in\n%s", err, a.raw)
		}
		out = append(out, m)
	}
	return out
}

// decode reads an e-mail as mail programs do.
func decode(raw string) (out notificationstest.Message, err error) {
	out.Head, _, _ = strings.Cut(raw, "\n\n")
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return out, err
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return out, err
	}
	if kind != "multipart/alternative" {
		return out, fmt.Errorf("type %s", kind)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextPart() // undoes quoted-printable
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return out, err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			out.Markup = string(text)
		} else {
			out.Text = string(text)
		}
	}
}
