package scm

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Times of the contract.
const (
	installationsAge  = 10 * time.Minute // how long the list of installations is believed
	installationsMiss = time.Minute      // how often a missing owner makes us ask again
	tokenMargin       = 10 * time.Minute // how long before its end a token is renewed
)

// A githubApp issues tokens of the installations of one GitHub App. Its lock is
// a channel, so that waiting for another caller's request ends with one's own
// context.
type githubApp struct {
	host   host
	config GitHubAppConfig
	now    func() time.Time

	lock          chan struct{}
	signer        jose.Signer
	signerKey     string // the text that signer was made from
	installations []installation
	listed        time.Time
	tokens        map[int64]installationToken
}

type installation struct {
	ID      int64 `json:"id"`
	Account struct {
		Login string `json:"login"`
	} `json:"account"`
	SuspendedAt         *string `json:"suspended_at"`
	RepositorySelection string  `json:"repository_selection"`
}

type installationToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	// repositories are the lower-case names of the selection; nil for all.
	repositories map[string]bool
}

// newGitHubApp checks the app's key; it asks nobody.
func newGitHubApp(h host, c GitHubAppConfig, now func() time.Time) (*githubApp, error) {
	a := &githubApp{
		host: h, config: c, now: now,
		lock: make(chan struct{}, 1), tokens: map[int64]installationToken{},
	}
	if err := a.useKey(); err != nil {
		return nil, err
	}
	return a, nil
}

// useKey makes the signer, again if the key comes from a file that has changed.
func (a *githubApp) useKey() error {
	text := a.config.PrivateKey.Reveal()
	if a.signer != nil && text == a.signerKey {
		return nil
	}
	key, err := parsePrivateKey(text)
	if err != nil {
		return fmt.Errorf("integrations.github: host %s, app %d: privateKey: %w", a.host.Host(), a.config.AppID, err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return fmt.Errorf("integrations.github: host %s, app %d: privateKey: %w", a.host.Host(), a.config.AppID, err)
	}
	a.signer, a.signerKey = signer, text
	return nil
}

// parsePrivateKey reads an RSA key in PEM, in either of its forms. A literal \n
// stands for a line break, because environment variables are hard to break.
// Errors never quote the key.
func parsePrivateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil {
		return nil, fmt.Errorf("expected an RSA key in PEM (-----BEGIN RSA PRIVATE KEY-----)")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the PEM block holds no valid private key")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("expected an RSA key, found another kind")
	}
	return key, nil
}

// credential returns the token of the installation at owner, if there is one
// that may be used for repo. An empty repo asks for the owner alone.
func (a *githubApp) credential(ctx context.Context, owner, repo string) (Credential, bool, error) {
	if !a.allows(owner) {
		return Credential{}, false, nil
	}
	if err := a.acquire(ctx); err != nil {
		return Credential{}, false, err
	}
	defer a.release()
	in, ok, err := a.installation(ctx, owner)
	if err != nil || !ok || in.SuspendedAt != nil {
		return Credential{}, false, err
	}
	t, err := a.token(ctx, in)
	if err != nil {
		return Credential{}, false, err
	}
	if repo != "" && t.repositories != nil && !t.repositories[strings.ToLower(repo)] {
		return Credential{}, false, nil
	}
	return a.asCredential(in, t), true, nil
}

// public returns the token of the first usable installation, which reads public
// repositories of anybody.
func (a *githubApp) public(ctx context.Context) (Credential, bool, error) {
	if !a.config.PublicAccess {
		return Credential{}, false, nil
	}
	if err := a.acquire(ctx); err != nil {
		return Credential{}, false, err
	}
	defer a.release()
	if err := a.list(ctx, installationsAge); err != nil {
		return Credential{}, false, err
	}
	for _, in := range a.installations {
		if in.SuspendedAt != nil || !a.allows(in.Account.Login) {
			continue
		}
		t, err := a.token(ctx, in)
		if err != nil {
			return Credential{}, false, err
		}
		return a.asCredential(in, t), true, nil
	}
	return Credential{}, false, nil
}

