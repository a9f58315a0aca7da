package scm

import (
	"context"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// GitHubCredentials give the credential for each URL of one GitHub host. They
// are safe for concurrent use; callers of the same App share its cached lists
// and tokens.
type GitHubCredentials struct {
	integration *Integration
	config      *GitHubConfig
	apps        []*githubApp
}

// NewGitHubCredentials makes the credentials of an integration of KindGitHub. It
// parses the Apps' private keys and asks nobody.
func NewGitHubCredentials(i *Integration, clients *Clients) (*GitHubCredentials, error) {
	return newGitHubCredentials(host{Integration: i, clients: clients}, time.Now)
}

func newGitHubCredentials(h host, now func() time.Time) (*GitHubCredentials, error) {
	c, ok := h.config.(*GitHubConfig)
	if !ok {
		return nil, fmt.Errorf("integration of %s is of kind %s, not %s", h.Host(), h.Kind(), KindGitHub)
	}
	g := &GitHubCredentials{integration: h.Integration, config: c}
	for _, app := range c.Apps {
		a, err := newGitHubApp(h, app, now)
		if err != nil {
			return nil, err
		}
		g.apps = append(g.apps, a)
	}
	return g, nil
}

// For returns the credential for a URL of an organization, a user or a
// repository: the token of the first App whose installation is at that owner
// and covers that repository, else of the first App with publicAccess, else the
// configured token, else the anonymous credential. Owners compare without regard
// to case. An App without a fitting installation is passed over; any other
// failure of an App is an error.
func (g *GitHubCredentials) For(ctx context.Context, rawURL string) (Credential, error) {
	u, err := parseAbsolute(rawURL)
	if err != nil {
		return Credential{}, err
	}
	if !g.integration.forms.matches(u) {
		return Credential{}, apierr.Input.New("URL %s is not of host %s", rawURL, g.integration.host)
	}
	parts := segments(u.EscapedPath())
	if len(parts) == 0 || parts[0] == "" {
		return g.ForOwner(ctx, "", "")
	}
	repo := ""
	if len(parts) > 1 {
		repo = unescape(parts[1])
	}
	return g.ForOwner(ctx, unescape(parts[0]), repo)
}

// ForOwner is For with the owner and the name of the repository; an empty name
// stands for the owner as a whole.
func (g *GitHubCredentials) ForOwner(ctx context.Context, owner, repo string) (Credential, error) {
	for _, app := range g.apps {
		if owner == "" {
			break
		}
		if c, ok, err := app.credential(ctx, owner, repo); ok || err != nil {
			return c, err
		}
	}
	for _, app := range g.apps {
		if c, ok, err := app.public(ctx); ok || err != nil {
			return c, err
		}
	}
	// Revealed for each use: a token that comes from a file may have changed.
	return tokenCredential(g.config.Token), nil
}
