package seal

import (
	"fmt"

	"github.com/callboard-dev/callboard/backend/config"
)

// Secrets is one secret or a list of them, newest first.
type Secrets []config.Secret

// UnmarshalConfig implements config.Unmarshaler.
func (s *Secrets) UnmarshalConfig(c *config.Config) error {
	if _, isList := c.Value("").([]any); isList {
		return c.Decode("", (*[]config.Secret)(s))
	}
	var one config.Secret
	err := c.Decode("", &one)
	*s = Secrets{one}
	return err
}

// Reveal returns them in the clear.
func (s Secrets) Reveal() []string {
	var out []string
	for _, one := range s {
		out = append(out, one.Reveal())
	}
	return out
}

// minSecret is the least number of characters of a secret. It is short enough for secrets
// of existing installations, and long enough that an empty variable or "changeme" is not one.
const minSecret = 16

// Validate implements config.Validator.
func (s *Secrets) Validate() error {
	for _, one := range *s {
		if len(one.Reveal()) < minSecret {
			return fmt.Errorf("is shorter than %d characters; make one with: openssl rand -base64 32", minSecret)
		}
	}
	return nil
}
