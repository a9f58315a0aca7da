package auth

import (
	"context"
	"math"
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// issuer issues the tokens of those who have signed in.
type issuer struct {
	tokens backend.UserTokens
	// owns puts what a user owns things through into the token.
	owns bool
}

// sessionJSON is what a sign-in answers (contract/auth.md section 4).
type sessionJSON struct {
	Profile      profileJSON   `json:"profile"`
	ProviderInfo any           `json:"providerInfo,omitempty"`
	Identity     *identityJSON `json:"backstageIdentity,omitempty"`
}

type profileJSON struct {
	Email       string `json:"email,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
	Picture     string `json:"picture,omitempty"`
}

type providerInfo struct {
	IDToken          string `json:"idToken,omitempty"`
	AccessToken      string `json:"accessToken"`
	Scope            string `json:"scope"`
	ExpiresInSeconds *int64 `json:"expiresInSeconds,omitempty"`
}

type identityJSON struct {
	Token            string    `json:"token"`
	Identity         *identity `json:"identity"`
	ExpiresInSeconds int64     `json:"expiresInSeconds"`
}

// identity is who has signed in, with the token that says so.
type identity struct {
	Type                string   `json:"type"`
	UserEntityRef       string   `json:"userEntityRef"`
	OwnershipEntityRefs []string `json:"ownershipEntityRefs"`

	token   string
	expires time.Time
	claims  map[string]any // further ones
}

// at is the identity in a session that is answered now.
func (i *identity) at(now time.Time) *identityJSON {
	if i == nil {
		return nil
	}
	return &identityJSON{Token: i.token, Identity: i, ExpiresInSeconds: max(0, int64(math.Round(i.expires.Sub(now).Seconds())))}
}

func newProfile(who Profile) profileJSON {
	return profileJSON{Email: who.Email, DisplayName: who.DisplayName, Picture: who.Picture}
}

func newSession(who Profile, s Session, scope string, i *identity, now time.Time) *sessionJSON {
	info := providerInfo{IDToken: s.IDToken, AccessToken: s.AccessToken, Scope: scope}
	if s.ExpiresIn > 0 {
		seconds := int64(s.ExpiresIn / time.Second)
		info.ExpiresInSeconds = &seconds
	}
	return &sessionJSON{Profile: newProfile(who), ProviderInfo: info, Identity: i.at(now)}
}

// identify finds the user of a profile and issues a token. Without resolvers there is no
// identity: the session is good for the tokens of the identity provider alone.
func (a *api) identify(at *attempt, c chain, who Profile) (*identity, error) {
	if len(c) == 0 {
		return nil, nil
	}
	id, resolver, err := c.resolve(at.ctx, who, a.users)
	at.resolver = resolver
	if err != nil {
		return nil, err
	}
	out, err := a.issuer.issue(at.ctx, id)
	if err != nil {
		return nil, err
	}
	at.user = out.UserEntityRef
	return out, a.note(at.ctx, out)
}

func (i issuer) issue(ctx context.Context, id Identity) (*identity, error) {
	out := &identity{Type: "user", UserEntityRef: id.User.String(), claims: id.Claims}
	for _, ref := range id.Ownership {
		out.OwnershipEntityRefs = append(out.OwnershipEntityRefs, ref.String())
	}
	var claim []string
	if i.owns {
		claim = out.OwnershipEntityRefs
	}
	var err error
	out.token, out.expires, err = i.tokens.IssueWith(ctx, out.UserEntityRef, claim, id.Claims)
	return out, err
}
