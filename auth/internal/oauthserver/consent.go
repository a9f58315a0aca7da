package oauthserver

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// A SignIn is a way for the consent page to find out who the user is: the session that the
// browser has with a provider, or else its popup.
type SignIn struct {
	Provider string `json:"provider"`
	Env      string `json:"env,omitempty"`   // empty for proxies
	Popup    bool   `json:"popup,omitempty"` // proxies have none
}

var (
	//go:embed consent.html
	consentHTML string
	//go:embed consent.js
	consentScript string
	//go:embed consent.css
	consentStyle string
)

// consent is what the page shows.
type consent struct {
	Script template.JS
	Style  template.CSS
	Error  string

	ClientName, ClientID, ReturnsTo string
	Local, Offline                  bool
	ID, SignIns                     string
}

// consentPolicy lets the page run its own script, call its own origin, and nothing else:
// no site can frame it, and what the client calls itself cannot become code.
func consentPolicy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src " + hash(consentScript) + "; style-src " + hash(consentStyle) +
		"; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

// consentPage asks the user without a frontend. The page has no power of its own: its
// script gets the user's token from the session that the browser has with a provider, or
// from the provider's popup, and calls the routes that the frontend's page calls, with the
// token in a header. So no other site can answer in the user's place.
func (s *Server) consentPage(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Security-Policy", consentPolicy())
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	page := consent{Script: template.JS(consentScript), Style: template.CSS(consentStyle)}
	status := http.StatusOK
	a, err := s.pending(r)
	var f *failure
	switch {
	case errors.As(err, &f):
		status, page.Error = f.status, "This request has expired, or was answered before. Start again in the program that asks."
	case err != nil:
		return err
	default:
		signIns, err := json.Marshal(s.SignIns)
		if err != nil {
			return err
		}
		u, err := url.Parse(a.RedirectURI)
		if err != nil {
			return err
		}
		page.ID, page.SignIns = a.ID, string(signIns)
		page.ClientName, page.ClientID, page.ReturnsTo = a.ClientName, a.ClientID, u.Scheme+"://"+u.Host
		page.Local, page.Offline = loopback(u), a.Scope != "openid"
	}
	t, err := template.New("consent").Parse(consentHTML)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return err
	}
	return httpx.HTML(w, status, b.Bytes())
}
