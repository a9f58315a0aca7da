// Package awsalbauth takes the word of an AWS Application Load Balancer that has signed
// users in.
//
//	backend.Add(awsalbauth.Module())
//
//	auth:
//	  providers:
//	    awsalb:
//	      issuer: https://sso.acme.com
//	      region: eu-central-1
//	      signer: arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/portal/50dc6c495c0c9188
//	      signIn:
//	        resolvers:
//	          - resolver: emailMatchingUserEntityProfileEmail
//
// Every load balancer of the region signs with the same keys: without signer, one of
// somebody else's account can say who your users are.
package awsalbauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is auth.providers.awsalb.
type Config struct {
	Issuer string            `config:"issuer,required" doc:"the issuer of the identity provider that the load balancer signs users in at"`
	Region string            `config:"region,required" doc:"the region of the load balancer"`
	Signer string            `config:"signer" doc:"the ARN of the load balancer; any of the region counts if absent"`
	SignIn auth.SignInConfig `config:"signIn"`
}

var (
	regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	keyIDs  = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)
)

// Validate implements config.Validator.
func (c *Config) Validate() error {
	var errs []error
	if !regions.MatchString(c.Region) {
		errs = append(errs, config.At("region", errors.New("is not a region of AWS, such as eu-central-1")))
	}
	if c.Signer != "" && !strings.HasPrefix(c.Signer, "arn:") {
		errs = append(errs, config.At("signer", errors.New("is not an ARN, which begins with \"arn:\"")))
	}
	return errors.Join(errs...)
}

// Module adds the provider awsalb to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "aws-alb",
		backend.Section("auth.providers.awsalb", (*Config)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config *Config
	Auth   *auth.Extensions
	Log    *slog.Logger
}

func register(p params) {
	spec := auth.ProxySpec{ID: "awsalb", Resolvers: map[string]auth.SignInResolver{"emailMatchingUserEntityProfileEmail": auth.MatchEmail(false)}}
	if p.Config != nil {
		spec.Provider, spec.SignIn = New(*p.Config, nil, time.Now), p.Config.SignIn
		if p.Config.Signer == "" {
			p.Log.Warn("every load balancer of the region, of anybody's account, can say who users are; set the ARN of yours", "option", "auth.providers.awsalb.signer")
		}
	}
	p.Auth.AddProxyProvider(spec)
}

// The headers of a load balancer.
const (
	headerData  = "X-Amzn-Oidc-Data"
	headerToken = "X-Amzn-Oidc-Accesstoken"
)

// Provider checks the tokens of a load balancer.
type Provider struct {
	tokens *jws.Verifier
	now    func() time.Time
}

var _ auth.ProxyProvider = (*Provider)(nil)

// New returns the provider; programs that do not use fx start here. Without a transport it
// is http.DefaultTransport.
func New(c Config, transport http.RoundTripper, now func() time.Time) *Provider {
	base := "https://public-keys.auth.elb." + c.Region + ".amazonaws.com/"
	if strings.HasPrefix(c.Region, "us-gov-") {
		base = "https://s3-" + c.Region + ".amazonaws.com/aws-elb-public-keys-prod-" + c.Region + "/"
	}
	return &Provider{now: now, tokens: &jws.Verifier{
		Keys: &jws.Each{
			Address: func(id string) (string, error) {
				if !keyIDs.MatchString(id) { // it becomes part of the address
					return "", jws.ErrUnknownKey
				}
				return base + id, nil
			},
			Parse:  publicKey,
			Client: oauth.HTTPClient(transport, 0),
			Now:    now,
		},
		Issuer: c.Issuer,
		Headers: func(h map[string]any) error {
			if c.Signer != "" && h["signer"] != c.Signer {
				return errors.New("the token is one of another load balancer (header signer)")
			}
			return nil
		},
		OptionalIssueTime: true,
		Padded:            true,
		Now:               now,
	}}
}

// publicKey reads a key in PEM.
func publicKey(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", key)
	}
	return public, nil
}

// Authenticate implements auth.ProxyProvider.
func (p *Provider) Authenticate(ctx context.Context, r *http.Request) (auth.Profile, map[string]any, error) {
	data, access := r.Header.Get(headerData), r.Header.Get(headerToken)
	if data == "" || access == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the request has no %s and %s; is the load balancer's listener rule one that signs users in?", headerData, headerToken)
	}
	claims, err := p.tokens.Verify(ctx, data)
	if err != nil {
		return auth.Profile{}, nil, jws.Refused(err, headerData)
	}
	who := oauth.StandardProfile(claims, nil)
	if who.Email == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the token in %s has no e-mail address; does the listener rule ask for the scope email?", headerData)
	}
	info := map[string]any{"accessToken": access}
	if expires, ok := claims.Time("exp"); ok {
		info["expiresInSeconds"] = int(expires.Sub(p.now()).Seconds())
	}
	return who, info, nil
}
