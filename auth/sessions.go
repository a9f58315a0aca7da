package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// refreshed is what one refresh at the identity provider has come to, in the form in which
// it is handed to the others who want the same refresh.
type refreshed struct {
	Profile    Profile
	Unverified bool // Profile.unverified
	Session    Session
}

// answer seals nothing itself: the keeper does, and has the refresh token apart.
func (r refreshed) answer(now time.Time) (session.Answer, error) {
	out := session.Answer{}
	if r.Session.RefreshToken != "" {
		out.RefreshToken = bind(r.Profile.Subject, r.Session.RefreshToken)
	}
	if r.Session.ExpiresIn > 0 {
		out.Expires = now.Add(r.Session.ExpiresIn)
	}
	r.Unverified, r.Session.RefreshToken = r.Profile.unverified, ""
	var err error
	out.Value, err = json.Marshal(r)
	return out, err
}

func decodeRefreshed(value []byte) (r refreshed, err error) {
	err = json.Unmarshal(value, &r)
	r.Profile.unverified = r.Unverified
	return r, err
}

// bind returns what is kept of a session: its refresh token, and whose it is to the
// identity provider.
func bind(subject, token string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(subject)) + "." + token
}

// unbind returns what bind was given.
func unbind(kept string) (subject, token string) {
	encoded, token, _ := strings.Cut(kept, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", ""
	}
	return string(decoded), token
}

// unfinished is the answer of a refresh that has failed: nothing, or a token that came all
// the same and is used from then on.
func unfinished(subject string, s Session) session.Answer {
	if s.RefreshToken == "" {
		return session.Answer{}
	}
	return session.Answer{RefreshToken: bind(subject, s.RefreshToken)}
}

// sameSubject refuses an answer about somebody else than the one who has signed in (OpenID
// Connect Core, 12.2). Such a session is not to be trusted any more.
func sameSubject(was string, who Profile) error {
	if who.Subject == was {
		return nil
	}
	return apierr.Authentication.Wrap(ErrSessionEnded, "the identity provider has answered for another user than the one who has signed in")
}
