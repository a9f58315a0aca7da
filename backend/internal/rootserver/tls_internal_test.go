package rootserver

import (
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// A half-written pair must not take a running server down.
func TestARotationThatDoesNotFitKeepsTheLastPair(t *testing.T) {
	t.Parallel()
	c, err := newCertificates(HTTPS{Enabled: true}, "https://x", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	before := c.current
	c.https = HTTPS{Enabled: true, Cert: config.NewSecret("not a certificate"), Key: config.NewSecret("not a key")}
	if got, err := c.get(nil); err != nil || got != before {
		t.Errorf("got %v, %v", got, err)
	}
}
