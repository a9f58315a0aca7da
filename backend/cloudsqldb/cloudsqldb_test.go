package cloudsqldb

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/cloudsqlconn"
	"golang.org/x/oauth2"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// authority signs certificates.
type authority struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	var err error
	if a.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(t *testing.T, name string, public crypto.PublicKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		t.Error(err)
	}
	return der
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// cloud is the API of Cloud SQL, and the door of one instance with a real server behind it.
type cloud struct {
	api     *httptest.Server
	door    net.Listener
	tokens  chan string // with which certificates were asked for
	dialled atomic.Value
}

func newCloud(t *testing.T, server string) *cloud {
	t.Helper()
	c := &cloud{tokens: make(chan string, 10)}
	servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(clients.cert)
	c.door, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{servers.sign(t, "acme:portal", key.Public())}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: trusted,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.door.Close() })
	go func() {
		for {
			in, err := c.door.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	const path = "/sql/v1beta4/projects/acme/instances/portal"
	c.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Header.Get("Authorization") != "Bearer api":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == path+"/connectSettings":
			_ = json.NewEncoder(w).Encode(map[string]any{
				"backendType": "SECOND_GEN", "databaseVersion": "POSTGRES_16", "region": "europe-west1",
				"ipAddresses":  []any{map[string]any{"type": "PRIMARY", "ipAddress": "192.0.2.1"}, map[string]any{"type": "PRIVATE", "ipAddress": "192.0.2.2"}},
				"serverCaCert": map[string]any{"cert": pemOf(servers.cert.Raw)},
			})
		case r.URL.Path == path+":generateEphemeralCert":
			var in struct {
				PublicKey   string `json:"public_key"`
				AccessToken string `json:"access_token"`
			}
			_ = json.NewDecoder(r.Body).Decode(&in)
			block, _ := pem.Decode([]byte(in.PublicKey))
			if block == nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			public, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			c.tokens <- in.AccessToken
			_ = json.NewEncoder(w).Encode(map[string]any{"ephemeralCert": map[string]any{
				"cert": pemOf(clients.sign(t, "client", public)), "expirationTime": time.Now().Add(time.Hour).Format(time.RFC3339),
			}})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(c.api.Close)
	return c
}

func (c *cloud) dialer() *dialer {
	token := func(text string) oauth2.TokenSource {
		return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: text, Expiry: time.Now().Add(time.Hour)})
	}
	return newDialer(
		cloudsqlconn.WithAdminAPIEndpoint(c.api.URL), cloudsqlconn.WithIAMAuthNTokenSources(token("api"), token("login")),
		cloudsqlconn.WithDialFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			c.dialled.Store(address)
			return new(net.Dialer).DialContext(ctx, network, c.door.Addr().String())
		}))
}

// TestStatementsReachTheInstance goes through the instance's door, with the certificate that
// the API gave, to a real server.
func TestStatementsReachTheInstance(t *testing.T) {
	t.Parallel()
	for kind, address := range map[string]string{"": "192.0.2.1:3307", "PUBLIC": "192.0.2.1:3307", "private": "192.0.2.2:3307"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(pgtest.New(t))
			if err != nil {
				t.Fatal(err)
			}
			c := newCloud(t, u.Host)
			m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{
				Type: "cloudsql", Instance: "acme:europe-west1:portal", IPAddressType: kind, User: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/"),
			}}, db.WithConnectionType("cloudsql", c.dialer().open))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			for _, plugin := range []string{"one", "two"} {
				var n int
				if err := m.Plugin(plugin).DB().QueryRow(t.Context(), db.Same("SELECT 7")).Scan(&n); err != nil || n != 7 {
					t.Fatalf("%s: %d, %v", plugin, n, err)
				}
			}
			if got := c.dialled.Load(); got != address {
				t.Errorf("dialled %v, want %s", got, address)
			}
			if got := <-c.tokens; got != "login" {
				t.Errorf("the certificate is for the token %q", got)
			}
			if len(c.tokens) > 0 {
				t.Error("a certificate was asked for twice within an hour")
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]db.Connection{
		"connection.instance is missing":              {},
		`connection.instance is "portal", want`:       {Instance: "portal"},
		`connection.ipAddressType is "FAST", use PUB`: {Instance: "acme:europe-west1:portal", IPAddressType: "FAST"},
	} {
		if _, err := newDialer().open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := newDialer().open(db.Connection{Instance: "acme.example:acme:europe-west1:portal", IPAddressType: "PSC"}); err != nil {
		t.Error(err)
	}
}

// ExampleModule is a main whose configuration may say backend.database.connection.type: cloudsql.
func ExampleModule() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  database:
    client: pg
    connection: {type: cloudsql, instance: "acme:europe-west1:portal", user: portal@acme.iam}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(Module())
	fmt.Println(b.Check())
	// Output: <nil>
}
