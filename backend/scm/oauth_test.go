package scm

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

func TestGCSServiceAccount(t *testing.T) {
	t.Parallel()
	key, text := appKey()
	network := scmtest.NewNetwork()
	network.Handle("storage.googleapis.com", scmtest.NewGCS(scmtest.Buckets{"b": {"k": "object"}}, "issued"))
	issued := 0
	network.Handle("oauth2.googleapis.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := jwt.ParseSigned(r.FormValue("assertion"), []jose.SignatureAlgorithm{jose.RS256})
		var claims struct {
			jwt.Claims
			Scope string `json:"scope"`
		}
		if err != nil || token.Claims(&key.PublicKey, &claims) != nil || claims.Issuer != "sa@acme.iam" || claims.Scope == "" {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		issued++
		fmt.Fprint(w, `{"access_token":"issued","expires_in":3599}`)
	}))
	is, err := NewIntegrations(Config{GoogleGCS: &GoogleGCSConfig{ClientEmail: "sa@acme.iam", PrivateKey: config.NewSecret(text)}})
	if err != nil {
		t.Fatal(err)
	}
	m := networkReader(t, network, is)
	for range 2 {
		if got, _, err := content(t, m, "https://storage.cloud.google.com/b/k", ReadOptions{}); got != "object" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if issued != 1 {
		t.Errorf("%d tokens for two reads", issued)
	}
}

func TestAzureServicePrincipal(t *testing.T) {
	t.Parallel()
	store, network := scmtest.NewStore(), scmtest.NewNetwork()
	store.Commit("org/p/r", "main", map[string]string{"x": "content"})
	network.Handle("dev.azure.com", scmtest.NewAzure(store, "Bearer issued"))
	network.Handle("login.microsoftonline.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant/oauth2/v2.0/token" || r.FormValue("client_secret") != "s3cret" || r.FormValue("scope") != azureDevOps+"/.default" {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"access_token":"issued","expires_in":3599}`)
	}))
	is, err := NewIntegrations(Config{Azure: []AzureConfig{{Credentials: []AzureCredential{{ClientID: "c", ClientSecret: config.NewSecret("s3cret"), TenantID: "tenant"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := content(t, networkReader(t, network, is), "https://dev.azure.com/org/p/_git/r?path=/x", ReadOptions{}); got != "content" {
		t.Errorf("%q, %v", got, err)
	}
}
