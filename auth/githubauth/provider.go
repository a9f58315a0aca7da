package githubauth

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// Provider is the client of an app at GitHub.
type Provider struct {
	oauth.Client
	api string
}

var (
	_ auth.Provider  = (*Provider)(nil)
	_ auth.Refresher = (*Provider)(nil)
)

// endless marks what stands in for a refresh token: an access token that does not expire,
// which is what OAuth apps get.
const endless = "access-token-v2."

// Callback implements auth.Provider.
func (p *Provider) Callback(ctx context.Context, f auth.Flow, answer url.Values) (auth.Profile, auth.Session, error) {
	who, s, err := p.Client.Callback(ctx, f, answer)
	if err == nil && s.RefreshToken == "" && s.ExpiresIn == 0 {
		s.RefreshToken = endless + s.AccessToken
	}
	return who, s, err
}

// Refresh implements auth.Refresher. With an access token that does not expire it finds out
// whether the token is still good, and who that is.
func (p *Provider) Refresh(ctx context.Context, s auth.Session, scope string) (auth.Profile, auth.Session, error) {
	access, ok := strings.CutPrefix(s.RefreshToken, endless)
	if !ok {
		return p.Client.Refresh(ctx, s, scope)
	}
	granted := split(s.Scope)
	for _, want := range split(scope) {
		if !slices.Contains(granted, want) {
			return auth.Profile{}, auth.Session{}, apierr.Authentication.New("the scope %q was not granted at the sign-in; sign in again", want)
		}
	}
	who, err := p.profile(ctx, oauth.Token{Session: auth.Session{AccessToken: access, Scope: s.Scope}}, "")
	if errors.Is(err, apierr.Authentication) {
		err = apierr.Authentication.Wrap(auth.ErrSessionEnded, "Invalid access token")
	}
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	return who, auth.Session{AccessToken: access, Scope: s.Scope}, nil
}

func split(scope string) []string {
	return strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || r == ',' })
}

// account is a user of GitHub's API.
type account struct {
	NodeID    string `json:"node_id"`
	Login     string `json:"login"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	AvatarURL string `json:"avatar_url"`
}

// profile asks whose token it is.
func (p *Provider) profile(ctx context.Context, t oauth.Token, _ string) (auth.Profile, error) {
	claims := map[string]any{}
	if err := p.Get(ctx, p.api+"/user", t.AccessToken, &claims); err != nil {
		return auth.Profile{}, err
	}
	a := accountOf(claims)
	if a.NodeID == "" || a.Login == "" {
		return auth.Profile{}, apierr.Authentication.New("GitHub did not say whose token it is (node_id, login)")
	}
	who := auth.Profile{Subject: a.NodeID, Username: a.Login, DisplayName: a.Name, Picture: a.AvatarURL, Claims: claims}
	if who.DisplayName == "" {
		who.DisplayName = a.Login
	}
	// An address on the public profile is one that was confirmed. Who may see all addresses
	// goes by the primary one.
	who.Email, who.EmailVerified = a.Email, a.Email != ""
	if scopes := split(t.Scope); slices.Contains(scopes, "user:email") || slices.Contains(scopes, "user") {
		var err error
		if who.Email, err = p.primary(ctx, t.AccessToken); err != nil {
			return auth.Profile{}, err
		}
		who.EmailVerified = who.Email != ""
	}
	return who, nil
}

// primary returns the primary address if it was confirmed. Another one that was confirmed
// does not take its place.
func (p *Provider) primary(ctx context.Context, accessToken string) (string, error) {
	var all []struct {
		Email    string
		Primary  bool
		Verified bool
	}
	if err := p.Get(ctx, p.api+"/user/emails", accessToken, &all); err != nil {
		return "", err
	}
	for _, e := range all {
		if e.Primary && e.Verified {
			return e.Email, nil
		}
	}
	return "", nil
}

func accountOf(claims map[string]any) account {
	text := func(key string) string {
		s, _ := claims[key].(string)
		return s
	}
	return account{text("node_id"), text("login"), text("name"), text("email"), text("avatar_url")}
}
