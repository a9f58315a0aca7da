package seal_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/seal"
)

func sealer(t testing.TB, secrets ...string) seal.Sealer { return of(t, "auth", secrets...) }

func of(t testing.TB, plugin string, secrets ...string) seal.Sealer {
	t.Helper()
	s, err := seal.New(plugin, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedTextsOpenOnlyWhereTheyBelong(t *testing.T) {
	t.Parallel()
	s := sealer(t, "new", "old")
	sealed, err := s.Seal("cookie", []byte("oidc"), []byte("plain"))
	if err != nil || strings.Contains(sealed, "plain") {
		t.Fatalf("%q, %v", sealed, err)
	}
	if again, _ := s.Seal("cookie", []byte("oidc"), []byte("plain")); again == sealed {
		t.Error("the same text was sealed twice to the same bytes")
	}
	flipped := func(i int) string {
		raw, _ := base64.RawURLEncoding.DecodeString(sealed)
		raw[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	for _, tt := range []struct {
		name         string
		by           seal.Sealer
		purpose, aad string
		sealed       string
		ok           bool
	}{
		{"by the one who sealed", s, "cookie", "oidc", sealed, true},
		{"by another process with the same secrets", sealer(t, "new", "old"), "cookie", "oidc", sealed, true},
		{"after the secret was replaced", sealer(t, "newest", "new"), "cookie", "oidc", sealed, true},
		{"after the secret was taken out", sealer(t, "newest"), "cookie", "oidc", sealed, false},
		{"by a process without a secret", seal.Random("auth"), "cookie", "oidc", sealed, false},
		{"by another plugin with the same secrets", of(t, "scaffolder", "new", "old"), "cookie", "oidc", sealed, false},
		{"for another purpose", s, "state", "oidc", sealed, false},
		{"in another place", s, "cookie", "github", sealed, false},
		{"with a changed nonce", s, "cookie", "oidc", flipped(0), false},
		{"with a changed text", s, "cookie", "oidc", flipped(13), false},
		{"cut", s, "cookie", "oidc", sealed[:8], false},
		{"empty", s, "cookie", "oidc", "", false},
		{"not base64", s, "cookie", "oidc", "%%%", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plain, err := tt.by.Open(tt.purpose, []byte(tt.aad), tt.sealed)
			if tt.ok != (err == nil) || tt.ok && !bytes.Equal(plain, []byte("plain")) {
				t.Errorf("%q, %v", plain, err)
			}
		})
	}
}

func TestTheNewestSecretSealsAndAllOpen(t *testing.T) {
	t.Parallel()
	old, both, fresh := sealer(t, "old"), sealer(t, "new", "old"), sealer(t, "new")
	before, _ := old.Seal("p", nil, []byte("x"))
	during, _ := both.Seal("p", nil, []byte("x"))
	if _, err := both.Open("p", nil, before); err != nil {
		t.Error("the list does not open what its older secret has sealed")
	}
	if _, err := fresh.Open("p", nil, during); err != nil {
		t.Error("the list does not seal with its first secret")
	}
	mac, err := old.MAC("p", []byte("data"))
	if err != nil || len(mac) != 32 {
		t.Fatal(mac, err)
	}
	for _, tt := range []struct {
		name string
		by   seal.Sealer
		p, d string
		ok   bool
	}{
		{"older secret", both, "p", "data", true},
		{"other secret", fresh, "p", "data", false},
		{"other purpose", old, "q", "data", false},
		{"other data", old, "p", "datb", false},
	} {
		if got := tt.by.CheckMAC(tt.p, []byte(tt.d), mac); got != tt.ok {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	for _, secrets := range [][]string{nil, {""}, {"a", ""}} {
		if _, err := seal.New("auth", secrets); err == nil {
			t.Errorf("a Sealer of %q", secrets)
		}
	}
}
