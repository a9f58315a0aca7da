package oidcauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend/apierr"
)

const wellKnown = "/.well-known/openid-configuration"

// How often the discovery document is read: until it could be, and from then on, so that
// keys that the identity provider has withdrawn are forgotten here, too.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	reread     = time.Hour
)

// metadata is what the discovery document says, as far as it is used.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	SendsIssuer           bool     `json:"authorization_response_iss_parameter_supported"`
}

// discovered is an identity provider that is known.
type discovered struct {
	metadata
	client   *oauth.Client
	keys     *keySet
	verifier *oidc.IDTokenVerifier
}

// discovery knows the identity provider, or why it is not known yet.
type discovery struct {
	first chan struct{} // closed after the first attempt

	mu    sync.Mutex
	known *discovered
	err   error
}

// get waits for the first attempt, and returns what the last one that succeeded has found.
func (d *discovery) get(ctx context.Context) (*discovered, error) {
	select {
	case <-d.first:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		return nil, apierr.ServiceUnavailable.Wrap(d.err, "The identity provider's discovery document could not be read yet; the log says why")
	}
	return d.known, nil
}

// Run reads the discovery document until it could be, with a growing delay, and then every
// hour, until ctx ends.
func (p *Provider) Run(ctx context.Context) {
	delay := firstRetry
	for first := true; ; first = false {
		found, err := p.discover(ctx)
		p.found.mu.Lock()
		if p.found.err = err; err == nil {
			p.found.known = found
		}
		had := p.found.known != nil
		p.found.mu.Unlock()
		if first {
			close(p.found.first)
		}
		wait := reread
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			delay = firstRetry
		default:
			p.log.Log(ctx, slog.LevelError, "the discovery document of the identity provider cannot be read", "url", p.config.MetadataURL, "error", err, "retry", delay, "signIn", had)
			wait, delay = delay, min(2*delay, lastRetry)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// discover reads the discovery document.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	address := p.config.MetadataURL
	if !strings.Contains(address, "/.well-known/") {
		address = strings.TrimRight(address, "/") + wellKnown
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, resp.Status)
	}
	var m metadata
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		return nil, fmt.Errorf("%s is not a discovery document: %w", address, err)
	}
	if err := m.check(address); err != nil {
		return nil, err
	}
	return p.open(m), nil
}

// check refuses documents that cannot be worked with. That the issuer is the one that was
// asked (OpenID Connect Discovery, 4.3) keeps one identity provider from being another.
func (m *metadata) check(address string) error {
	if own, ok := strings.CutSuffix(address, wellKnown); ok && strings.TrimRight(m.Issuer, "/") != strings.TrimRight(own, "/") {
		return fmt.Errorf("%s is the document of another issuer, %q; metadataUrl must begin with the issuer", address, m.Issuer)
	}
	var errs []error
	for _, f := range []struct{ name, value string }{
		{"issuer", m.Issuer}, {"authorization_endpoint", m.AuthorizationEndpoint}, {"token_endpoint", m.TokenEndpoint},
		{"jwks_uri", m.JWKSURI}, {"userinfo_endpoint", m.UserinfoEndpoint},
	} {
		u, err := url.Parse(f.value)
		switch {
		case f.value == "":
			errs = append(errs, fmt.Errorf("%s has no %s", address, f.name))
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			errs = append(errs, fmt.Errorf("%s has a %s that is no address of a server", address, f.name))
		case u.Scheme != "https" && strings.HasPrefix(address, "https:"):
			errs = append(errs, fmt.Errorf("%s has a %s without https, which would give away what https protects", address, f.name))
		}
	}
	return errors.Join(errs...)
}

// open makes the clients for a discovery document.
func (p *Provider) open(m metadata) *discovered {
	d := &discovered{metadata: m}
	d.keys = &keySet{url: m.JWKSURI, http: p.http, alg: p.config.TokenSignedResponseAlg}
	d.verifier = oidc.NewVerifier(m.Issuer, d.keys, &oidc.Config{
		ClientID:             p.config.ClientID,
		SupportedSigningAlgs: []string{p.config.TokenSignedResponseAlg},
	})
	params := map[string]string{}
	if p.config.Prompt != "auto" && p.config.Prompt != "" {
		params["prompt"] = p.config.Prompt
	}
	for k, v := range p.config.StartURLSearchParams {
		params[k] = v
	}
	d.client = &oauth.Client{
		Credentials:  oauth.Credentials{ID: p.config.ClientID, Secret: p.config.ClientSecret},
		AuthorizeURL: m.AuthorizationEndpoint,
		TokenURL:     m.TokenEndpoint,
		Params:       params,
		Basic:        p.config.TokenEndpointAuthMethod == "client_secret_basic",
		Challenge:    challenge(m.ChallengeMethods),
		SendNonce:    true,
		HTTP:         p.http,
		Profile:      d.profile,
	}
	return d
}

// challenge is the method of PKCE to use: plain only with those who say that they know
// nothing better.
func challenge(supported []string) string {
	if len(supported) > 0 && !slices.Contains(supported, "S256") && slices.Contains(supported, "plain") {
		return "plain"
	}
	return "S256"
}
