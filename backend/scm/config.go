package scm

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the subtree integrations of app-config.yaml. Every list may be
// empty: the public hosts are known without being listed.
type Config struct {
	GitHub          []GitHubConfig          `config:"github"`
	GitLab          []GitLabConfig          `config:"gitlab"`
	BitbucketCloud  []BitbucketCloudConfig  `config:"bitbucketCloud"`
	BitbucketServer []BitbucketServerConfig `config:"bitbucketServer"`
	Azure           []AzureConfig           `config:"azure"`
	Gerrit          []GerritConfig          `config:"gerrit"`
	Gitea           []GiteaConfig           `config:"gitea"`
	Harness         []HarnessConfig         `config:"harness"`
	AWSS3           []AWSS3Config           `config:"awsS3"`
	AWSCodeCommit   []AWSCodeCommitConfig   `config:"awsCodeCommit"`
	AzureBlob       []AzureBlobConfig       `config:"azureBlobStorage"`
	GoogleGCS       *GoogleGCSConfig        `config:"googleGcs"`
}

// A GitHubConfig is one entry of integrations.github.
type GitHubConfig struct {
	Host       string            `config:"host" doc:"host name, with a port if it has one"` // github.com if empty
	APIBaseURL string            `config:"apiBaseUrl" doc:"base URL of the REST API"`       // https://api.github.com for github.com
	RawBaseURL string            `config:"rawBaseUrl" doc:"base URL of raw files"`          // https://raw.githubusercontent.com for github.com
	Token      config.Secret     `config:"token" doc:"access token"`
	Apps       []GitHubAppConfig `config:"apps"`
}

// A GitHubAppConfig is a GitHub App whose installations give tokens.
type GitHubAppConfig struct {
	AppID         int64         `config:"appId,required" doc:"id of the GitHub App"`
	ClientID      string        `config:"clientId" doc:"client id"`
	ClientSecret  config.Secret `config:"clientSecret" doc:"client secret"`
	PrivateKey    config.Secret `config:"privateKey,required" doc:"private key in PEM; \\n stands for a line break"` // PEM; a literal \n is a line break
	WebhookSecret config.Secret `config:"webhookSecret" doc:"secret that signs webhooks"`
	// AllowedInstallationOwners restricts which installations may be used; all if empty.
	AllowedInstallationOwners []string `config:"allowedInstallationOwners" doc:"owners whose installations may be used; all if absent"`
	// PublicAccess lets the first installation read public repositories of
	// owners that have not installed the app.
	PublicAccess bool `config:"publicAccess" doc:"read public repositories of owners without an installation"`
}

// A GitLabConfig is one entry of integrations.gitlab.
type GitLabConfig struct {
	Host             string        `config:"host" doc:"host name, with a port if it has one"` // gitlab.com if empty
	APIBaseURL       string        `config:"apiBaseUrl" doc:"base URL of the REST API"`       // https://HOST/api/v4 if empty
	BaseURL          string        `config:"baseUrl" doc:"base URL of the web pages"`         // https://HOST if empty
	Token            config.Secret `config:"token" doc:"access token"`
	Retry            GitLabRetry   `config:"retry"`
	CommitSigningKey config.Secret `config:"commitSigningKey" doc:"PGP key that signs commits"` // used by the scaffolder's actions
}

// GitLabRetry tunes the shared client of one GitLab host.
type GitLabRetry struct {
	MaxRetries              int   `config:"maxRetries" doc:"how often a request is repeated"`                  // 2 if 0; at most 10
	RetryStatusCodes        []int `config:"retryStatusCodes" doc:"statuses after which a request is repeated"` // besides 429, which always counts
	MaxAPIRequestsPerMinute int   `config:"maxApiRequestsPerMinute" doc:"budget of requests"`                  // unlimited by configuration if 0
}

// A BitbucketCloudConfig is the entry of integrations.bitbucketCloud; the host
// is always bitbucket.org.
type BitbucketCloudConfig struct {
	Username     string        `config:"username" doc:"user name"`
	Token        config.Secret `config:"token" doc:"access token"`
	AppPassword  config.Secret `config:"appPassword" doc:"app password"`
	ClientID     string        `config:"clientId" doc:"client id"`
	ClientSecret config.Secret `config:"clientSecret" doc:"client secret"`
}

