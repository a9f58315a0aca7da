package auth

import (
	"encoding/json"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/session"
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
	out := session.Answer{RefreshToken: r.Session.RefreshToken}
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