func (a *githubApp) asCredential(in installation, t installationToken) Credential {
	c := BearerCredential(t.Token)
	c.Type = "app"
	c.ID = fmt.Sprintf("app:%d/%s", a.config.AppID, strings.ToLower(in.Account.Login))
	return c
}

func (a *githubApp) allows(owner string) bool {
	allowed := a.config.AllowedInstallationOwners
	return len(allowed) == 0 || slices.ContainsFunc(allowed, func(o string) bool { return strings.EqualFold(o, owner) })
}

func (a *githubApp) acquire(ctx context.Context) error {
	select {
	case a.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *githubApp) release() { <-a.lock }

// installation finds owner in the list, which is asked for again if owner is
// missing and the list is older than a minute.
func (a *githubApp) installation(ctx context.Context, owner string) (installation, bool, error) {
	for _, age := range []time.Duration{installationsAge, installationsMiss} {
		if err := a.list(ctx, age); err != nil {
			return installation{}, false, err
		}
		for _, in := range a.installations {
			if strings.EqualFold(in.Account.Login, owner) {
				return in, true, nil
			}
		}
	}
	return installation{}, false, nil
}

// list makes sure that the list of installations is no older than age.
func (a *githubApp) list(ctx context.Context, age time.Duration) error {
	if !a.listed.IsZero() && a.now().Sub(a.listed) < age {
		return nil
	}
	var all []installation
	for page := 1; page <= 1000; page++ {
		var found []installation
		err := a.asApp(ctx, http.MethodGet, "/app/installations?per_page=100&page="+strconv.Itoa(page), &found)
		if err != nil {
			return err
		}
		all = append(all, found...)
		if len(found) < 100 {
			break
		}
	}
	a.installations, a.listed = all, a.now()
	return nil
}

// token returns the installation's token, renewed when it ends soon.
func (a *githubApp) token(ctx context.Context, in installation) (installationToken, error) {
	if t, ok := a.tokens[in.ID]; ok && t.ExpiresAt.Sub(a.now()) > tokenMargin {
		return t, nil
	}
	var t installationToken
	if err := a.asApp(ctx, http.MethodPost, fmt.Sprintf("/app/installations/%d/access_tokens", in.ID), &t); err != nil {
		return t, err
	}
	if in.RepositorySelection == "selected" {
		var err error
		if t.repositories, err = a.selection(ctx, in, t); err != nil {
			return t, err
		}
	}
	a.tokens[in.ID] = t
	return t, nil
}

// selection lists the repositories that a token reaches.
func (a *githubApp) selection(ctx context.Context, in installation, t installationToken) (map[string]bool, error) {
	names := map[string]bool{}
	for page := 1; page <= 1000; page++ {
		var found struct {
			Repositories []struct {
				Name string `json:"name"`
			} `json:"repositories"`
		}
		address := a.api() + "/installation/repositories?per_page=100&page=" + strconv.Itoa(page)
		_, err := a.host.json(ctx, a.asCredential(in, t), address, address, &found, "Accept", githubJSON)
		if err != nil {
			return nil, err
		}
		for _, r := range found.Repositories {
			names[strings.ToLower(r.Name)] = true
		}
		if len(found.Repositories) < 100 {
			break
		}
	}
	return names, nil
}

func (a *githubApp) api() string { return a.host.config.(*GitHubConfig).APIBaseURL }

// asApp calls the API as the app itself, with a token that the app's key signs.
func (a *githubApp) asApp(ctx context.Context, method, path string, out any) error {
	if err := a.useKey(); err != nil {
		return err
	}
	now := a.now()
	token, err := jwt.Signed(a.signer).Claims(jwt.Claims{
		Issuer:   strconv.FormatInt(a.config.AppID, 10),
		IssuedAt: jwt.NewNumericDate(now.Add(-time.Minute)), // clocks differ
		Expiry:   jwt.NewNumericDate(now.Add(8 * time.Minute)),
	}).Serialize()
	if err != nil {
		return apierr.Internal.Wrap(err, "sign as GitHub App %d", a.config.AppID)
	}
	cred := BearerCredential(token)
	cred.ID = fmt.Sprintf("app:%d", a.config.AppID)
	return a.host.call(ctx, cred, method, a.api()+path, out)
}
