package azuredb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

// resource is what tokens are for: Azure Database for open source servers.
const resource = "https://ossrdbms-aad.database.windows.net"

// endpoints are where tokens come from.
type endpoints struct {
	login   string // of Entra ID; AZURE_AUTHORITY_HOST changes it
	machine string // of the machine's metadata
}

// identity is who the process is. Of its ways to prove that, the first one whose condition
// holds counts.
type identity struct {
	at                 endpoints
	tenant, client     string
	secret             func() string // empty: there is none
	assertion          string        // file with the token of a workload identity
	service, serviceID string        // of App Service: endpoint, and what to show it
	http               *http.Client
}

const (
	fetchTimeout = 10 * time.Second
	maxAnswer    = 1 << 20
)

func newIdentity(at endpoints, t db.TokenCredential, getenv func(string) string) *identity {
	or := func(text, variable string) string {
		if text != "" {
			return text
		}
		return getenv(variable)
	}
	i := &identity{
		at: at, tenant: or(t.TenantID, "AZURE_TENANT_ID"), client: t.ClientID,
		service: getenv("IDENTITY_ENDPOINT"), serviceID: getenv("IDENTITY_HEADER"),
	}
	if host := strings.TrimSuffix(getenv("AZURE_AUTHORITY_HOST"), "/"); host != "" {
		i.at.login = host
	}
	secret := t.ClientSecret
	if secret.IsZero() {
		secret = config.NewSecret(getenv("AZURE_CLIENT_SECRET"))
	}
	i.secret = secret.Reveal // each time: it may come from a file that changes
	i.assertion = getenv("AZURE_FEDERATED_TOKEN_FILE")
	if i.secret() != "" || i.assertion != "" {
		i.client = or(t.ClientID, "AZURE_CLIENT_ID")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	i.http = &http.Client{Transport: transport, Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if !i.application() {
		transport.Proxy = nil // the metadata of a machine is on the machine
	}
	return i
}

// application reports whether Entra ID itself is asked.
func (i *identity) application() bool {
	return i.tenant != "" && i.client != "" && (i.secret() != "" || i.assertion != "")
}

// token asks for a token.
func (i *identity) token(ctx context.Context) (string, time.Time, error) {
	req, err := i.request(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	asked := time.Now()
	res, err := i.http.Do(req)
	if err != nil {
		var at *url.Error // its URL may name what is not for logs
		if errors.As(err, &at) {
			err = at.Err
		}
		return "", time.Time{}, fmt.Errorf("ask %s for a token: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	var answer struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
		ExpiresOn   json.Number `json:"expires_on"`
		Error       any         `json:"error"`
		Description string      `json:"error_description"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	switch {
	case res.StatusCode != http.StatusOK:
		first, _, _ := strings.Cut(answer.Description, "\n")
		return "", time.Time{}, fmt.Errorf("ask %s for a token: %s: %.300s", req.URL.Host, res.Status, first)
	case err != nil:
		return "", time.Time{}, fmt.Errorf("ask %s for a token: the answer cannot be read: %w", req.URL.Host, err)
	case answer.AccessToken == "":
		return "", time.Time{}, fmt.Errorf("ask %s for a token: the answer has none", req.URL.Host)
	}
	if seconds, err := strconv.ParseInt(string(answer.ExpiresIn), 10, 64); err == nil {
		return answer.AccessToken, asked.Add(time.Duration(seconds) * time.Second), nil
	}
	if epoch, err := strconv.ParseInt(string(answer.ExpiresOn), 10, 64); err == nil {
		return answer.AccessToken, time.Unix(epoch, 0), nil
	}
	return "", time.Time{}, fmt.Errorf("ask %s for a token: the answer does not say until when it is valid", req.URL.Host)
}

func (i *identity) request(ctx context.Context) (*http.Request, error) {
	if i.application() {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {i.client}, "scope": {resource + "/.default"}}
		if secret := i.secret(); secret != "" {
			form.Set("client_secret", secret)
		} else {
			text, err := os.ReadFile(i.assertion)
			if err != nil {
				return nil, fmt.Errorf("workload identity: %w", err)
			}
			form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			form.Set("client_assertion", strings.TrimSpace(string(text)))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.at.login+"/"+url.PathEscape(i.tenant)+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	query := url.Values{"resource": {resource}}
	if i.client != "" {
		query.Set("client_id", i.client)
	}
	if i.service != "" && i.serviceID != "" {
		query.Set("api-version", "2019-08-01")
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.service+"?"+query.Encode(), http.NoBody)
		if err == nil {
			req.Header.Set("X-Identity-Header", i.serviceID)
		}
		return req, err
	}
	query.Set("api-version", "2018-02-01")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.at.machine+"/metadata/identity/oauth2/token?"+query.Encode(), http.NoBody)
	if err == nil {
		req.Header.Set("Metadata", "true")
	}
	return req, err
}
