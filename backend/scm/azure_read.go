package scm

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// An azureReader reads from Azure DevOps through its API, version 6.0.
type azureReader struct {
	host
	config *AzureConfig

	mu     sync.Mutex
	tokens map[int]*oauthToken // by the index of the credential
}

const (
	// azureDevOps is the application id of Azure DevOps, which tokens are asked for.
	azureDevOps   = "499b84ac-1321-427f-aa17-267ca6975798"
	azureLogin    = "https://login.microsoftonline.com/"
	azureIdentity = "http://169.254.169.254/metadata/identity/oauth2/token"
)

func newAzureReader(h host) (Reader, error) {
	return &azureReader{host: h, config: h.config.(*AzureConfig), tokens: map[int]*oauthToken{}}, nil
}

// credential finds the entry that lists the organization, else the first one
// that lists none. Access tokens of people travel as a password without a user.
func (r *azureReader) credential(ctx context.Context, p Place, token string) (Credential, error) {
	if token != "" {
		return BearerCredential(token), nil
	}
	organization, _, _ := strings.Cut(p.Repository, "/")
	n := slices.IndexFunc(r.config.Credentials, func(c AzureCredential) bool {
		return slices.ContainsFunc(c.Organizations, func(o string) bool { return strings.EqualFold(o, organization) })
	})
	if n < 0 {
		n = slices.IndexFunc(r.config.Credentials, func(c AzureCredential) bool { return len(c.Organizations) == 0 })
	}
	if n < 0 {
		return Credential{}, nil
	}
	c := r.config.Credentials[n]
	if !c.PersonalAccessToken.IsZero() {
		return BasicCredential("", c.PersonalAccessToken.Reveal()), nil
	}
	if c.ClientSecret.IsZero() {
		return r.managedIdentity(ctx, r.tokenOf(n), c)
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret.Reveal()},
		"scope": {azureDevOps + "/.default"},
	}
	address := azureLogin + url.PathEscape(c.TenantID) + "/oauth2/v2.0/token"
	return r.tokenOf(n).get(ctx, r.host, address, "app:"+c.ClientID, Credential{}, form)
}

func (r *azureReader) tokenOf(n int) *oauthToken {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens[n] == nil {
		r.tokens[n] = &oauthToken{}
	}
	return r.tokens[n]
}

// managedIdentity asks the machine's own metadata service, with a client of its
// own: the shared ones refuse to go there.
func (r *azureReader) managedIdentity(ctx context.Context, t *oauthToken, c AzureCredential) (Credential, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == "" || !time.Now().Before(t.expires) {
		query := url.Values{"api-version": {"2018-02-01"}, "resource": {azureDevOps}}
		if c.ManagedIdentityClientID != "system-assigned" {
			query.Set("client_id", c.ManagedIdentityClientID)
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, azureIdentity+"?"+query.Encode(), nil)
		if err != nil {
			return Credential{}, err
		}
		req.Header.Set("Metadata", "true")
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(req)
		if err != nil {
			return Credential{}, apierr.Internal.Wrap(err, "ask for a token of managed identity %s", c.ManagedIdentityClientID)
		}
		defer response.Body.Close()
		var answer struct {
			AccessToken string `json:"access_token"`
			ExpiresOn   int64  `json:"expires_on,string"`
		}
		if err := decodeAnswer(response, azureIdentity, Credential{}, &answer); err != nil {
			return Credential{}, err
		}
		t.token, t.expires = answer.AccessToken, time.Unix(answer.ExpiresOn, 0).Add(-time.Minute)
	}
	cred := BearerCredential(t.token)
	cred.ID = "identity:" + c.ManagedIdentityClientID
	return cred, nil
}

// repository is the API's address of a repository.
func (r *azureReader) repository(p Place) string {
	return "https://" + r.config.Host + "/" + apiPath(p.Owner()) + "/_apis/git/repositories/" + url.PathEscape(p.Name())
}

// version are the parameters that name a ref; prefix is versionDescriptor or
// searchCriteria.itemVersion, depending on the question.
func azureVersion(u *url.URL, query url.Values, prefix string) {
	version := queryValue(u, "version")
	if version == "" {
		return
	}
	query.Set(prefix+".version", version[2:])
	query.Set(prefix+".versionType", azureVersionType(version))
}

// ReadURL reads a file; an ETag is the host's, which sends it for some files only.
func (r *azureReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	u, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred, err := r.credential(ctx, p, opts.Token)
	if err != nil {
		return nil, err
	}
	query := url.Values{"api-version": {"6.0"}, "path": {"/" + p.Path}}
	azureVersion(u, query, "versionDescriptor")
	opts.LastModifiedAfter = time.Time{}
	response, err := r.file(ctx, cred, r.repository(p)+"/items?"+query.Encode(), rawURL, opts, "Accept", "application/octet-stream")
	return response, signInPage(err, rawURL)
}

// signInPage explains the answer to a missing or expired token.
func signInPage(err error, rawURL string) error {
	if err != nil && strings.Contains(err.Error(), "203 ") {
		return apierr.Internal.Wrap(err, "could not read %s: the host answers with its sign-in page, so the credential in integrations.azure is missing or has expired", rawURL)
	}
	return err
}

// ReadTree reads a zip of the directory; the ETag is the id of the last commit
// that touched it.
func (r *azureReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	u, p, err := r.take(rawURL)
	if err != nil {
		return nil, err
	}
	return r.tree(ctx, u, p, p.Path, rawURL, opts)
}

func (r *azureReader) tree(ctx context.Context, u *url.URL, p Place, sub, rawURL string, opts TreeOptions) (*Tree, error) {
	cred, err := r.credential(ctx, p, opts.Token)
	if err != nil {
		return nil, err
	}
	sub = strings.Trim(sub, "/")
	query := url.Values{"api-version": {"6.0"}, "searchCriteria.$top": {"1"}}
	azureVersion(u, query, "searchCriteria.itemVersion")
	if sub != "" {
		query.Set("searchCriteria.itemPath", "/"+sub)
	}
	var commits struct {
		Value []struct {
			CommitID string `json:"commitId"`
		} `json:"value"`
	}
	if _, err := r.json(ctx, cred, r.repository(p)+"/commits?"+query.Encode(), rawURL, &commits); err != nil {
		return nil, signInPage(err, rawURL)
	}
	if len(commits.Value) == 0 {
		return nil, apierr.NotFound.New("could not read %s, it has no commits", rawURL)
	}
	etag := commits.Value[0].CommitID
	if err := unchanged(opts.ETag, etag, rawURL); err != nil {
		return nil, err
	}
	query = url.Values{"api-version": {"6.0"}, "recursionLevel": {"full"}, "download": {"true"}, "$format": {"zip"}, "resolveLfs": {"true"}, "scopePath": {"/" + sub}}
	azureVersion(u, query, "versionDescriptor")
	response, err := r.open(ctx, cred, r.repository(p)+"/items?"+query.Encode(), rawURL, "Accept", "application/zip")
	if err != nil {
		return nil, signInPage(err, rawURL)
	}
	defer response.Body.Close()
	// The zip of a directory starts with that directory's own name; the zip of
	// the root has no top directory.
	return r.trees.FromZip(ctx, response.Body, etag, sub[strings.LastIndexByte(sub, '/')+1:], false, opts)
}

// Search matches the glob against the zip of the repository.
func (r *azureReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return searchRepository(ctx, r.host, r, rawURL, opts, func(u *url.URL, p Place, tree TreeOptions) (*Tree, error) {
		return r.tree(ctx, u, p, "", rawURL, tree)
	})
}
