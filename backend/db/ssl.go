package db

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// SSL is connection.ssl: true, false, or an object. With true the server's
// certificate must be valid for its host.
type SSL struct {
	Set bool `config:"-"` // the key is there
	Off bool `config:"-"` // ssl: false

	CA                 string        `config:"ca" doc:"certificates of authorities, PEM"`    // PEM; the system's authorities if empty
	Cert               string        `config:"cert" doc:"client certificate, PEM"`           // PEM, of the client
	Key                config.Secret `config:"key" doc:"key of the client certificate, PEM"` // PEM, of the client
	RejectUnauthorized *bool         `config:"rejectUnauthorized" doc:"check the certificate of the server"`
	ServerName         string        `config:"servername" doc:"name that the certificate is checked for, if not the host"` // instead of the host
}

// UnmarshalConfig accepts booleans and objects.
func (s *SSL) UnmarshalConfig(cfg *config.Config) error {
	s.Set = true
	if cfg.Keys("") == nil {
		on, _, err := cfg.Bool("")
		s.Off = !on
		return err
	}
	type plain SSL // without this method
	return cfg.Decode("", (*plain)(s))
}

// tlsConfig returns nil if there is to be no TLS. Its errors are relative to the key ssl.
func (s SSL) tlsConfig(host string) (*tls.Config, error) {
	if !s.Set || s.Off {
		return nil, nil
	}
	if strings.HasPrefix(host, "/") {
		return nil, errors.New("TLS does not go through a socket: leave ssl out, or name a host")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmpOr(s.ServerName, host)}
	if s.RejectUnauthorized != nil {
		c.InsecureSkipVerify = !*s.RejectUnauthorized
	}
	if s.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(s.CA)) {
			return nil, config.At("ca", errors.New("holds no PEM certificate: for a file write {$file: ca.pem}"))
		}
	}
	if (s.Cert != "") != !s.Key.IsZero() {
		return nil, errors.New("cert and key belong together, one of them is missing")
	}
	if s.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.Key.Reveal()))
		if err != nil {
			return nil, config.At("cert", fmt.Errorf("certificate and key do not make a pair: %w", err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func lookupEnv(name string) string { return os.Getenv(name) }
