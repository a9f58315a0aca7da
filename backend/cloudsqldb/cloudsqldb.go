// Package cloudsqldb connects to PostgreSQL on Google Cloud SQL with IAM instead of a
// password, and without a proxy beside the process:
//
//	backend.Add(cloudsqldb.Module())
//
//	backend:
//	  database:
//	    client: pg
//	    connection:
//	      type: cloudsql
//	      instance: project:region:instance
//	      ipAddressType: PRIVATE # PUBLIC if absent, or PSC
//	      user: portal@project.iam # an IAM user of the instance
//
// Credentials are those that Google's libraries find (GOOGLE_APPLICATION_CREDENTIALS, the
// metadata of the machine, workload identity). With them a certificate is asked for that is
// valid for an hour, and asked for anew when it is needed. Connections are encrypted with it,
// so that ssl has no meaning here.
package cloudsqldb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"

	"cloud.google.com/go/cloudsqlconn"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/db"
)

// Module adds the connection type cloudsql.
func Module() backend.Feature {
	return backend.NewService(backend.DatabaseConnectionOption("cloudsql", newDialer().open))
}

// dialer is what all connections of a process dial with: it keeps the certificates.
type dialer struct {
	options []cloudsqlconn.Option

	mu   sync.Mutex
	made *cloudsqlconn.Dialer // nil until credentials were found
}

// newDialer does no I/O. A certificate is renewed when a connection needs it, so that nothing
// runs in between.
func newDialer(more ...cloudsqlconn.Option) *dialer {
	return &dialer{options: append([]cloudsqlconn.Option{
		cloudsqlconn.WithIAMAuthN(), cloudsqlconn.WithLazyRefresh(), cloudsqlconn.WithBuiltInMetrics(false), cloudsqlconn.WithUserAgent("callboard"),
	}, more...)}
}

func (d *dialer) get() (*cloudsqlconn.Dialer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made != nil {
		return d.made, nil
	}
	made, err := cloudsqlconn.NewDialer(context.Background(), d.options...)
	if err != nil {
		return nil, fmt.Errorf("connect to Cloud SQL: %w", err)
	}
	d.made = made
	return made, nil
}

// instanceName is project:region:instance; a project may have the name of an organisation in front.
var instanceName = regexp.MustCompile(`^([^:]+:)?[^:]+:[^:]+:[^:]+$`)

func (d *dialer) open(c db.Connection) (db.TokenSource, error) {
	switch {
	case c.Instance == "":
		return nil, errors.New("connection.instance is missing: project:region:instance")
	case !instanceName.MatchString(c.Instance):
		return nil, fmt.Errorf("connection.instance is %q, want project:region:instance", c.Instance)
	}
	s := &source{dialer: d, instance: c.Instance}
	switch strings.ToUpper(c.IPAddressType) {
	case "", "PUBLIC":
		s.way = cloudsqlconn.WithPublicIP()
	case "PRIVATE":
		s.way = cloudsqlconn.WithPrivateIP()
	case "PSC":
		s.way = cloudsqlconn.WithPSC()
	default:
		return nil, fmt.Errorf("connection.ipAddressType is %q, use PUBLIC, PRIVATE or PSC", c.IPAddressType)
	}
	return s, nil
}

// source leads connections to one instance.
type source struct {
	dialer   *dialer
	instance string
	way      cloudsqlconn.DialOption
}

var _ db.TokenSource = (*source)(nil)

// BeforeConnect implements db.TokenSource. The certificate says who connects; the server
// asks for no password.
func (s *source) BeforeConnect(_ context.Context, c *db.ConnConfig) error {
	d, err := s.dialer.get()
	if err != nil {
		return err
	}
	c.TLSConfig, c.Fallbacks = nil, nil // the dialer encrypts
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.Dial(ctx, s.instance, s.way)
	}
	return nil
}
