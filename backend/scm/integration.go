package scm

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// A Kind names a sort of host, by the key of its list below integrations.
type Kind string

// The kinds of integrations, in the order in which readers are asked.
const (
	KindAzure           Kind = "azure"
	KindBitbucketCloud  Kind = "bitbucketCloud"
	KindBitbucketServer Kind = "bitbucketServer"
	KindGerrit          Kind = "gerrit"
	KindGitHub          Kind = "github"
	KindGitea           Kind = "gitea"
	KindHarness         Kind = "harness"
	KindGitLab          Kind = "gitlab"
	KindGoogleGCS       Kind = "googleGcs"
	KindAWSS3           Kind = "awsS3"
	KindAzureBlob       Kind = "azureBlobStorage"
	KindAWSCodeCommit   Kind = "awsCodeCommit"
)

// kindOrder is the order of the contract's reader table.
var kindOrder = []Kind{
	KindAzure, KindBitbucketCloud, KindBitbucketServer, KindGerrit, KindGitHub, KindGitea,
	KindHarness, KindGitLab, KindGoogleGCS, KindAWSS3, KindAzureBlob, KindAWSCodeCommit,
}

// forms are the URL forms of one host. Implementations hold no state besides
// configuration, so they serve any number of goroutines.
type forms interface {
	// matches reports whether u belongs to the host.
	matches(u *url.URL) bool
	// parse takes u apart. Its errors are apierr.Input.
	parse(u *url.URL) (Place, error)
	// resolve resolves the relative reference ref against base.
	resolve(base *url.URL, ref string) (string, error)
	// edit returns where a person edits the file at u; u itself if the host has
	// no such page.
	edit(u *url.URL) string
}

// An Integration is one configured host. Its methods may be called from any
// goroutine and never touch the network.
type Integration struct {
	kind  Kind
	host  string
	forms forms
	// config is the entry it was made from, with defaults filled in.
	config any
}

// Kind is the integration's kind.
func (i *Integration) Kind() Kind { return i.kind }

// Host is the host, with its port if it has one, in lower case.
func (i *Integration) Host() string { return i.host }

// Config returns the configuration that the integration was made from, with
// defaults filled in: a *GitHubConfig for KindGitHub and so on. It is shared and
// must not be changed.
func (i *Integration) Config() any { return i.config }

// Matches reports whether u belongs to this host.
func (i *Integration) Matches(u *url.URL) bool { return i.forms.matches(u) }

// Parse takes a URL of this host apart. A URL that the host has no such form
// for, and one with a dot segment in its decoded path, is an apierr.Input error.
func (i *Integration) Parse(rawURL string) (Place, error) {
	_, p, err := i.take(rawURL)
	return p, err
}

// take is Parse for who needs the URL as well.
func (i *Integration) take(rawURL string) (*url.URL, Place, error) {
	u, err := parseAbsolute(rawURL)
	if err != nil {
		return nil, Place{}, err
	}
	if err := checkSegments(rawURL, u.EscapedPath()); err != nil {
		return nil, Place{}, err
	}
	p, err := i.forms.parse(u)
	if err != nil {
		return nil, Place{}, err
	}
	return u, p, checkSegments(rawURL, p.Ref) // a ref of the query ends up in the API's path too
}

// takeFile is take for where a file is needed: the URL of a repository is an error.
func (i *Integration) takeFile(rawURL string) (*url.URL, Place, error) {
	u, p, err := i.take(rawURL)
	if err == nil && p.Path == "" {
		err = apierr.Input.New("Incorrect URL: %s, expected the path of a file", rawURL)
	}
	return u, p, err
}

// ResolveURL resolves ref, as found in the file at base. An absolute URL stays
// as it is; "/x" is x in the root of base's repository at the same ref; anything
// else is relative to the directory of base. The query of base is retained. The
// result points into the repository of base, or the error is apierr.Input.
//
// Results of GitHub are tree URLs also where base is a blob URL: adopters'
// databases and other tools hold them in that form.
func (i *Integration) ResolveURL(base, ref string) (string, error) {
	if absoluteRef.MatchString(ref) {
		return ref, nil
	}
	u, err := parseAbsolute(base)
	if err != nil {
		return "", err
	}
	return i.forms.resolve(u, ref)
}

// EditURL returns the page where a person edits the file at target, or target
// itself where the host has no such page.
func (i *Integration) EditURL(target string) string {
	u, err := parseAbsolute(target)
	if err != nil {
		return target
	}
	return i.forms.edit(u)
}

// Integrations are all configured hosts. The zero value has none.
type Integrations struct {
	list []*Integration
}

// NewIntegrations makes the integrations that cfg lists, and the public hosts
// github.com, gitlab.com, bitbucket.org, dev.azure.com, amazonaws.com,
// blob.core.windows.net and storage.cloud.google.com where cfg leaves them out.
// It reports every wrong entry, each with its key.
func NewIntegrations(cfg Config) (*Integrations, error) {
	b := &builder{cfg: &Integrations{}}
	addAll(b, KindAzure, cfg.Azure, AzureConfig{}, "dev.azure.com", newAzureForms)
	b.addBitbucketCloud(cfg.BitbucketCloud)
	addAll(b, KindBitbucketServer, cfg.BitbucketServer, BitbucketServerConfig{}, "", newBitbucketServerForms)
	addAll(b, KindGerrit, cfg.Gerrit, GerritConfig{}, "", newGerritForms)
	addAll(b, KindGitHub, cfg.GitHub, GitHubConfig{}, "github.com", newGitHubForms)
	addAll(b, KindGitea, cfg.Gitea, GiteaConfig{}, "", newGiteaForms)
	addAll(b, KindHarness, cfg.Harness, HarnessConfig{}, "", newHarnessForms)
	addAll(b, KindGitLab, cfg.GitLab, GitLabConfig{}, "gitlab.com", newGitLabForms)
	gcs := GoogleGCSConfig{}
	if cfg.GoogleGCS != nil {
		gcs = *cfg.GoogleGCS
	}
	addAll(b, KindGoogleGCS, []GoogleGCSConfig{gcs}, gcs, "", newGCSForms)
	addAll(b, KindAWSS3, cfg.AWSS3, AWSS3Config{}, "amazonaws.com", newS3Forms)
	addAll(b, KindAzureBlob, cfg.AzureBlob, AzureBlobConfig{}, "blob.core.windows.net", newAzureBlobForms)
	addAll(b, KindAWSCodeCommit, cfg.AWSCodeCommit, AWSCodeCommitConfig{}, "", newCodeCommitForms)
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	return b.cfg, nil
}

