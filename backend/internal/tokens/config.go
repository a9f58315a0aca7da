package tokens

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/principal"
)

// Config is the part of the config section backend.auth that this package reads
// (contract/auth.md section 9.1).
type Config struct {
	DangerouslyDisableDefaultAuthPolicy bool             `config:"dangerouslyDisableDefaultAuthPolicy" doc:"let everybody use the API; for trials only"`
	ExternalAccess                      []ExternalAccess `config:"externalAccess" doc:"tokens of programs outside of this system"`
	PluginKeyStore                      KeyStoreConfig   `config:"pluginKeyStore" doc:"where the keys are that plugins sign with"`
	Keys                                []OldKey         `config:"keys" doc:"shared secrets in their oldest form" deprecated:"use backend.auth.externalAccess with type legacy"`
}

// OldKey is an element of backend.auth.keys.
type OldKey struct {
	Secret config.Secret `config:"secret,required" doc:"base64"`
}

// Validate implements config.Validator.
func (k *OldKey) Validate() error { return config.At("secret", validSecret(k.Secret)) }

// ExternalAccess says how one outside program proves itself, and what it may do.
type ExternalAccess struct {
	Type               string             `config:"type,required" oneof:"static|legacy|jwks" doc:"how the token is checked"`
	Options            ExternalOptions    `config:"options,required" doc:"which options count depends on the type"`
	AccessRestrictions *[]RestrictionRule `config:"accessRestrictions" doc:"the plugins that may be called; all if absent"`
}

// ExternalOptions are the options of all types.
type ExternalOptions struct {
	Token         config.Secret `config:"token" doc:"static: the token, at least 8 characters"`
	Subject       string        `config:"subject" doc:"static, legacy: the name of the caller"`
	Secret        config.Secret `config:"secret" doc:"legacy: the shared secret, base64"`
	URL           string        `config:"url" doc:"jwks: where the key set is"`
	Issuer        Words         `config:"issuer" doc:"jwks: accepted issuers"`
	Algorithm     Words         `config:"algorithm" doc:"jwks: accepted algorithms"`
	Audience      Words         `config:"audience" doc:"jwks: accepted audiences"`
	SubjectPrefix string        `config:"subjectPrefix" doc:"jwks: put in front of the token's subject"`
}

// RestrictionRule is an element of accessRestrictions.
type RestrictionRule struct {
	Plugin              string         `config:"plugin,required" doc:"the plugin that may be called"`
	Permission          Words          `config:"permission" doc:"the permissions that may be used there; all if absent"`
	PermissionAttribute AttributeRules `config:"permissionAttribute" doc:"the attributes of permissions that may be used there"`
}

// AttributeRules bounds permissions by attribute.
type AttributeRules struct {
	Action Words `config:"action" doc:"create, read, update, delete"`
}

// Words is a string or a list of strings; commas and spaces separate words, too.
type Words []string