// A BitbucketServerConfig is one entry of integrations.bitbucketServer.
type BitbucketServerConfig struct {
	Host       string        `config:"host,required" doc:"host name, with a port if it has one"`
	APIBaseURL string        `config:"apiBaseUrl" doc:"base URL of the REST API"` // https://HOST/rest/api/1.0 if empty
	Token      config.Secret `config:"token" doc:"access token"`
	Username   string        `config:"username" doc:"user name"`
	Password   config.Secret `config:"password" doc:"password"`
}

// An AzureConfig is one entry of integrations.azure.
type AzureConfig struct {
	Host        string            `config:"host" doc:"host name, with a port if it has one"` // dev.azure.com if empty
	Credentials []AzureCredential `config:"credentials"`
}

// An AzureCredential applies to the listed organizations, or to all others if it
// lists none. Exactly one form is given: a personal access token, a service
// principal (clientId, clientSecret, tenantId), or a managed identity.
type AzureCredential struct {
	Organizations           []string      `config:"organizations" doc:"organizations that the credential is for; all if absent"`
	PersonalAccessToken     config.Secret `config:"personalAccessToken" doc:"personal access token"`
	ClientID                string        `config:"clientId" doc:"client id"`
	ClientSecret            config.Secret `config:"clientSecret" doc:"client secret"`
	TenantID                string        `config:"tenantId" doc:"tenant id"`
	ManagedIdentityClientID string        `config:"managedIdentityClientId" doc:"client id of a managed identity"`
}

// A GerritConfig is one entry of integrations.gerrit.
type GerritConfig struct {
	Host           string        `config:"host,required" doc:"host name, with a port if it has one"`
	BaseURL        string        `config:"baseUrl" doc:"base URL of the web pages"`  // https://HOST if empty
	GitilesBaseURL string        `config:"gitilesBaseUrl" doc:"base URL of Gitiles"` // https://HOST if empty
	CloneURL       string        `config:"cloneUrl" doc:"base URL to clone from"`    // BaseURL if empty
	DisableEditURL bool          `config:"disableEditUrl" doc:"make no edit links"`
	Username       string        `config:"username" doc:"user name"`
	Password       config.Secret `config:"password" doc:"password"`
}

// A GiteaConfig is one entry of integrations.gitea.
type GiteaConfig struct {
	Host     string        `config:"host,required" doc:"host name, with a port if it has one"`
	BaseURL  string        `config:"baseUrl" doc:"base URL of the web pages"` // https://HOST if empty
	Username string        `config:"username" doc:"user name"`
	Password config.Secret `config:"password" doc:"password"` // without a username it is an access token
}

// A HarnessConfig is one entry of integrations.harness.
type HarnessConfig struct {
	Host   string        `config:"host" doc:"host name, with a port if it has one"` // app.harness.io if empty
	Token  config.Secret `config:"token" doc:"access token"`
	APIKey config.Secret `config:"apiKey" doc:"API key"`
}

// An AWSS3Config is one entry of integrations.awsS3. Without keys the reader
// takes the credentials of the process.
type AWSS3Config struct {
	Endpoint        string        `config:"endpoint" doc:"address of the service, if not the usual one"` // https://amazonaws.com if empty
	ForcePathStyle  bool          `config:"s3ForcePathStyle" doc:"the bucket stands in the path, not in the host name"`
	AccessKeyID     string        `config:"accessKeyId" doc:"access key id"`
	SecretAccessKey config.Secret `config:"secretAccessKey" doc:"secret access key"`
	RoleARN         string        `config:"roleArn" doc:"role to assume"`
	ExternalID      string        `config:"externalId" doc:"external id for the role"`
}

// An AWSCodeCommitConfig is one entry of integrations.awsCodeCommit.
type AWSCodeCommitConfig struct {
	Region          string        `config:"region,required" doc:"region"`
	AccessKeyID     string        `config:"accessKeyId" doc:"access key id"`
	SecretAccessKey config.Secret `config:"secretAccessKey" doc:"secret access key"`
	RoleARN         string        `config:"roleArn" doc:"role to assume"`
	ExternalID      string        `config:"externalId" doc:"external id for the role"`
}

// An AzureBlobConfig is one entry of integrations.azureBlobStorage.
type AzureBlobConfig struct {
	AccountName      string              `config:"accountName" doc:"storage account"`
	AccountKey       config.Secret       `config:"accountKey" doc:"key of the storage account"`
	SASToken         config.Secret       `config:"sasToken" doc:"shared access signature"`
	ConnectionString config.Secret       `config:"connectionString" doc:"connection string; what it says wins over the other keys"`
	Endpoint         string              `config:"endpoint" doc:"address of the service, if not the usual one"`
	EndpointSuffix   string              `config:"endpointSuffix" doc:"end of the host name"` // core.windows.net if empty
	AADCredential    *AzureAADCredential `config:"aadCredential"`
}

