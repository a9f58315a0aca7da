// Package awsdb signs in to PostgreSQL on Amazon RDS and Aurora with IAM instead of a
// password:
//
//	backend.Add(awsdb.Module())
//
//	backend:
//	  database:
//	    client: pg
//	    connection:
//	      type: rds
//	      host: portal.abcdefghijkl.eu-west-1.rds.amazonaws.com
//	      user: portal # a user with the role rds_iam
//	      region: eu-west-1 # if the name of the host does not say it, nor the environment
//	      ssl: { ca: { $file: eu-west-1-bundle.pem } }
//
// Each new connection gets a token of its own, which the process signs itself with the
// credentials that the AWS SDK finds (environment, shared files, container, instance).
// RDS accepts it for 15 minutes, and does not end connections that are open by then.
package awsdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/db"
)

// Module adds the connection type rds.
func Module() backend.Feature {
	return backend.NewService(backend.DatabaseConnectionOption("rds", open))
}

func open(c db.Connection) (db.TokenSource, error) {
	return &source{region: c.Region, now: time.Now}, nil
}

// source signs tokens. It is safe for concurrent use.
type source struct {
	region string
	now    func() time.Time

	mu     sync.Mutex
	loaded *aws.Config // nil until the SDK's configuration could be read
}

var _ db.TokenSource = (*source)(nil)

// tokenLife is how long RDS accepts a token.
const tokenLife = 15 * time.Minute

// BeforeConnect implements db.TokenSource.
func (s *source) BeforeConnect(ctx context.Context, c *db.ConnConfig) error {
	if err := db.NeedsTLS(c); err != nil {
		return err
	}
	cfg, err := s.config(ctx)
	if err != nil {
		return err
	}
	region := s.region
	if region == "" {
		region = regionOf(c.Host)
	}
	if region == "" {
		region = cfg.Region
	}
	if region == "" {
		return errors.New("no AWS region is known: set backend.database.connection.region")
	}
	if cfg.Credentials == nil {
		return errors.New("the AWS SDK finds no credentials")
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("AWS credentials: %w", err)
	}
	c.Password, err = token(ctx, creds, region, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.User, s.now())
	return err
}

// config is the SDK's configuration, which caches credentials.
func (s *source) config(ctx context.Context) (aws.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded != nil {
		return *s.loaded, nil
	}
	cfg, err := config.LoadDefaultConfig(context.WithoutCancel(ctx))
	if err != nil {
		return cfg, fmt.Errorf("load the AWS configuration of the process: %w", err)
	}
	s.loaded = &cfg
	return cfg, nil
}

var rdsHost = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?$`)

// regionOf is the region that the name of a server says.
func regionOf(host string) string {
	if m := rdsHost.FindStringSubmatch(strings.ToLower(host)); m != nil {
		return m[1]
	}
	return ""
}

// token is a presigned request to connect, without its scheme: what RDS takes for a password.
func token(ctx context.Context, creds aws.Credentials, region, address, user string, now time.Time) (string, error) {
	query := url.Values{"Action": {"connect"}, "DBUser": {user}, "X-Amz-Expires": {strconv.Itoa(int(tokenLife.Seconds()))}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/?"+query.Encode(), http.NoBody)
	if err != nil {
		return "", err
	}
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, req, hex.EncodeToString(empty[:]), "rds-db", region, now)
	if err != nil {
		return "", fmt.Errorf("sign a token for %s: %w", address, err)
	}
	return strings.TrimPrefix(signed, "https://"), nil
}
