package config_test

import (
	"slices"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

// Words that say who may call an endpoint are no secrets; what is called credentials elsewhere is.
func TestCredentialsModesAreNoSecrets(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("app-config.yaml", []byte(`
proxy:
  /old: {target: 'http://h', credentials: forward}
  endpoints:
    /new.with.dots: {target: 'http://h', credentials: require}
    /odd: {credentials: {key: deeper}}
techdocs: {publisher: {googleGcs: {credentials: canary}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Secrets(); !slices.Equal(got, []string{"canary", "deeper"}) {
		t.Errorf("secrets are %q", got)
	}
}
