package microsoftauth

import (
	"context"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// Provider is the client of an application at Entra ID.
type Provider struct {
	oauth.Client
	skipProfile bool
	oneTenant   bool
}

var (
	_ auth.Provider  = (*Provider)(nil)
	_ auth.Refresher = (*Provider)(nil)
)

// Microsoft Graph: its address, its id as an audience, and what reading a profile takes.
const (
	graph         = "https://graph.microsoft.com/v1.0/me"
	graphAudience = "00000003-0000-0000-c000-000000000000"
	graphURL      = "https://graph.microsoft.com"
	profileScope  = "openid email User.Read offline_access"
)

// Callback implements auth.Provider.
func (p *Provider) Callback(ctx context.Context, f auth.Flow, answer url.Values) (auth.Profile, auth.Session, error) {
	t, err := p.Exchange(ctx, f, answer)
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	return p.finish(ctx, t, f.Nonce)
}

// Refresh implements auth.Refresher.
func (p *Provider) Refresh(ctx context.Context, s auth.Session, scope string) (auth.Profile, auth.Session, error) {
	t, err := p.Renew(ctx, s.RefreshToken, scope)
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	if t.RefreshToken == "" {
		t.RefreshToken = s.RefreshToken
	}
	who, next, err := p.finish(ctx, t, "")
	return who, next, err
}

// finish finds out whose token it is.
func (p *Provider) finish(ctx context.Context, t oauth.Token, nonce string) (auth.Profile, auth.Session, error) {
	claims, err := p.IDToken(t, nonce)
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	if p.skipProfile {
		who := oauth.StandardProfile(nil, claims)
		if id, _ := claims["oid"].(string); id != "" {
			who.Subject = id // as Graph has it; sub differs from application to application
		}
		who.EmailVerified = who.EmailVerified && p.oneTenant
		return who, t.Session, nil
	}
	access := t.AccessToken
	if !readsProfile(access) {
		// The page has asked for a token of another API. A second one is for the profile.
		if t.RefreshToken == "" {
			return auth.Profile{}, auth.Session{}, apierr.Authentication.New("Microsoft has issued neither a token for the profile nor a refresh token; is the permission offline_access granted?")
		}
		second, err := p.Renew(ctx, t.RefreshToken, profileScope)
		if err != nil {
			return auth.Profile{}, auth.Session{}, err
		}
		access = second.AccessToken
		if second.RefreshToken != "" {
			t.RefreshToken = second.RefreshToken
		}
	}
	who, err := p.profile(ctx, access)
	return who, t.Session, err
}

// readsProfile reports whether an access token is one for Graph with User.Read. Tokens of
// personal accounts cannot be looked into; they are tried.
func readsProfile(token string) bool {
	claims := oauth.UncheckedClaims(token)
	if claims == nil {
		return true
	}
	audience, _ := claims["aud"].(string)
	scopes, _ := claims["scp"].(string)
	return (audience == graphAudience || strings.TrimRight(audience, "/") == graphURL) &&
		slices.ContainsFunc(strings.Fields(scopes), func(s string) bool { return strings.EqualFold(s, "user.read") })
}

// profile reads the profile and the photo from Graph.
func (p *Provider) profile(ctx context.Context, access string) (auth.Profile, error) {
	claims := map[string]any{}
	if err := p.Get(ctx, graph+"/", access, &claims); err != nil {
		return auth.Profile{}, err
	}
	text := func(key string) string {
		s, _ := claims[key].(string)
		return s
	}
	who := auth.Profile{Subject: text("id"), Username: text("userPrincipalName"), DisplayName: text("displayName"), Email: text("mail"), Claims: claims}
	if who.Subject == "" {
		return auth.Profile{}, apierr.Authentication.New("Microsoft Graph did not say whose token it is (id)")
	}
	who.EmailVerified = who.Email != "" && p.oneTenant
	who.Picture = p.photo(ctx, access)
	return who, nil
}

// maxPhoto bounds a picture, which travels with every session.
const maxPhoto = 64 << 10

// photo returns the photo as a data URL. Many have none, and nobody is kept out for that.
func (p *Provider) photo(ctx context.Context, access string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, graph+"/photos/96x96/$value", nil)
	if err != nil {
		return ""
	}
	r.Header.Set("Authorization", "Bearer "+access)
	resp, err := p.HTTP.Do(r)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || resp.StatusCode != http.StatusOK || !slices.Contains([]string{"image/jpeg", "image/png", "image/gif", "image/webp"}, kind) {
		return ""
	}
	image, err := io.ReadAll(io.LimitReader(resp.Body, maxPhoto+1))
	if err != nil || len(image) > maxPhoto {
		return ""
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(image)
}
