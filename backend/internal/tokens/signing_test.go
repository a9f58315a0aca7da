package tokens

import (
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// TestUserTokensOfEveryAlgorithm holds that the tokens of users, and the limited ones that
// are made of them, verify whatever auth.identityTokenAlgorithm is, by a library that did
// not make them, and that no replica takes a key for another algorithm than its own.
func TestUserTokensOfEveryAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			keys := NewMemoryKeys(time.Hour, nil).With(string(alg))
			users := &UserIssuer{Issuer: issuer, Keys: keys}
			token, _, err := users.Issue(t.Context(), UserClaims{Sub: "user:default/alice"})
			if err != nil {
				t.Fatal(err)
			}
			if h, ok := peek(token); !ok || h.Algorithm != string(alg) {
				t.Errorf("the header says %+v", h)
			}
			c := NewChecker(Options{Issuer: issuer, UserKeys: keys})
			creds, err := c.Check(t.Context(), token, "catalog", false)
			if err != nil {
				t.Fatal(err)
			}
			limited, _, err := Limit(creds)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Check(t.Context(), limited, "catalog", true); err != nil {
				t.Errorf("the limited token: %v", err)
			}
			if _, err := c.Check(t.Context(), token[:len(token)-8]+"AAAAAAAA", "catalog", false); err == nil {
				t.Error("a forged signature is accepted")
			}
			public, err := keys.PublicKeys(t.Context())
			if err != nil || len(public) != 1 || public[0].Algorithm != string(alg) || !fits(public[0].Key, string(alg)) {
				t.Errorf("listed are %+v, %v", public, err)
			}
		})
	}
	if _, err := NewSigningKey("HS256"); err == nil || !strings.Contains(err.Error(), "HS256") {
		t.Errorf("a key of a shared secret: %v", err)
	}
}

func TestUserTokenSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		yaml string
		want time.Duration
		err  string
	}{
		{"{}", time.Hour, ""},
		{"backstageTokenExpiration: {hours: 2}", 2 * time.Hour, ""},
		{"backstageTokenExpiration: 1m", 10 * time.Minute, ""},
		{"backstageTokenExpiration: P7D", 24 * time.Hour, ""},
		{"backstageTokenExpiration: soon", 0, "auth.backstageTokenExpiration"},
		{"identityTokenAlgorithm: RS256", time.Hour, ""},
		{"identityTokenAlgorithm: HS256", 0, `auth.identityTokenAlgorithm: "HS256" is not an algorithm with public keys`},
		{"identityTokenAlgorithm: none", 0, "auth.identityTokenAlgorithm"},
	} {
		cfg, err := config.Parse("app-config.yaml", []byte("auth:\n  "+tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		var life UserTokenLife
		var alg Algorithm
		err = cfg.Decode("auth.backstageTokenExpiration", &life)
		if err == nil {
			err = cfg.Decode("auth.identityTokenAlgorithm", &alg)
		}
		switch {
		case tt.err == "" && (err != nil || life.Std() != tt.want):
			t.Errorf("%s: %s, %v, want %s", tt.yaml, life.Std(), err, tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v, want %s", tt.yaml, err, tt.err)
		}
	}
}
