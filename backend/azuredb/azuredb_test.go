package azuredb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

// issuer is Entra ID, App Service and a machine's metadata in one local server.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string // what proved who asks, of each request
	refuses bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		proof := ""
		switch {
		case r.URL.Path == "/tenant/oauth2/v2.0/token" && r.PostFormValue("scope") == resource+"/.default" && r.PostFormValue("grant_type") == "client_credentials":
			proof = r.PostFormValue("client_id") + " secret " + r.PostFormValue("client_secret")
			if a := r.PostFormValue("client_assertion"); a != "" {
				proof = r.PostFormValue("client_id") + " assertion " + a
			}
		case r.URL.Query().Get("resource") != resource:
		case r.URL.Path == "/msi/token" && r.Header.Get("X-Identity-Header") == "header":
			proof = "service " + r.URL.Query().Get("client_id")
		case r.URL.Path == "/metadata/identity/oauth2/token" && r.Header.Get("Metadata") == "true":
			proof = "machine " + r.URL.Query().Get("client_id")
		}
		i.asked = append(i.asked, strings.TrimSpace(proof))
		if proof == "" || i.refuses {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: no.\nTrace ID: 1"}`)
			return
		}
		n := len(i.asked)
		if strings.HasPrefix(proof, "machine") || strings.HasPrefix(proof, "service") {
			fmt.Fprintf(w, `{"access_token":"token %d","expires_on":"%d"}`, n, time.Now().Add(time.Hour).Unix())
			return
		}
		fmt.Fprintf(w, `{"access_token":"token %d","expires_in":3600}`, n)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) list() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return strings.Join(i.asked, ", ")
}

func (i *issuer) sources(env map[string]string, now func() time.Time) *sources {
	return &sources{at: endpoints{i.URL, i.URL}, getenv: func(name string) string { return env[name] }, now: now, known: map[db.TokenCredential]*source{}}
}

func password(t *testing.T, s db.TokenSource) (string, error) {
	t.Helper()
	c := &db.ConnConfig{}
	c.Host, c.TLSConfig = "portal.postgres.database.azure.com", &tls.Config{}
	err := s.BeforeConnect(t.Context(), c)
	return c.Password, err
}

// TestIdentities holds who the process is, by what is configured and what its surroundings say.
func TestIdentities(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("federated\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := config.NewSecret("canary")
	for _, tt := range []struct {
		name string
		c    db.TokenCredential
		env  map[string]string
		want string
	}{
		{"an application", db.TokenCredential{TenantID: "tenant", ClientID: "app", ClientSecret: secret}, map[string]string{"IDENTITY_ENDPOINT": "BASE/msi/token", "IDENTITY_HEADER": "header"}, "app secret canary"},
		{"an application of the environment", db.TokenCredential{}, map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "env", "AZURE_CLIENT_SECRET": "s"}, "env secret s"},
		{"a workload identity", db.TokenCredential{}, map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "env", "AZURE_FEDERATED_TOKEN_FILE": file}, "env assertion federated"},
		{"a chosen workload identity", db.TokenCredential{ClientID: "chosen"}, map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "env", "AZURE_FEDERATED_TOKEN_FILE": file}, "chosen assertion federated"},
		{"another authority", db.TokenCredential{TenantID: "tenant", ClientID: "app", ClientSecret: secret}, map[string]string{"AZURE_AUTHORITY_HOST": "BASE/"}, "app secret canary"},
		{"App Service", db.TokenCredential{}, map[string]string{"IDENTITY_ENDPOINT": "BASE/msi/token", "IDENTITY_HEADER": "header"}, "service"},
		{"a chosen identity of App Service", db.TokenCredential{ClientID: "chosen"}, map[string]string{"IDENTITY_ENDPOINT": "BASE/msi/token", "IDENTITY_HEADER": "header"}, "service chosen"},
		{"the machine", db.TokenCredential{}, nil, "machine"},
		{"a chosen identity of the machine", db.TokenCredential{ClientID: "chosen"}, nil, "machine chosen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			env := map[string]string{}
			for name, value := range tt.env {
				env[name] = strings.ReplaceAll(value, "BASE", i.URL)
			}
			s := i.sources(env, time.Now)
			if env["AZURE_AUTHORITY_HOST"] != "" {
				s.at.login = "http://nowhere.invalid"
			}
			one, err := s.open(db.Connection{TokenCredential: tt.c})
			if err != nil {
				t.Fatal(err)
			}
			other, err := s.open(db.Connection{TokenCredential: tt.c}) // of another plugin
			if err != nil {
				t.Fatal(err)
			}
			for _, source := range []db.TokenSource{one, other, one} {
				if got, err := password(t, source); err != nil || got != "token 1" {
					t.Errorf("signed in with %q, %v", got, err)
				}
			}
			if got := i.list(); got != tt.want {
				t.Errorf("asked %q, want %q", got, tt.want)
			}
		})
	}
}

// TestTokensAreRenewed holds when a token is asked for again, and that one that still works
// is used when the issuer is away.
func TestTokensAreRenewed(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var mu sync.Mutex
	ahead := time.Duration(0)
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
	s := i.sources(nil, now)
	source, err := s.open(db.Connection{TokenCredential: db.TokenCredential{TokenRenewableOffsetTime: config.Duration(10 * time.Minute)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		ahead   time.Duration
		refuses bool
		want    string
		err     string
	}{
		{0, false, "token 1", ""},
		{49 * time.Minute, false, "token 1", ""},
		{51 * time.Minute, true, "token 1", ""},
		{51 * time.Minute, false, "token 3", ""},
		{2 * time.Hour, true, "", "401 Unauthorized: AADSTS7000215: no."},
	} {
		mu.Lock()
		ahead = step.ahead
		mu.Unlock()
		i.mu.Lock()
		i.refuses = step.refuses
		i.mu.Unlock()
		got, err := password(t, source)
		if got != step.want || (err == nil) != (step.err == "") || err != nil && !strings.HasSuffix(err.Error(), step.err) {
			t.Errorf("after %s: %q, %v, want %q, %s", step.ahead, got, err, step.want, step.err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := i.sources(nil, time.Now)
	for want, c := range map[string]db.TokenCredential{
		"clientId and tenantId are missing":    {ClientSecret: config.NewSecret("canary")},
		"tokenRenewableOffsetTime is negative": {TokenRenewableOffsetTime: -1},
	} {
		if _, err := s.open(db.Connection{TokenCredential: c}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	source, err := s.open(db.Connection{})
	if err != nil {
		t.Fatal(err)
	}
	c := &db.ConnConfig{}
	c.Host = "portal.postgres.database.azure.com"
	if err := source.BeforeConnect(t.Context(), c); err == nil || !strings.Contains(err.Error(), "backend.database.connection.ssl") {
		t.Errorf("without TLS: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.TLSConfig = &tls.Config{}
	if err := source.BeforeConnect(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}

// ExampleModule is a main whose configuration may say backend.database.connection.type: azure.
func ExampleModule() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  database:
    client: pg
    connection: {type: azure, host: portal.postgres.database.azure.com, user: portal, ssl: true}
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