// UnmarshalConfig implements config.Unmarshaler.
func (w *Words) UnmarshalConfig(c *config.Config) error {
	var all []string
	switch v := c.Value("").(type) {
	case string:
		all = []string{v}
	case []any:
		for _, el := range v {
			s, ok := el.(string)
			if !ok {
				return errors.New("expected a string or a list of strings")
			}
			all = append(all, s)
		}
	default:
		return errors.New("expected a string or a list of strings")
	}
	*w = nil
	for _, s := range all {
		*w = append(*w, strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
	}
	return nil
}

// UnmarshalConfig implements config.Unmarshaler: a key that is not known would be a
// restriction that does not hold.
func (r *RestrictionRule) UnmarshalConfig(c *config.Config) error {
	for _, key := range c.Keys("") {
		if key != "plugin" && key != "permission" && key != "permissionAttribute" {
			return config.At(key, errors.New("unknown key; a restriction has plugin, permission and permissionAttribute"))
		}
	}
	for _, key := range c.Keys("permissionAttribute") {
		if key != "action" {
			return config.At("permissionAttribute."+key, errors.New("unknown key; only action can be restricted"))
		}
	}
	type plain RestrictionRule
	if err := c.Decode("", (*plain)(r)); err != nil {
		return err
	}
	for _, a := range r.PermissionAttribute.Action {
		if !slices.Contains([]string{"create", "read", "update", "delete"}, a) {
			return config.At("permissionAttribute.action", fmt.Errorf("unknown action %q, use create, read, update or delete", a))
		}
	}
	return nil
}

// Validate implements config.Validator.
func (e *ExternalAccess) Validate() error {
	o := e.Options
	var errs []error
	fail := func(path, format string, args ...any) {
		errs = append(errs, config.At(path, fmt.Errorf(format, args...)))
	}
	if e.Type != "jwks" && (o.Subject == "" || strings.ContainsFunc(o.Subject, unicode.IsSpace)) {
		fail("options.subject", "required, without spaces")
	}
	switch e.Type {
	case "static":
		if t := o.Token.Reveal(); len(t) < 8 || strings.ContainsFunc(t, unicode.IsSpace) {
			fail("options.token", "must have at least 8 characters and no spaces")
		}
	case "legacy":
		if err := validSecret(o.Secret); err != nil {
			errs = append(errs, config.At("options.secret", err))
		}
	case "jwks":
		if o.URL == "" {
			fail("options.url", "required")
		}
		for _, a := range o.Algorithm {
			if !slices.ContainsFunc(algorithms, func(k jose.SignatureAlgorithm) bool { return string(k) == a }) {
				fail("options.algorithm", "%q is not an algorithm with public keys, such as ES256 or RS256", a)
			}
		}
	}
	if e.AccessRestrictions != nil {
		seen := map[string]bool{}
		for i, r := range *e.AccessRestrictions {
			if seen[r.Plugin] {
				fail(fmt.Sprintf("accessRestrictions[%d].plugin", i), "plugin %q is restricted twice", r.Plugin)
			}
			seen[r.Plugin] = true
		}
	}
	return errors.Join(errs...)
}

func validSecret(s config.Secret) error {
	key, err := base64.StdEncoding.DecodeString(s.Reveal())
	if err != nil || len(key) == 0 {
		return errors.New("expected base64")
	}
	return nil
}

func (e *ExternalAccess) restrictions() *principal.AccessRestrictions {
	if e.AccessRestrictions == nil {
		return nil
	}
	rules := make([]principal.AccessRestriction, 0, len(*e.AccessRestrictions))
	for _, r := range *e.AccessRestrictions {
		rules = append(rules, principal.AccessRestriction{Plugin: r.Plugin, Permissions: r.Permission, Actions: r.PermissionAttribute.Action})
	}
	return principal.Restrict(rules...)
}

// UserTokenLife is auth.backstageTokenExpiration: how long user tokens are valid.
type UserTokenLife config.Duration

// UnmarshalConfig implements config.Unmarshaler.
func (l *UserTokenLife) UnmarshalConfig(c *config.Config) error {
	return c.Decode("", (*config.Duration)(l))
}

// Std is the life of user tokens: an hour if it is not configured, ten minutes at least and
// a day at most (contract/auth.md 7.1).
func (l UserTokenLife) Std() time.Duration {
	if l == 0 {
		return time.Hour
	}
	return min(max(time.Duration(l), 10*time.Minute), 24*time.Hour)
}

// Algorithm is auth.identityTokenAlgorithm: what user tokens are signed with; ES256 if empty.
type Algorithm string

// Validate implements config.Validator.
func (a Algorithm) Validate() error {
	if a != "" && !slices.Contains(algorithms, jose.SignatureAlgorithm(a)) {
		return fmt.Errorf("%q is not an algorithm with public keys, such as ES256 or RS256", string(a))
	}
	return nil
}
