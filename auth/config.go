package auth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/auth/internal/oauthserver"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/seal"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Config is the section auth, as far as it is not the business of providers.
type Config struct {
	Environment                           string                      `config:"environment" doc:"the environment that the frontend asks for; the backend does not read it" visibility:"frontend"`
	Session                               SessionConfig               `config:"session"`
	SignIn                                SignInRules                 `config:"signIn"`
	ExperimentalExtraAllowedOrigins       []string                    `config:"experimentalExtraAllowedOrigins" doc:"further origins that may sign in, such as https://*.preview.acme.com; a star stands for one part of the host"`
	ClientIDMetadataDocuments             oauthserver.ClientDocuments `config:"clientIdMetadataDocuments"`
	ExperimentalClientIDMetadataDocuments oauthserver.ClientDocuments `config:"experimentalClientIdMetadataDocuments" doc:"the same" deprecated:"use auth.clientIdMetadataDocuments"`
	ExperimentalDynamicClientRegistration oauthserver.Registration    `config:"experimentalDynamicClientRegistration"`
	ExperimentalRefreshToken              oauthserver.RefreshTokens   `config:"experimentalRefreshToken"`
	OAuthServer                           oauthserver.Settings        `config:"oauthServer"`
	IncludeTransitiveGroupOwnership       bool                        `config:"includeTransitiveGroupOwnership" doc:"users own things through the groups above their own ones, too"`
	OmitIdentityTokenOwnership            *bool                       `config:"omitIdentityTokenOwnershipClaim" doc:"leave what a user owns out of the token; true if absent"`
}

// SessionConfig is auth.session.
type SessionConfig struct {
	Administrators []string     `config:"administrators" doc:"users and groups whose members may see and end the sessions of others, such as group:default/platform"`
	Secret         seal.Secrets `config:"secret" doc:"what cookies and states are sealed with, at least 16 characters; of a list, the first one seals and all of them open; backend.secretKeys if absent"`
}

// Validate implements config.Validator.
func (c *SessionConfig) Validate() error {
	var errs []error
	for i, text := range c.Administrators {
		ref, err := entity.ParseRef(text)
		if err != nil {
			errs = append(errs, config.At(fmt.Sprintf("administrators[%d]", i), err))
			continue
		}
		c.Administrators[i] = ref.String()
	}
	return errors.Join(errs...)
}

// SignInRules is auth.signIn.
type SignInRules struct {
	RequireExclusiveDomains bool `config:"requireExclusiveDomains" doc:"refuse to start if two providers could sign in people with the same e-mail domain"`
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	var errs []error
	for i, pattern := range c.ExperimentalExtraAllowedOrigins {
		if _, err := flow.OriginPattern(pattern); err != nil {
			errs = append(errs, config.At(fmt.Sprintf("experimentalExtraAllowedOrigins[%d]", i), fmt.Errorf("%q %w", pattern, err)))
		}
	}
	return errors.Join(errs...)
}

// OAuthConfig is what every provider with an OAuth client has per environment
// (contract/auth.md section 5.1). Providers embed it.
type OAuthConfig struct {
	ClientID         string          `config:"clientId,required" doc:"the client that is registered at the identity provider"`
	ClientSecret     config.Secret   `config:"clientSecret,required" doc:"its secret"`
	CallbackURL      string          `config:"callbackUrl" doc:"where the identity provider sends browsers back to; {auth base URL}/<provider>/handler/frame if absent"`
	AdditionalScopes ScopeList       `config:"additionalScopes" doc:"scopes to ask for beyond those that are needed, as a list or one text"`
	Scope            ScopeList       `config:"scope" doc:"the same" deprecated:"use additionalScopes"`
	SessionDuration  config.Duration `config:"sessionDuration" doc:"how long a browser stays signed in without being used; 1000 days if absent"`
	SignIn           SignInConfig    `config:"signIn"`
}

// Common returns the settings that all providers have.
func (c OAuthConfig) Common() OAuthConfig { return c }

// defaultSession is how long cookies live unless sessionDuration says otherwise.
const defaultSession = 1000 * 24 * time.Hour

// Validate implements config.Validator. Providers with a Validate of their own call it.
func (c *OAuthConfig) Validate() error {
	if c.CallbackURL == "" {
		return nil
	}
	return CheckURL("callbackUrl", c.CallbackURL)
}

// CheckURL returns an error of key, relative to a Validate that it is part of, unless value
// is an absolute http or https URL.
func CheckURL(key, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return config.At(key, errors.New("is not an http or https URL"))
	}
	return nil
}

// ScopeList is a list of scopes, or one text with scopes separated by spaces, commas or bars.
type ScopeList []string

// UnmarshalConfig implements config.Unmarshaler.
func (l *ScopeList) UnmarshalConfig(c *config.Config) error {
	var list []string
	if c.Len("") > 0 {
		if err := c.Decode("", &list); err != nil {
			return err
		}
	} else {
		var one string
		if err := c.Decode("", &one); err != nil {
			return err
		}
		list = []string{one}
	}
	*l = strings.FieldsFunc(strings.Join(list, " "), scopeSeparator)
	return nil
}

func scopeSeparator(r rune) bool { return r == '|' || r == ',' || r == ' ' || r >= '\t' && r <= '\r' }

// SignInConfig is signIn of a provider.
type SignInConfig struct {
	Resolvers []ResolverConfig `config:"resolvers" doc:"how the user is found in the catalog, tried in this order"`
}

// ResolverConfig is one entry of signIn.resolvers. What it has beside its name are the
// options of the resolver.
type ResolverConfig struct {
	Resolver string `config:"resolver,required" doc:"the name of a sign-in resolver"`

	entry *config.Config
}

// resolverOptions are those of the resolvers that come with the plugin, for the reference.
type resolverOptions struct {
	Resolver         string   `config:"resolver,required" doc:"the name of a sign-in resolver"`
	AllowedDomains   []string `config:"allowedDomains" doc:"the e-mail domains that this resolver accepts; all if absent"`
	AllowUnknownUser bool     `config:"dangerouslyAllowSignInWithoutUserInCatalog" doc:"sign people in who are not in the catalog"`
	Annotation       string   `config:"annotation" doc:"the annotation that subClaimMatchingUserEntityAnnotation compares"`
}

// ConfigShapes implements config.Shaper.
func (ResolverConfig) ConfigShapes() []any { return []any{resolverOptions{}, map[string]any{}} }

// UnmarshalConfig implements config.Unmarshaler.
func (r *ResolverConfig) UnmarshalConfig(c *config.Config) error {
	type plain ResolverConfig
	r.entry = c
	err := c.Decode("", (*plain)(r))
	return err
}
