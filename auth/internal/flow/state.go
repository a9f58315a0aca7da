package flow

import (
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// State travels to the identity provider and back (contract/auth.md section 2.4). Pairs
// that are not known here are kept.
type State struct {
	Nonce       string
	Env         string
	Origin      string
	RedirectURL string
	Flow        string // popup or redirect; empty means popup
	Scope       string
}

// Mode is how the user comes back to the page: "popup" or "redirect".
func (s State) Mode() string {
	if s.Flow == "redirect" {
		return "redirect"
	}
	return "popup"
}

// A Signer returns the signature of a text, and a Checker whether it has a signature.
type (
	Signer  func(text string) ([]byte, error)
	Checker func(text string, signature []byte) bool
)

// maxState bounds states: identity providers cut URLs, and nobody has a longer one.
const maxState = 16 << 10

// Encode returns the state in lower-case hexadecimal, with the signature of its other
// pairs at its end.
func (s State) Encode(sign Signer) (string, error) {
	var b strings.Builder
	for _, p := range [...][2]string{{"nonce", s.Nonce}, {"env", s.Env}, {"origin", s.Origin}, {"redirectUrl", s.RedirectURL}, {"flow", s.Flow}, {"scope", s.Scope}} {
		if p[1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + url.QueryEscape(p[1]))
	}
	text := b.String()
	sig, err := sign(text)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString([]byte(text + "&sig=" + hex.EncodeToString(sig))), nil
}

// DecodeState reads what Encode has written. The error is an apierr.NotAllowed, and the
// State that comes with it holds what could be read, of which Env at most is of use: it
// chooses among the environments that exist.
func DecodeState(encoded string, check Checker) (State, error) {
	if len(encoded) > maxState {
		return State{}, apierr.NotAllowed.New("OAuth state is too long")
	}
	raw, err := hex.DecodeString(encoded)
	if err != nil {
		return State{}, apierr.NotAllowed.New("OAuth state is not hexadecimal")
	}
	text, sig, signed := cutLast(string(raw), "&sig=")
	q, err := url.ParseQuery(text)
	if err != nil {
		return State{}, apierr.NotAllowed.New("OAuth state cannot be read")
	}
	s := State{Nonce: q.Get("nonce"), Env: q.Get("env"), Origin: q.Get("origin"), RedirectURL: q.Get("redirectUrl"), Flow: q.Get("flow"), Scope: q.Get("scope")}
	if s.Nonce == "" || s.Env == "" {
		return s, apierr.NotAllowed.New("OAuth state is invalid, missing nonce or env")
	}
	if got, err := hex.DecodeString(sig); !signed || err != nil || !check(text, got) {
		return s, apierr.NotAllowed.New("OAuth state is not signed by this backend; do all replicas have the same auth.session.secret, or backend.secretKeys?")
	}
	return s, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
