package oidcauth_test

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/callboard-dev/callboard/auth/authtest"
)

// TestMain lets backends trust the certificate of the issuers of these tests. What is wrong
// with an issuer must not be that alone.
func TestMain(m *testing.M) {
	os.Exit(trusting(m))
}

func trusting(m *testing.M) int {
	dir, err := os.MkdirTemp("", "oidcauth")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	s := httptest.NewTLSServer(nil)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	s.Close()
	file := filepath.Join(dir, "issuers.pem")
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("SSL_CERT_FILE", file)
	return m.Run()
}

// TestAnIssuerThatBehaves is what the tests of misbehaviours are held against: with the
// same portal and the same issuer, nothing but the misbehaviour is wrong.
func TestAnIssuerThatBehaves(t *testing.T) {
	t.Parallel()
	o := authtest.StartOIDC(t, authtest.Options{TLS: true})
	res, err := open(t, o, "").browser().SignIn("oidc", "production", o.SignIn)
	if err != nil || res.Session == nil || res.Session.BackstageIdentity.Identity.UserEntityRef != "user:default/alice-1" {
		t.Errorf("%d %+v %+v, %v", res.Status, res.Session, res.Error, err)
	}
}