// An AzureAADCredential is a service principal of Azure Blob storage.
type AzureAADCredential struct {
	ClientID     string        `config:"clientId,required" doc:"client id"`
	TenantID     string        `config:"tenantId,required" doc:"tenant id"`
	ClientSecret config.Secret `config:"clientSecret,required" doc:"client secret"`
}

// A GoogleGCSConfig is the object integrations.googleGcs. Without it the reader
// asks for public objects only.
type GoogleGCSConfig struct {
	ClientEmail string        `config:"clientEmail" doc:"service account"`
	PrivateKey  config.Secret `config:"privateKey" doc:"private key in PEM; \\n stands for a line break"`
}

// ReadingConfig is the subtree backend.reading: the plain URLs that may be read.
type ReadingConfig struct {
	Allow []AllowEntry `config:"allow"`
}

// ReadConfig decodes integrations and backend.reading. Its error joins all that is wrong.
func ReadConfig(c *config.Config) (Config, ReadingConfig, error) {
	var cfg Config
	var reading ReadingConfig
	return cfg, reading, errors.Join(c.Decode("integrations", &cfg), c.Decode("backend.reading", &reading))
}

// Validate fills in what a host's name implies and refuses a custom host whose
// API cannot be guessed.
func (c *GitHubConfig) Validate() error {
	c.Host = hostOr(c.Host, "github.com")
	if c.Host == "github.com" {
		c.APIBaseURL = stringOr(c.APIBaseURL, "https://api.github.com")
		c.RawBaseURL = stringOr(c.RawBaseURL, "https://raw.githubusercontent.com")
	}
	var missing error
	host := checkHost(c.Host)
	switch {
	case host != nil:
	case c.APIBaseURL == "" && c.RawBaseURL == "":
		missing = fmt.Errorf("host %s is not github.com, so it needs apiBaseUrl or rawBaseUrl: set apiBaseUrl: https://%s/api/v3", c.Host, c.Host)
	case c.APIBaseURL == "" && (len(c.Apps) > 0 || c.Token.Reveal() != ""):
		missing = fmt.Errorf("host %s has credentials but no apiBaseUrl, where they would be used: set apiBaseUrl: https://%s/api/v3", c.Host, c.Host)
	}
	return errors.Join(host, config.At("apiBaseUrl", missing), checkBase("apiBaseUrl", &c.APIBaseURL), checkBase("rawBaseUrl", &c.RawBaseURL))
}

// Validate refuses what is no private key.
func (c *GitHubAppConfig) Validate() error {
	_, err := parsePrivateKey(c.PrivateKey.Reveal())
	return config.At("privateKey", err)
}

// Validate fills in the addresses that GitLab derives from its host.
func (c *GitLabConfig) Validate() error {
	c.Host = hostOr(c.Host, "gitlab.com")
	c.BaseURL = stringOr(c.BaseURL, "https://"+c.Host)
	c.APIBaseURL = stringOr(c.APIBaseURL, strings.TrimRight(c.BaseURL, "/")+"/api/v4")
	var errs []error
	if c.Retry.MaxRetries < 0 || c.Retry.MaxRetries > 10 {
		errs = append(errs, config.At("retry.maxRetries", fmt.Errorf("is %d, expected 0 to 10", c.Retry.MaxRetries)))
	}
	if c.Retry.MaxAPIRequestsPerMinute < 0 {
		errs = append(errs, config.At("retry.maxApiRequestsPerMinute", fmt.Errorf("is %d, expected a positive number", c.Retry.MaxAPIRequestsPerMinute)))
	}
	return errors.Join(append(errs, checkHost(c.Host), checkBase("apiBaseUrl", &c.APIBaseURL), checkBase("baseUrl", &c.BaseURL))...)
}

// Validate refuses half a credential.
func (c *BitbucketCloudConfig) Validate() error {
	var errs []error
	if c.AppPassword.Reveal() != "" && c.Username == "" {
		errs = append(errs, config.At("username", errors.New("appPassword needs it")))
	}
	return errors.Join(append(errs, together("clientId", c.ClientID == "", "clientSecret", c.ClientSecret.Reveal() == ""))...)
}

