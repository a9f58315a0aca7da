package rootserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
)

// dial returns the certificate that the server shows to a client that trusts any.
func dial(t *testing.T, addr string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

func TestSelfSignedCertificateIsForTheHostOfTheBaseURL(t *testing.T) {
	t.Parallel()
	_, addr := start(t, "backend: {baseUrl: 'https://portal.acme.com:7007', listen: '127.0.0.1:0', https: true}", rootserver.Options{})
	cert := dial(t, addr)
	for _, host := range []string{"portal.acme.com", "localhost", "127.0.0.1"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	resp, err := client.Get("https://" + addr + "/.backstage/health/v1/liveness")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.ProtoMajor != 2 || string(body) != `{"status":"ok"}` {
		t.Errorf("got %s %s", resp.Proto, body)
	}
}

// writePair writes a certificate and its key for a name.
func writePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificatesFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writePair(t, dir, "first.example")
	file := filepath.Join(dir, "app-config.yaml")
	yaml := "backend:\n  baseUrl: https://x\n  listen: 127.0.0.1:0\n  https: {certificate: {cert: {$file: cert.pem}, key: {$file: key.pem}}}\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(t.Context(), config.Sources{Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	out := rootserver.Defaults()
	if err := cfg.Decode("backend", &out); err != nil {
		t.Fatal(err)
	}
	s, err := rootserver.New(out, rootserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := dial(t, s.Addr().String()).VerifyHostname("first.example"); err != nil {
		t.Error(err)
	}
	writePair(t, dir, "second.example")
	w := config.NewWatcher(cfg, slog.New(slog.DiscardHandler))
	if _, err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, s.Addr().String()).VerifyHostname("second.example"); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
}

func TestABadCertificateStopsTheStart(t *testing.T) {
	t.Parallel()
	cfg := decode(t, "backend: {baseUrl: 'https://x', listen: '127.0.0.1:0', https: {certificate: {cert: canary, key: canary}}}", "backend", rootserver.Defaults())
	s, err := rootserver.New(cfg, rootserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "backend.https.certificate: ") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

// A client that asks for much and reads nothing loses its connection: backend.server.timeout.
func TestClientsThatDoNotReadLoseTheirConnection(t *testing.T) {
	t.Parallel()
	s, addr := start(t, "  server: {timeout: 50}\n", rootserver.Options{})
	ended := make(chan error, 1)
	s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	}))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-ended; !os.IsTimeout(err) && !strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v", err)
	}
}
