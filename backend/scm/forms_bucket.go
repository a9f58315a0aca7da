package scm

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Bucket hosts have no refs and no edit pages; a Place's Repository is the
// bucket or "account/container", its Path the object's key or a prefix.

// gcsForms knows https://storage.cloud.google.com/BUCKET/KEY.
type gcsForms struct{}

const gcsHost = "storage.cloud.google.com"

func newGCSForms(*GoogleGCSConfig) (string, forms) { return gcsHost, gcsForms{} }

func (gcsForms) matches(u *url.URL) bool { return sameHostName(u, gcsHost) }

func (gcsForms) parse(u *url.URL) (Place, error) {
	parts := segments(u.EscapedPath())
	if len(parts) == 0 || parts[0] == "" {
		return Place{}, incorrectURL(u, "https://"+gcsHost+"/BUCKET/KEY")
	}
	return place(parts[0], "", FormBlob, parts, 1), nil
}

func (f gcsForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (gcsForms) edit(u *url.URL) string { return u.String() }

// s3Forms knows the addresses of Amazon's S3 (virtual-hosted and path style, old
// and new regional names, dual stack) and of servers that speak its protocol:
// https://ENDPOINT/BUCKET/KEY, or https://BUCKET.ENDPOINT/KEY unless
// s3ForcePathStyle is set.
type s3Forms struct {
	c    *AWSS3Config
	host string
}

func newS3Forms(c *AWSS3Config) (string, forms) {
	host := "amazonaws.com"
	if u, err := url.Parse(c.Endpoint); err == nil {
		host = hostOf(u)
	}
	return host, s3Forms{c, host}
}

func (f s3Forms) amazon() bool {
	return f.host == "amazonaws.com" || f.host == "amazonaws.com.cn" || strings.HasSuffix(f.host, ".amazonaws.com")
}

func (f s3Forms) matches(u *url.URL) bool {
	host := hostOf(u)
	return host == f.host || strings.HasSuffix(host, "."+f.host)
}

// amazonS3Host splits the names of Amazon: [BUCKET.]s3[.dualstack][.-]REGION.amazonaws.com[.cn].
var amazonS3Host = regexp.MustCompile(`^(?:(.+)\.)?s3(?:[.-]dualstack)?(?:[.-]([a-z]{2}(?:-[a-z]+)+-[0-9]))?\.amazonaws\.com(?:\.cn)?$`)

func (f s3Forms) parse(u *url.URL) (Place, error) {
	bucket, _, ok := f.split(u)
	if !ok {
		return Place{}, incorrectURL(u, "https://BUCKET.s3.REGION.amazonaws.com/KEY or https://ENDPOINT/BUCKET/KEY")
	}
	parts := segments(u.EscapedPath())
	if bucket != "" {
		return place(bucket, "", FormBlob, parts, 0), nil
	}
	if len(parts) == 0 || parts[0] == "" {
		return Place{}, incorrectURL(u, "a bucket in the URL's path")
	}
	return place(parts[0], "", FormBlob, parts, 1), nil
}

// split finds bucket and region in the host; an empty bucket is in the path.
func (f s3Forms) split(u *url.URL) (bucket, region string, ok bool) {
	host := hostOf(u)
	if f.amazon() {
		m := amazonS3Host.FindStringSubmatch(host)
		if m == nil {
			return "", "", false
		}
		return m[1], m[2], true
	}
	if host == f.host {
		return "", "", true
	}
	return strings.TrimSuffix(host, "."+f.host), "", !f.c.ForcePathStyle
}

func (f s3Forms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f s3Forms) edit(u *url.URL) string { return u.String() }

// S3Region returns the region that the host of an S3 URL names; empty if it
// names none.
func (i *Integration) S3Region(rawURL string) string {
	f, ok := i.forms.(s3Forms)
	u, err := parseAbsolute(rawURL)
	if !ok || err != nil {
		return ""
	}
	_, region, _ := f.split(u)
	return region
}

// azureBlobForms knows https://ACCOUNT.blob.SUFFIX/CONTAINER/PATH, and an
// endpoint of one's own.
type azureBlobForms struct {
	c    *AzureBlobConfig
	host string
}

func newAzureBlobForms(c *AzureBlobConfig) (string, forms) {
	host := "blob." + stringOr(c.EndpointSuffix, "core.windows.net")
	if u, err := url.Parse(c.Endpoint); err == nil && u.Host != "" {
		host = hostOf(u)
	} else if c.AccountName != "" {
		host = strings.ToLower(c.AccountName) + "." + host
	}
	return host, azureBlobForms{c, host}
}

func (f azureBlobForms) matches(u *url.URL) bool {
	host := hostOf(u)
	return host == f.host || strings.HasSuffix(host, "."+f.host)
}

func (f azureBlobForms) parse(u *url.URL) (Place, error) {
	parts := segments(u.EscapedPath())
	if len(parts) == 0 || parts[0] == "" {
		return Place{}, incorrectURL(u, "https://ACCOUNT."+f.host+"/CONTAINER/PATH")
	}
	account, _, _ := strings.Cut(hostOf(u), ".")
	p := place(parts[0], "", FormBlob, parts, 1)
	p.Repository = account + "/" + p.Repository
	return p, nil
}

func (f azureBlobForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f azureBlobForms) edit(u *url.URL) string { return u.String() }

// codeCommitForms knows the console's addresses:
// https://REGION.console.aws.amazon.com/codesuite/codecommit/repositories/REPO/(browse|files/edit)/REF/--/PATH.
type codeCommitForms struct {
	c    *AWSCodeCommitConfig
	host string
}

func newCodeCommitForms(c *AWSCodeCommitConfig) (string, forms) {
	host := strings.ToLower(c.Region) + ".console.aws.amazon.com"
	return host, codeCommitForms{c, host}
}

func (f codeCommitForms) matches(u *url.URL) bool { return sameHostName(u, f.host) }

func (f codeCommitForms) parse(u *url.URL) (Place, error) {
	const expected = "https://REGION.console.aws.amazon.com/codesuite/codecommit/repositories/REPO/browse/refs/heads/BRANCH/--/PATH"
	parts := segments(u.EscapedPath())
	if len(parts) < 4 || !slices.Equal(parts[:3], []string{"codesuite", "codecommit", "repositories"}) || parts[3] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	start, form := 5, FormBlob
	switch {
	case len(parts) == 4 || (len(parts) == 5 && parts[4] == "browse"):
		p := place(parts[3], "", FormRoot, parts, len(parts))
		p.root = joinRoot(parts[:4]) + "/browse/--"
		return p, nil
	case len(parts) > 5 && parts[4] == "browse":
	case len(parts) > 6 && parts[4] == "files" && parts[5] == "edit":
		start, form = 6, FormEdit
	default:
		return Place{}, incorrectURL(u, expected)
	}
	sep := slices.Index(parts, "--")
	if sep < start {
		return Place{}, incorrectURL(u, expected)
	}
	ref := shortRef(strings.Join(parts[start:sep], "/"))
	return place(parts[3], ref, form, parts, sep+1), nil
}

func (f codeCommitForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f codeCommitForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form != FormBlob || p.Path == "" {
		return u.String()
	}
	parts := segments(u.EscapedPath())
	return withPath(u, joinRoot(parts[:4])+"/files/edit/"+strings.Join(parts[5:], "/"))
}
