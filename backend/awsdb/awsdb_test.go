package awsdb

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

func sum(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// verify checks a token as a server does that knows the secret: by the rules of AWS
// Signature Version 4, written down anew.
func verify(t *testing.T, token, secret, region string) url.Values {
	t.Helper()
	u, err := url.Parse("https://" + token)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	got := q.Get("X-Amz-Signature")
	signed := q
	signed.Del("X-Amz-Signature")
	canonical := strings.Join([]string{
		"GET", "/", strings.ReplaceAll(signed.Encode(), "+", "%20"), "host:" + u.Host + "\n", "host",
		fmt.Sprintf("%x", sha256.Sum256(nil)),
	}, "\n")
	date := q.Get("X-Amz-Date")
	scope := strings.Join([]string{date[:8], region, "rds-db", "aws4_request"}, "/")
	if _, after, _ := strings.Cut(q.Get("X-Amz-Credential"), "/"); after != scope {
		t.Errorf("the scope is %s, want %s", after, scope)
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, fmt.Sprintf("%x", sha256.Sum256([]byte(canonical)))}, "\n")
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = sum(key, part)
	}
	if want := hex.EncodeToString(sum(key, text)); got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
	return q
}

// TestTokens signs in with the credentials of a container, which a local server hands out.
func TestTokens(t *testing.T) {
	var asked atomic.Int64
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "who I am" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"AccessKeyId":"AKIA1","SecretAccessKey":"secret","Token":"session","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(metadata.Close)
	for name, value := range map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": metadata.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "who I am",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "",
		"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	for _, tt := range []struct{ name, host, region, want string }{
		{"the region of the configuration", "portal.abc.eu-west-1.rds.amazonaws.com", "eu-central-1", "eu-central-1"},
		{"the region of the host", "portal.abc.us-gov-west-1.rds.amazonaws.com", "", "us-gov-west-1"},
		{"the region of the process", "db.internal", "", "eu-north-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source, err := open(db.Connection{Region: tt.region})
			if err != nil {
				t.Fatal(err)
			}
			before := asked.Load()
			var last string
			for range 2 {
				c := &db.ConnConfig{}
				c.Host, c.Port, c.User, c.TLSConfig = tt.host, 5432, "portal user", &tls.Config{}
				if err := source.BeforeConnect(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				last = c.Password
			}
			if !strings.HasPrefix(last, tt.host+":5432/?") {
				t.Errorf("the token is %s", last)
			}
			q := verify(t, last, "secret", tt.want)
			for name, want := range map[string]string{"Action": "connect", "DBUser": "portal user", "X-Amz-Expires": "900", "X-Amz-Security-Token": "session"} {
				if got := q.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if n := asked.Load() - before; n != 1 {
				t.Errorf("credentials were asked for %d times for two connections, want once", n)
			}
		})
	}
	t.Run("without TLS", func(t *testing.T) {
		source, _ := open(db.Connection{Region: "eu-west-1"})
		c := &db.ConnConfig{}
		c.Host = "portal.abc.eu-west-1.rds.amazonaws.com"
		if err := source.BeforeConnect(t.Context(), c); err == nil || !strings.Contains(err.Error(), "backend.database.connection.ssl") || c.Password != "" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without credentials", func(t *testing.T) {
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "somebody else")
		source, _ := open(db.Connection{Region: "eu-west-1"})
		c := &db.ConnConfig{}
		c.Host, c.TLSConfig = "x", &tls.Config{}
		if err := source.BeforeConnect(t.Context(), c); err == nil || !strings.Contains(err.Error(), "AWS credentials") {
			t.Errorf("got %v", err)
		}
	})
}

// ExampleModule is a main whose configuration may say backend.database.connection.type: rds.
func ExampleModule() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  database:
    client: pg
    connection: {type: rds, host: portal.abc.eu-west-1.rds.amazonaws.com, user: portal, ssl: true}
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