// Validate fills in the address of the API.
func (c *BitbucketServerConfig) Validate() error {
	c.Host = hostOr(c.Host, "")
	c.APIBaseURL = stringOr(c.APIBaseURL, "https://"+c.Host+"/rest/api/1.0")
	return errors.Join(checkHost(c.Host), checkBase("apiBaseUrl", &c.APIBaseURL))
}

// Validate checks that each credential has one complete form.
func (c *AzureConfig) Validate() error {
	c.Host = hostOr(c.Host, "dev.azure.com")
	errs := []error{checkHost(c.Host)}
	for i, cred := range c.Credentials {
		at := fmt.Sprintf("credentials[%d]", i)
		secret := cred.ClientSecret.Reveal() != ""
		forms := 0
		for _, given := range []bool{cred.PersonalAccessToken.Reveal() != "", secret, cred.ManagedIdentityClientID != ""} {
			if given {
				forms++
			}
		}
		switch {
		case secret && (cred.ClientID == "" || cred.TenantID == ""):
			errs = append(errs, config.At(at, errors.New("a service principal needs clientId, clientSecret and tenantId")))
		case forms != 1:
			errs = append(errs, config.At(at, errors.New("expected exactly one of personalAccessToken, clientSecret (with clientId and tenantId), managedIdentityClientId")))
		}
	}
	return errors.Join(errs...)
}

// Validate fills in the addresses that follow from the host.
func (c *GerritConfig) Validate() error {
	c.Host = hostOr(c.Host, "")
	c.BaseURL = stringOr(c.BaseURL, "https://"+c.Host)
	c.GitilesBaseURL = stringOr(c.GitilesBaseURL, "https://"+c.Host)
	err := errors.Join(checkHost(c.Host), checkBase("baseUrl", &c.BaseURL), checkBase("gitilesBaseUrl", &c.GitilesBaseURL), checkBase("cloneUrl", &c.CloneURL))
	c.CloneURL = stringOr(c.CloneURL, c.BaseURL)
	return err
}

// Validate fills in the base URL.
func (c *GiteaConfig) Validate() error {
	c.Host = hostOr(c.Host, "")
	c.BaseURL = stringOr(c.BaseURL, "https://"+c.Host)
	return errors.Join(checkHost(c.Host), checkBase("baseUrl", &c.BaseURL))
}

// Validate fills in the public host.
func (c *HarnessConfig) Validate() error {
	c.Host = hostOr(c.Host, "app.harness.io")
	return checkHost(c.Host)
}

// Validate fills in the public endpoint and refuses half a key.
func (c *AWSS3Config) Validate() error {
	c.Endpoint = stringOr(c.Endpoint, "https://amazonaws.com")
	return errors.Join(together("accessKeyId", c.AccessKeyID == "", "secretAccessKey", c.SecretAccessKey.Reveal() == ""), checkBase("endpoint", &c.Endpoint))
}

// Validate refuses half a key.
func (c *AWSCodeCommitConfig) Validate() error {
	return together("accessKeyId", c.AccessKeyID == "", "secretAccessKey", c.SecretAccessKey.Reveal() == "")
}

// Validate refuses a private key without the account it belongs to.
func (c *GoogleGCSConfig) Validate() error {
	return together("clientEmail", c.ClientEmail == "", "privateKey", c.PrivateKey.Reveal() == "")
}

// together refuses one of two keys without the other.
func together(a string, noA bool, b string, noB bool) error {
	missing, present := a, b
	switch {
	case noA == noB:
		return nil
	case noB:
		missing, present = b, a
	}
	return config.At(missing, fmt.Errorf("is missing: %s is set, and they belong together", present))
}

func stringOr(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func hostOr(host, def string) string { return strings.ToLower(stringOr(host, def)) }

// checkHost refuses a host that is not one.
func checkHost(host string) error {
	if u, err := url.Parse("https://" + host); err != nil || u.Host != host || host == "" {
		return config.At("host", fmt.Errorf("%q is not a host name with an optional port", host))
	}
	return nil
}

// checkBase refuses a base URL that is not absolute, or has more than a path, and takes
// the slash off its end. An empty one is none.
func checkBase(key string, base *string) error {
	if *base == "" {
		return nil
	}
	u, err := parseAbsolute(*base)
	if err != nil {
		return config.At(key, err)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return config.At(key, errors.New("has user information, a query or a fragment"))
	}
	*base = strings.TrimRight(*base, "/")
	return nil
}
