package rootserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// HTTPS is backend.https.
type HTTPS struct {
	Enabled bool
	// Cert and Key are PEM texts; both empty for a self-signed certificate. Taken from
	// a $file, they follow the file, and new connections get the new certificate.
	Cert, Key config.Secret
}

type httpsKeys struct {
	Certificate struct {
		Cert config.Secret `config:"cert,required" doc:"PEM text of the certificate, and of those that signed it"`
		Key  config.Secret `config:"key,required" doc:"PEM text of the private key"`
	} `config:"certificate"`
}

// ConfigShapes implements config.Shaper.
func (HTTPS) ConfigShapes() []any { return []any{httpsKeys{}} }

// Check reports a certificate that cannot be used.
func (h HTTPS) Check() error {
	if h.Cert.IsZero() && h.Key.IsZero() {
		return nil
	}
	_, err := (&certificates{https: h}).get(nil)
	return err
}

// UnmarshalConfig implements config.Unmarshaler.
func (h *HTTPS) UnmarshalConfig(c *config.Config) error {
	switch v := c.Value("").(type) {
	case bool:
		*h = HTTPS{Enabled: v}
		return nil
	case map[string]any:
		var sub httpsKeys
		if _, ok := v["certificate"]; !ok {
			*h = HTTPS{Enabled: true}
			return nil
		}
		if err := c.Decode("", &sub); err != nil {
			return err
		}
		*h = HTTPS{Enabled: true, Cert: sub.Certificate.Cert, Key: sub.Certificate.Key}
		return nil
	}
	return errors.New("expected true, false, or {certificate: {cert, key}}")
}

// certificates hands out the certificate for new connections.
type certificates struct {
	https HTTPS

	mu        sync.Mutex
	cert, key string
	current   *tls.Certificate
}

// newCertificates checks or makes the first certificate.
func newCertificates(h HTTPS, baseURL string, now time.Time) (*certificates, error) {
	c := &certificates{https: h}
	if h.Cert.IsZero() && h.Key.IsZero() {
		cert, err := selfSigned(baseURL, now)
		c.current = cert
		return c, err
	}
	_, err := c.get(nil)
	return c, err
}

// get is tls.Config.GetCertificate. A rotated file that does not hold a valid pair (the
// two files are never written at the same instant) leaves the last valid one in use.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert, key := c.https.Cert.Reveal(), c.https.Key.Reveal()
	if c.current != nil && cert == c.cert && key == c.key {
		return c.current, nil
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		if c.current != nil {
			return c.current, nil
		}
		return nil, config.AtWithFix("backend.https.certificate", err,
			"give cert a PEM text with the certificate and those that signed it, and key the private key of the first, as in {cert: {$file: tls.crt}, key: {$file: tls.key}}")
	}
	c.cert, c.key, c.current = cert, key, &pair
	return c.current, nil
}

// selfSigned makes a certificate for the host of baseURL that lasts for a year. It is
// kept in memory only: each start has its own.
func selfSigned(baseURL string, now time.Time) (*tls.Certificate, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	host := u.Hostname()
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host, Organization: []string{"Callboard self-signed"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
	} else if host != "localhost" {
		tmpl.DNSNames = append(tmpl.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