type builder struct {
	cfg      *Integrations
	problems []error
}

// add puts the problems of the section at path below it.
func (b *builder) add(path string, err error) {
	for _, problem := range config.Problems(err) {
		if ke, ok := problem.(*config.KeyError); ok && ke.Path != "" {
			problem = config.At(path+"."+ke.Path, ke.Err)
		} else {
			problem = config.At(path, problem)
		}
		b.problems = append(b.problems, problem)
	}
}

// addAll adds one integration per entry, and the one of defaultHost unless an
// entry already has that host.
func addAll[C any](b *builder, kind Kind, entries []C, def C, defaultHost string, build func(*C) (string, forms)) {
	hasDefault := defaultHost == ""
	for n := range entries {
		c := entries[n] // a copy: defaults are not written into the caller's value
		if v, ok := any(&c).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				path := fmt.Sprintf("integrations.%s[%d]", kind, n)
				if kind == KindGoogleGCS { // which is no list
					path = "integrations.googleGcs"
				}
				b.add(path, err)
				continue
			}
		}
		host, forms := build(&c)
		hasDefault = hasDefault || host == defaultHost
		b.cfg.list = append(b.cfg.list, &Integration{kind: kind, host: host, forms: forms, config: &c})
	}
	if hasDefault {
		return
	}
	if v, ok := any(&def).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			b.add(fmt.Sprintf("integrations.%s", kind), err)
			return
		}
	}
	host, forms := build(&def)
	b.cfg.list = append(b.cfg.list, &Integration{kind: kind, host: host, forms: forms, config: &def})
}

func (b *builder) addBitbucketCloud(entries []BitbucketCloudConfig) {
	if len(entries) > 1 {
		b.add("integrations.bitbucketCloud", fmt.Errorf("expected at most one entry, found %d: there is one bitbucket.org", len(entries)))
		return
	}
	addAll(b, KindBitbucketCloud, entries, BitbucketCloudConfig{}, "bitbucket.org", newBitbucketCloudForms)
}

// For returns the integration of rawURL; the first in the order of the reader
// table if several match. It reports false for a URL of no known host.
func (s *Integrations) For(rawURL string) (*Integration, bool) {
	u, err := parseAbsolute(rawURL)
	if err != nil {
		return nil, false
	}
	return s.forURL(u)
}

func (s *Integrations) forURL(u *url.URL) (*Integration, bool) {
	for _, i := range s.list {
		if i.forms.matches(u) {
			return i, true
		}
	}
	return nil, false
}

// All returns the integrations of the given kinds, or all of them.
func (s *Integrations) All(kinds ...Kind) []*Integration {
	var out []*Integration
	for _, i := range s.list {
		if len(kinds) == 0 || slices.Contains(kinds, i.kind) {
			out = append(out, i)
		}
	}
	return out
}

// ByHost returns the integration of that kind and host.
func (s *Integrations) ByHost(kind Kind, host string) (*Integration, bool) {
	for _, i := range s.list {
		if i.kind == kind && strings.EqualFold(i.host, host) {
			return i, true
		}
	}
	return nil, false
}

// ResolveURL resolves ref against base by the rules of base's integration. A
// base of no integration is a plain URL, whose root is the root of its host.
func (s *Integrations) ResolveURL(base, ref string) (string, error) {
	if absoluteRef.MatchString(ref) {
		return ref, nil
	}
	u, err := parseAbsolute(base)
	if err != nil {
		return "", err
	}
	if i, ok := s.forURL(u); ok {
		return i.forms.resolve(u, ref)
	}
	return resolvePlain(u, ref)
}

// EditURL returns the edit page of target by the rules of its integration, or
// target itself if no integration knows it.
func (s *Integrations) EditURL(target string) string {
	if i, ok := s.For(target); ok {
		return i.EditURL(target)
	}
	return target
}

// SameRepository compares the repositories of two URLs. Comparable is false if
// one of them belongs to no configured host; the caller then has no repository
// to confine anything to, and backend.reading.allow decides alone. Otherwise
// same tells whether kind, host and repository agree; refs may differ. Names are
// compared without regard to case, as the hosts do. A URL of a configured host
// that cannot be taken apart, or has a dot segment, is in no repository.
//
// The catalog confines placeholders and the children of Locations with it (SEC-53).
func (s *Integrations) SameRepository(a, b string) (same, comparable bool) {
	ia, okA := s.For(a)
	ib, okB := s.For(b)
	if !okA || !okB {
		return false, false
	}
	pa, errA := ia.Parse(a)
	pb, errB := ib.Parse(b)
	if errA != nil || errB != nil {
		return false, true // fails closed: no reader would read it either
	}
	return ia == ib && sameHost(a, b) && strings.EqualFold(pa.Repository, pb.Repository), true
}

// sameHost compares the hosts of two URLs that are known to parse; integrations
// for buckets match more than one.
func sameHost(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && strings.EqualFold(ua.Host, ub.Host)
}
