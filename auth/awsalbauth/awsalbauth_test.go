package awsalbauth

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/apierr"
)

const (
	issuer = "https://sso.acme.test"
	signer = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/portal/50dc6c495c0c9188"
	keyID  = "0f1ed6b6-6a02-4a06-9f7f-1bd5e3cb0d0c"
)

var now = func() time.Time { return time.Unix(1_800_000_000, 0) }

func claims(change map[string]any) map[string]any {
	c := map[string]any{"sub": "1234", "name": "Alice Adams", "email": "alice@acme.test", "iss": issuer, "exp": now().Unix() + 120}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func header(change map[string]any) map[string]any {
	h := map[string]any{"kid": keyID, "signer": signer, "iss": issuer, "client": "portal", "exp": now().Unix() + 120}
	maps.Copy(h, change)
	return h
}

// open returns a provider, its load balancer's key, and the addresses it was asked for.
func open(t *testing.T, c Config) (*Provider, *authtest.Signer, *[]string) {
	t.Helper()
	s := authtest.NewSigner(t, "ES256", keyID)
	var asked []string
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if !strings.HasSuffix(r.URL.Path, "/"+keyID) {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(s.PEM())
	}))
	t.Cleanup(keys.Close)
	return New(c, authtest.Elsewhere{
		"https://public-keys.auth.elb.eu-central-1.amazonaws.com": keys.URL,
		"https://s3-us-gov-west-1.amazonaws.com":                  keys.URL,
	}, now), s, &asked
}

func request(data, access string) *http.Request {
	r := httptest.NewRequest("GET", "/api/auth/awsalb/refresh", nil)
	r.Header.Set("x-amzn-oidc-data", data)
	r.Header.Set("x-amzn-oidc-accesstoken", access)
	return r
}

func TestWhoTheLoadBalancerVouchesFor(t *testing.T) {
	p, s, asked := open(t, Config{Issuer: issuer, Region: "eu-central-1", Signer: signer})
	for name, token := range map[string]string{"padded, as AWS does it": s.SignPadded(header(nil), claims(nil)), "not padded": s.Sign(header(nil), claims(nil))} {
		t.Run(name, func(t *testing.T) {
			who, info, err := p.Authenticate(t.Context(), request(token, "access"))
			if err != nil {
				t.Fatal(err)
			}
			if who.Email != "alice@acme.test" || !who.EmailVerified || who.DisplayName != "Alice Adams" || who.Subject != "1234" {
				t.Errorf("the profile is %+v", who)
			}
			if info["accessToken"] != "access" || info["expiresInSeconds"] != 120 {
				t.Errorf("the provider info is %v", info)
			}
		})
	}
	if !slices.Equal(*asked, []string{"/" + keyID}) {
		t.Errorf("asked for %v", *asked)
	}
	gov, s, asked := open(t, Config{Issuer: issuer, Region: "us-gov-west-1", Signer: signer})
	if _, _, err := gov.Authenticate(t.Context(), request(s.SignPadded(header(nil), claims(nil)), "access")); err != nil {
		t.Error(err)
	}
	if !slices.Equal(*asked, []string{"/aws-elb-public-keys-prod-us-gov-west-1/" + keyID}) {
		t.Errorf("asked for %v", *asked)
	}
}

// Every load balancer of a region signs with the same keys.
func TestSEC16_OtherLoadBalancersAreRefused(t *testing.T) {
	p, s, asked := open(t, Config{Issuer: issuer, Region: "eu-central-1", Signer: signer})
	stranger := authtest.NewSigner(t, "ES256", keyID)
	rsa := authtest.NewSigner(t, "RS256", keyID)
	for _, tt := range []struct{ name, token, says string }{
		{"another load balancer", s.SignPadded(header(map[string]any{"signer": strings.Replace(signer, "123456789012", "999999999999", 1)}), claims(nil)), "header signer"},
		{"a list of load balancers", s.SignPadded(header(map[string]any{"signer": []string{signer}}), claims(nil)), "header signer"},
		{"no load balancer", s.SignPadded(map[string]any{}, claims(nil)), "header signer"},
		{"another issuer", s.SignPadded(header(nil), claims(map[string]any{"iss": "https://other.test"})), "claim iss"},
		{"no issuer", s.SignPadded(header(nil), claims(map[string]any{"iss": nil})), "claim iss"},
		{"expired", s.SignPadded(header(nil), claims(map[string]any{"exp": now().Unix() - 60})), "claim exp"},
		{"without an end", s.SignPadded(header(nil), claims(map[string]any{"exp": nil})), "claim exp"},
		{"without an address", s.SignPadded(header(nil), claims(map[string]any{"email": nil})), "no e-mail address"},
		{"signed by somebody else", stranger.SignPadded(header(nil), claims(nil)), "signature"},
		{"another algorithm", rsa.SignPadded(header(nil), claims(nil)), "not signed as it must be"},
		{"no algorithm", s.SignPadded(header(map[string]any{"alg": "none"}), claims(nil)), "not signed as it must be"},
		{"the public key as a secret", authtest.HS256(s.PEM(), header(nil), claims(nil)), "not signed as it must be"},
		{"a key id that is a path", s.SignPadded(header(map[string]any{"kid": "../" + keyID}), claims(nil)), "nobody has published"},
		{"a key id with a query", s.SignPadded(header(map[string]any{"kid": keyID + "?x"}), claims(nil)), "nobody has published"},
		{"a key id that is unknown", s.SignPadded(header(map[string]any{"kid": "unknown"}), claims(nil)), "nobody has published"},
		{"no token", "", "has no X-Amzn-Oidc-Data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := p.Authenticate(t.Context(), request(tt.token, "access"))
			if !errors.Is(err, apierr.Authentication) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v, want %q", err, tt.says)
			}
		})
	}
	for _, path := range *asked {
		if path != "/"+keyID && path != "/unknown" {
			t.Errorf("asked for %q", path)
		}
	}
}

func TestRegionsAndSigners(t *testing.T) {
	for _, tt := range []struct {
		region, signer string
		ok             bool
	}{
		{"eu-central-1", signer, true}, {"us-gov-west-1", "", true}, {"ap-southeast-2", "", true},
		{"", "", false}, {"evil.test/#", "", false}, {"eu-central-1.evil.test", "", false}, {"eu-central-1", "portal", false},
	} {
		c := Config{Region: tt.region, Signer: tt.signer}
		if err := c.Validate(); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
