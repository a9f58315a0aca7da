package oauthserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// ClientDocuments is auth.clientIdMetadataDocuments.
type ClientDocuments struct {
	Enabled                    bool     `config:"enabled" doc:"let programs act as users who agree; a program is known by the URL of a document about it"`
	AllowedClientIDPatterns    []string `config:"allowedClientIdPatterns" doc:"the documents that are accepted; only that of the Backstage CLI if absent"`
	AllowedRedirectURIPatterns []string `config:"allowedRedirectUriPatterns" doc:"where browsers may be sent back to; the user's own machine if absent"`
}

// Registration is auth.experimentalDynamicClientRegistration.
type Registration struct {
	Enabled                    bool     `config:"enabled" doc:"let programs register themselves" deprecated:"use auth.clientIdMetadataDocuments"`
	AllowedRedirectURIPatterns []string `config:"allowedRedirectUriPatterns" doc:"where browsers may be sent back to; Cursor and the user's own machine if absent"`
}

// RefreshTokens is auth.experimentalRefreshToken.
type RefreshTokens struct {
	Enabled             bool            `config:"enabled" doc:"let programs that were agreed to go on when the token of the user has ended"`
	TokenLifetime       config.Duration `config:"tokenLifetime" doc:"how long a refresh token can be left unused; 30 days if absent"`
	MaxRotationLifetime config.Duration `config:"maxRotationLifetime" doc:"how long a program goes on after the user has agreed; a year if absent"`
	MaxTokensPerUser    int             `config:"maxTokensPerUser" doc:"programs per user; 20 if absent, and those that were not used for the longest time end first"`
	SkipPresenceCheck   bool            `config:"dangerouslyDisableCatalogPresenceCheck" doc:"go on although the user is no longer in the catalog"`
}

// SetDefaults implements config.Defaulter.
func (c *RefreshTokens) SetDefaults() {
	if c.TokenLifetime == 0 {
		c.TokenLifetime = config.Duration(30 * 24 * time.Hour)
	}
	if c.MaxRotationLifetime == 0 {
		c.MaxRotationLifetime = config.Duration(365 * 24 * time.Hour)
	}
	if c.MaxTokensPerUser == 0 {
		c.MaxTokensPerUser = 20
	}
}

// Settings is auth.oauthServer.
type Settings struct {
	ConsentPage    string `config:"consentPage" doc:"who asks the user: app, the frontend, or backend, which needs no frontend; app if absent"`
	AllowPlainPKCE bool   `config:"dangerouslyAllowPlainPkce" doc:"accept code challenges that are not hashed"`
}

// Validate implements config.Validator.
func (c *Settings) Validate() error {
	switch c.ConsentPage {
	case "", "app", "backend":
		return nil
	}
	return config.At("consentPage", fmt.Errorf("%q is neither app nor backend", c.ConsentPage))
}

// Validate implements config.Validator.
func (c *ClientDocuments) Validate() error {
	return errors.Join(validate("allowedClientIdPatterns", c.AllowedClientIDPatterns), validate("allowedRedirectUriPatterns", c.AllowedRedirectURIPatterns))
}

// Validate implements config.Validator.
func (c *Registration) Validate() error {
	return validate("allowedRedirectUriPatterns", c.AllowedRedirectURIPatterns)
}

// Validate implements config.Validator.
func (c *RefreshTokens) Validate() error {
	var errs []error
	if c.TokenLifetime < 0 {
		errs = append(errs, config.At("tokenLifetime", errors.New("is negative")))
	}
	if c.MaxRotationLifetime < c.TokenLifetime {
		errs = append(errs, config.At("maxRotationLifetime", errors.New("is shorter than tokenLifetime")))
	}
	if c.MaxTokensPerUser < 1 {
		errs = append(errs, config.At("maxTokensPerUser", errors.New("is less than 1")))
	}
	return errors.Join(errs...)
}

func validate(key string, patterns []string) error {
	var errs []error
	for i, text := range patterns {
		if _, err := ParsePattern(text); err != nil {
			errs = append(errs, config.At(fmt.Sprintf("%s[%d]", key, i), err))
		}
	}
	return errors.Join(errs...)
}

// ownMachine are the redirect URIs that lead to the user's own machine.
var ownMachine = []string{"http://localhost:*/*", "http://127.0.0.1:*/*", "http://[::1]:*/*"}

// compile reads patterns that Validate has accepted, or the defaults.
func compile(patterns, defaults []string) ([]Pattern, error) {
	if patterns == nil {
		patterns = defaults
	}
	var out []Pattern
	for _, text := range patterns {
		p, err := ParsePattern(text)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
