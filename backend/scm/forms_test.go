package scm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm"
)

// everyKind has one host of each kind besides the public ones.
const everyKind = `
integrations:
  github:
    - {host: ghe.example.com, apiBaseUrl: https://ghe.example.com/api/v3}
  gitlab:
    - {host: gitlab.example.com, baseUrl: https://gitlab.example.com/git}
  bitbucketServer:
    - {host: bitbucket.example.com}
  azure:
    - {host: tfs.example.com}
  gerrit:
    - {host: gerrit.example.com, gitilesBaseUrl: https://gerrit.example.com/gitiles}
    - {host: review.example.com, gitilesBaseUrl: https://review.example.com/gitiles, disableEditUrl: true}
  gitea:
    - {host: gitea.example.com}
  harness:
    - {host: app.harness.io}
  awsS3:
    - {endpoint: https://minio.example.com:9000}
    - {endpoint: https://path.example.com, s3ForcePathStyle: true}
  awsCodeCommit:
    - {region: eu-west-1}
  azureBlobStorage:
    - {accountName: acme}
  googleGcs: {clientEmail: a@b.iam, privateKey: k}
`

func integrations(t testing.TB, yaml string) *scm.Integrations {
	t.Helper()
	c, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := scm.ReadConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	is, err := scm.NewIntegrations(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

func TestFor(t *testing.T) {
	t.Parallel()
	all, none := integrations(t, everyKind), integrations(t, "{}")
	for _, tt := range []struct {
		in      *scm.Integrations
		url     string
		kind    scm.Kind
		unknown bool
	}{
		{in: none, url: "https://github.com/acme/shop", kind: scm.KindGitHub},
		{in: none, url: "https://GitHub.com:443/acme/shop", kind: scm.KindGitHub},
		{in: none, url: "https://gitlab.com/acme/shop", kind: scm.KindGitLab},
		{in: none, url: "https://bitbucket.org/acme/shop", kind: scm.KindBitbucketCloud},
		{in: none, url: "https://dev.azure.com/acme/p/_git/r", kind: scm.KindAzure},
		{in: none, url: "https://b.s3.eu-west-1.amazonaws.com/k", kind: scm.KindAWSS3},
		{in: none, url: "https://acme.blob.core.windows.net/c/k", kind: scm.KindAzureBlob},
		{in: none, url: "https://storage.cloud.google.com/b/k", kind: scm.KindGoogleGCS},
		{in: none, url: "https://gitea.example.com/acme/shop", unknown: true},
		{in: none, url: "https://github.com.evil.example/acme/shop", unknown: true},
		{in: none, url: "https://github.com:8443/acme/shop", unknown: true},
		{in: none, url: "https://evilgithub.com/acme/shop", unknown: true},
		{in: none, url: "https://github.com@evil.example/acme/shop", unknown: true},
		{in: none, url: "ftp://github.com/acme/shop", unknown: true},
		{in: none, url: "https://evilamazonaws.com/k", unknown: true},
		{in: all, url: "https://ghe.example.com/acme/shop", kind: scm.KindGitHub},
		{in: all, url: "https://github.com/acme/shop", kind: scm.KindGitHub},
		{in: all, url: "https://bucket.minio.example.com:9000/k", kind: scm.KindAWSS3},
		{in: all, url: "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r", kind: scm.KindAWSCodeCommit},
		{in: all, url: "https://us-east-1.console.aws.amazon.com/codesuite/codecommit/repositories/r", unknown: true},
	} {
		i, ok := tt.in.For(tt.url)
		if ok == tt.unknown || ok && i.Kind() != tt.kind {
			t.Errorf("For(%q) = %v, %t, want %q", tt.url, i, ok, tt.kind)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	all := integrations(t, everyKind)
	for _, tt := range []struct {
		url        string
		repository string
		ref, path  string
		form       scm.Form
		wantErr    string
	}{
		{url: "https://github.com/acme/shop/blob/main/a/catalog-info.yaml", repository: "acme/shop", ref: "main", path: "a/catalog-info.yaml", form: scm.FormBlob},
		{url: "https://github.com/acme/shop/tree/main/docs/", repository: "acme/shop", ref: "main", path: "docs/", form: scm.FormTree},
		{url: "https://github.com/acme/shop/tree/main", repository: "acme/shop", ref: "main", form: scm.FormTree},
		{url: "https://github.com/acme/shop/raw/v1/x%20y.yaml", repository: "acme/shop", ref: "v1", path: "x y.yaml", form: scm.FormRaw},
		{url: "https://github.com/acme/shop.git", repository: "acme/shop", form: scm.FormRoot},
		{url: "https://github.com/acme/shop/", repository: "acme/shop", form: scm.FormRoot},
		{url: "https://github.com/acme", wantErr: "Incorrect URL"},
		{url: "https://github.com/acme/shop/issues/1", wantErr: "Incorrect URL: https://github.com/acme/shop/issues/1, "},
		{url: "https://github.com/acme/shop/blob/", wantErr: "Incorrect URL"},

		{url: "https://gitlab.com/g/s/p/-/blob/main/a.yaml", repository: "g/s/p", ref: "main", path: "a.yaml", form: scm.FormBlob},
		{url: "https://gitlab.com/g/p/tree/main/a", repository: "g/p", ref: "main", path: "a", form: scm.FormTree},
		{url: "https://gitlab.com/g/p", repository: "g/p", form: scm.FormRoot},
		{url: "https://gitlab.com/g/p/-/jobs/artifacts/main/raw/out/a.yaml?job=build", repository: "g/p", ref: "main", path: "out/a.yaml", form: scm.FormRaw},
		{url: "https://gitlab.example.com/git/g/p/-/raw/main/a.yaml", repository: "g/p", ref: "main", path: "a.yaml", form: scm.FormRaw},
		{url: "https://gitlab.example.com/g/p/-/raw/main/a.yaml", wantErr: "a path below https://gitlab.example.com/git"},
		{url: "https://gitlab.com/g/p/-/issues/1", wantErr: "Incorrect URL"},

		{url: "https://bitbucket.org/w/r/src/master/a.yaml", repository: "w/r", ref: "master", path: "a.yaml", form: scm.FormBlob},
		{url: "https://bitbucket.org/w/r/src/f00/a.yaml?at=feature%2Fx", repository: "w/r", ref: "feature/x", path: "a.yaml", form: scm.FormBlob},
		{url: "https://bitbucket.org/w/r", repository: "w/r", form: scm.FormRoot},
		{url: "https://bitbucket.org/w/r/pull-requests/1", wantErr: "Incorrect URL"},

		{url: "https://bitbucket.example.com/projects/P/repos/r/browse/a.yaml?at=main", repository: "P/r", ref: "main", path: "a.yaml", form: scm.FormBlob},
		{url: "https://bitbucket.example.com/users/jo/repos/r/raw/a.yaml?at=refs%2Fheads%2Fmain", repository: "~jo/r", ref: "main", path: "a.yaml", form: scm.FormRaw},
		{url: "https://bitbucket.example.com/stash/projects/P/repos/r", repository: "P/r", form: scm.FormRoot},

		{url: "https://dev.azure.com/org/proj/_git/repo?path=%2Fa%2Fb.yaml&version=GBmain", repository: "org/proj/repo", ref: "main", path: "a/b.yaml", form: scm.FormBlob},
		{url: "https://dev.azure.com/org/proj/_git/repo?path=/a.yaml", repository: "org/proj/repo", path: "a.yaml", form: scm.FormBlob},
		{url: "https://dev.azure.com/org/_git/repo", repository: "org/repo/repo", form: scm.FormRoot},
		{url: "https://tfs.example.com/tfs/coll/proj/_git/repo?version=GTv1", repository: "tfs/coll/proj/repo", ref: "v1", form: scm.FormRoot},
		{url: "https://dev.azure.com/org/proj/_git/repo?version=main", wantErr: "GB (branch)"},

		{url: "https://gerrit.example.com/gitiles/a/web/project/+/refs/heads/master/a.yaml", repository: "web/project", ref: "master", path: "a.yaml", form: scm.FormBlob},
		{url: "https://gerrit.example.com/gitiles/web/project/+/refs/tags/v1/", repository: "web/project", ref: "v1", form: scm.FormBlob},
		{url: "https://gerrit.example.com/gitiles/p/+/8e1c2a9/x", repository: "p", ref: "8e1c2a9", path: "x", form: scm.FormBlob},
		{url: "https://gerrit.example.com/other/p/+/master/x", wantErr: "a path below"},

		{url: "https://gitea.example.com/o/r/src/branch/main/a/b.yaml", repository: "o/r", ref: "main", path: "a/b.yaml", form: scm.FormBlob},
		{url: "https://gitea.example.com/o/r/raw/tag/v1/b.yaml", repository: "o/r", ref: "v1", path: "b.yaml", form: scm.FormRaw},
		{url: "https://gitea.example.com/o/r/_edit/main/b.yaml", repository: "o/r", ref: "main", path: "b.yaml", form: scm.FormEdit},
		{url: "https://gitea.example.com/o/r/src/main/b.yaml", wantErr: "Incorrect URL"},

		{url: "https://app.harness.io/ng/account/acc/module/code/orgs/o/projects/p/repos/r/files/main/~/a/b.yaml", repository: "acc/o/p/r", ref: "main", path: "a/b.yaml", form: scm.FormBlob},
		{url: "https://app.harness.io/ng/account/acc/module/code/repos/r/edit/main/~/b.yaml", repository: "acc/r", ref: "main", path: "b.yaml", form: scm.FormEdit},
		{url: "https://app.harness.io/ng/account/acc/module/code/orgs/o/repos/r", repository: "acc/o/r", form: scm.FormRoot},
		{url: "https://app.harness.io/gateway/code", wantErr: "Incorrect URL"},

		{url: "https://storage.cloud.google.com/bucket/a/b.yaml", repository: "bucket", path: "a/b.yaml", form: scm.FormBlob},
		{url: "https://bucket.s3.eu-west-1.amazonaws.com/a/b.yaml", repository: "bucket", path: "a/b.yaml", form: scm.FormBlob},
		{url: "https://s3.amazonaws.com/bucket/b.yaml", repository: "bucket", path: "b.yaml", form: scm.FormBlob},
		{url: "https://my.bucket.s3-us-west-2.amazonaws.com/b.yaml", repository: "my.bucket", path: "b.yaml", form: scm.FormBlob},
		{url: "https://s3.dualstack.us-east-1.amazonaws.com/bucket/b.yaml", repository: "bucket", path: "b.yaml", form: scm.FormBlob},
		{url: "https://sts.eu-west-1.amazonaws.com/x", wantErr: "Incorrect URL"},
		{url: "https://minio.example.com:9000/bucket/b.yaml", repository: "bucket", path: "b.yaml", form: scm.FormBlob},
		{url: "https://bucket.minio.example.com:9000/b.yaml", repository: "bucket", path: "b.yaml", form: scm.FormBlob},
		{url: "https://bucket.path.example.com/b.yaml", wantErr: "Incorrect URL"},
		{url: "https://acme.blob.core.windows.net/container/a.yaml", repository: "acme/container", path: "a.yaml", form: scm.FormBlob},
		{url: "https://other.blob.core.windows.net/container/a.yaml", repository: "other/container", path: "a.yaml", form: scm.FormBlob},
		{url: "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r/browse/refs/heads/feature/x/--/a.yaml?region=eu-west-1", repository: "r", ref: "feature/x", path: "a.yaml", form: scm.FormBlob},
		{url: "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r/browse", repository: "r", form: scm.FormRoot},
	} {
		i, ok := all.For(tt.url)
		if !ok {
			t.Errorf("no integration for %s", tt.url)
			continue
		}
		p, err := i.Parse(tt.url)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !errors.Is(err, apierr.Input) {
				t.Errorf("Parse(%q) = %+v, %v, want error with %q", tt.url, p, err, tt.wantErr)
			}
			continue
		}
		if err != nil || p.Repository != tt.repository || p.Ref != tt.ref || p.Path != tt.path || p.Form != tt.form {
			t.Errorf("Parse(%q) = %q %q %q %q, %v", tt.url, p.Repository, p.Ref, p.Path, p.Form, err)
		}
	}
}

func TestResolveURL(t *testing.T) {
	t.Parallel()
	all := integrations(t, everyKind)
	const (
		github  = "https://github.com/acme/shop/blob/main/a/b/catalog-info.yaml"
		azure   = "https://dev.azure.com/org/proj/_git/repo?path=%2Fa%2Fcatalog-info.yaml&version=GBmain"
		harness = "https://app.harness.io/ng/account/acc/module/code/repos/r/files/main/~/a/b.yaml"
	)
	for _, tt := range []struct{ base, ref, want, wantErr string }{
		{base: github, ref: "https://elsewhere.example/x", want: "https://elsewhere.example/x"},
		{base: github, ref: "x.yaml", want: "https://github.com/acme/shop/tree/main/a/b/x.yaml"},
		{base: github, ref: "./x.yaml", want: "https://github.com/acme/shop/tree/main/a/b/x.yaml"},
		{base: github, ref: "../x.yaml", want: "https://github.com/acme/shop/tree/main/a/x.yaml"},
		{base: github, ref: "/x.yaml", want: "https://github.com/acme/shop/tree/main/x.yaml"},
		{base: github, ref: "./", want: "https://github.com/acme/shop/tree/main/a/b/"},
		{base: github, ref: "/", want: "https://github.com/acme/shop/tree/main/"},
		{base: github, ref: "..", want: "https://github.com/acme/shop/tree/main/a/"},
		{base: github, ref: "a b/ü.yaml", want: "https://github.com/acme/shop/tree/main/a/b/a%20b/%C3%BC.yaml"},
		{base: github, ref: "x%20y.yaml", want: "https://github.com/acme/shop/tree/main/a/b/x%20y.yaml"},
		{base: github, ref: "x.yaml#part", want: "https://github.com/acme/shop/tree/main/a/b/x.yaml#part"},
		{base: github + "?raw=1", ref: "x.yaml?other=2", want: "https://github.com/acme/shop/tree/main/a/b/x.yaml?raw=1"},
		{base: github, ref: "../../../x.yaml", wantErr: "leaves the repository"},
		{base: github, ref: "../../../../../../other/repo/blob/main/x", wantErr: "leaves the repository"},
		{base: github, ref: "%2e%2e/%2e%2e/%2e%2e/x", wantErr: "encoded dot segment"},
		{base: github, ref: "%252e%252e/x", wantErr: "encoded dot segment"},
		{base: github, ref: `..\..\x`, wantErr: "backslash"},
		{base: github, ref: "//evil.example/x", want: "https://github.com/acme/shop/tree/main/evil.example/x"},
		{base: "https://github.com/acme/shop/tree/main/docs/", ref: "x.yaml", want: "https://github.com/acme/shop/tree/main/docs/x.yaml"},
		{base: "https://github.com/acme/shop/tree/main/docs", ref: "x.yaml", want: "https://github.com/acme/shop/tree/main/x.yaml"},
		{base: "https://github.com/acme/shop", ref: "x.yaml", want: "https://github.com/acme/shop/tree/HEAD/x.yaml"},
		{base: "https://github.com/acme/shop/issues", ref: "x.yaml", wantErr: "Incorrect URL"},
		{base: "https://gitlab.com/g/s/p/-/blob/main/a/c.yaml", ref: "/x.yaml", want: "https://gitlab.com/g/s/p/-/blob/main/x.yaml"},
		{base: "https://gitlab.com/g/p/-/blob/main/a/c.yaml", ref: "../x.yaml", want: "https://gitlab.com/g/p/-/blob/main/x.yaml"},
		{base: "https://gitlab.com/g/p/-/blob/main/c.yaml", ref: "../x.yaml", wantErr: "leaves the repository"},
		{base: "https://bitbucket.org/w/r/src/master/a/c.yaml?at=master", ref: "/x.yaml", want: "https://bitbucket.org/w/r/src/master/x.yaml?at=master"},
		{base: "https://bitbucket.example.com/projects/P/repos/r/browse/a/c.yaml?at=main", ref: "./x.yaml", want: "https://bitbucket.example.com/projects/P/repos/r/browse/a/x.yaml?at=main"},
		{base: "https://bitbucket.example.com/projects/P/repos/r/browse/a/c.yaml?at=main", ref: "/x.yaml", want: "https://bitbucket.example.com/projects/P/repos/r/browse/x.yaml?at=main"},
		{base: azure, ref: "x.yaml", want: "https://dev.azure.com/org/proj/_git/repo?path=%2Fa%2Fx.yaml&version=GBmain"},
		{base: azure, ref: "/x y.yaml", want: "https://dev.azure.com/org/proj/_git/repo?path=%2Fx+y.yaml&version=GBmain"},
		{base: azure, ref: "../../x.yaml", wantErr: "leaves the repository"},
		{base: "https://gerrit.example.com/gitiles/p/+/refs/heads/master/a/c.yaml", ref: "/x.yaml", want: "https://gerrit.example.com/gitiles/p/+/refs/heads/master/x.yaml"},
		{base: "https://gitea.example.com/o/r/src/branch/main/a/c.yaml", ref: "../x.yaml", want: "https://gitea.example.com/o/r/src/branch/main/x.yaml"},
		{base: harness, ref: "/x.yaml", want: "https://app.harness.io/ng/account/acc/module/code/repos/r/files/main/~/x.yaml"},
		{base: "https://bucket.s3.eu-west-1.amazonaws.com/a/c.yaml", ref: "/x.yaml", want: "https://bucket.s3.eu-west-1.amazonaws.com/x.yaml"},
		{base: "https://s3.amazonaws.com/bucket/a/c.yaml", ref: "/x.yaml", want: "https://s3.amazonaws.com/bucket/x.yaml"},
		{base: "https://s3.amazonaws.com/bucket/c.yaml", ref: "../other/x.yaml", wantErr: "leaves the repository"},
		{base: "https://docs.example.com/a/c.yaml?v=1", ref: "/x.yaml", want: "https://docs.example.com/x.yaml?v=1"},
		{base: "https://docs.example.com/a/c.yaml", ref: "x.yaml", want: "https://docs.example.com/a/x.yaml"},
		{base: "https://docs.example.com/c.yaml", ref: "../x.yaml", wantErr: "leaves the repository"},
		{base: "/tmp/c.yaml", ref: "x.yaml", wantErr: "expected http:// or https://"},
	} {
		got, err := all.ResolveURL(tt.base, tt.ref)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("ResolveURL(%q, %q) = %q, %v, want error with %q", tt.base, tt.ref, got, err, tt.wantErr)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("ResolveURL(%q, %q)\n got %q, %v\nwant %q", tt.base, tt.ref, got, err, tt.want)
		}
	}
}

func TestEditURL(t *testing.T) {
	t.Parallel()
	all := integrations(t, everyKind)
	for _, tt := range []struct{ url, want string }{
		{"https://github.com/acme/shop/blob/main/a.yaml", "https://github.com/acme/shop/edit/main/a.yaml"},
		{"https://github.com/acme/shop/tree/main/x%20y.yaml", "https://github.com/acme/shop/edit/main/x%20y.yaml"},
		{"https://gitlab.com/g/s/p/-/blob/main/a.yaml", "https://gitlab.com/g/s/p/-/edit/main/a.yaml"},
		{"https://gitlab.com/g/p/blob/main/a.yaml", "https://gitlab.com/g/p/edit/main/a.yaml"},
		{"https://bitbucket.org/w/r/src/master/a.yaml", "https://bitbucket.org/w/r/src/master/a.yaml?mode=edit&at=master"},
		{"https://bitbucket.example.com/projects/P/repos/r/browse/a.yaml?at=main", "https://bitbucket.example.com/projects/P/repos/r/browse/a.yaml?at=main&mode=edit&spa=0"},
		{"https://dev.azure.com/org/p/_git/r?path=%2Fa.yaml", "https://dev.azure.com/org/p/_git/r?path=%2Fa.yaml"},
		{"https://gerrit.example.com/gitiles/web/p/+/refs/heads/master/a.yaml", "https://gerrit.example.com/admin/repos/edit/repo/web/p/branch/refs/heads/master/file/a.yaml"},
		{"https://review.example.com/gitiles/p/+/refs/heads/master/a.yaml", "https://review.example.com/gitiles/p/+/refs/heads/master/a.yaml"},
		{"https://gitea.example.com/o/r/src/branch/main/a.yaml", "https://gitea.example.com/o/r/_edit/main/a.yaml"},
		{"https://app.harness.io/ng/account/acc/module/code/repos/r/files/main/~/a.yaml", "https://app.harness.io/ng/account/acc/module/code/repos/r/edit/main/~/a.yaml"},
		{"https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r/browse/refs/heads/main/--/a.yaml", "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r/files/edit/refs/heads/main/--/a.yaml"},
		{"https://docs.example.com/a.yaml", "https://docs.example.com/a.yaml"},
	} {
		if got := all.EditURL(tt.url); got != tt.want {
			t.Errorf("EditURL(%q)\n got %q\nwant %q", tt.url, got, tt.want)
		}
	}
}

func TestSameRepository(t *testing.T) {
	t.Parallel()
	all := integrations(t, everyKind)
	const base = "https://github.com/acme/shop/blob/main/catalog-info.yaml"
	for _, tt := range []struct {
		b                string
		same, comparable bool
	}{
		{"https://github.com/Acme/Shop/tree/other/x.yaml", true, true},
		{"https://github.com/acme/other/blob/main/x.yaml", false, true},
		{"https://ghe.example.com/acme/shop/blob/main/x.yaml", false, true},
		{"https://github.com/acme/shop/blob/main/%2e%2e/x", false, true},
		{"https://github.com/acme%2Fshop/x/blob/main/x", false, true},
		{"https://github.com/acme/shop/settings", false, true},
		{"https://gitlab.com/acme/shop/-/blob/main/x", false, true},
		{"https://docs.example.com/x", false, false},
		{"file:///etc/passwd", false, false},
	} {
		same, comparable := all.SameRepository(base, tt.b)
		if same != tt.same || comparable != tt.comparable {
			t.Errorf("SameRepository(%q) = %t, %t", tt.b, same, comparable)
		}
	}
}

// SEC-27: a path that decodes to a dot segment, however often, reaches another
// endpoint of the API with the server's credentials.
func TestSEC27_EncodedDotSegmentsAreRefusedByEveryIntegration(t *testing.T) {
	t.Parallel()
	all := integrations(t, everyKind)
	for _, prefix := range []string{
		"https://github.com/acme/shop/blob/main/",
		"https://ghe.example.com/acme/shop/raw/main/",
		"https://gitlab.com/g/p/-/blob/main/",
		"https://gitlab.com/g/p/-/jobs/artifacts/main/raw/",
		"https://bitbucket.org/w/r/src/main/",
		"https://bitbucket.example.com/projects/P/repos/r/browse/",
		"https://dev.azure.com/org/proj/_git/repo?path=/",
		"https://gerrit.example.com/gitiles/p/+/refs/heads/main/",
		"https://gitea.example.com/o/r/src/branch/main/",
		"https://app.harness.io/ng/account/acc/module/code/repos/r/files/main/~/",
		"https://storage.cloud.google.com/bucket/",
		"https://bucket.s3.eu-west-1.amazonaws.com/",
		"https://acme.blob.core.windows.net/container/",
		"https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r/browse/refs/heads/main/--/",
	} {
		for _, attack := range []string{
			"../x", "./x", "a/..", "%2e%2e/x", "%2E./x", ".%2e/x", "a/%2e/x", "..%2fx", "a%2f..%2fx", "..%5cx", `a\..\x`,
			"%252e%252e/x", "%25252e%25252e%25252fx", "a/%2e%2e%2f%2e%2e%2fuser", "%zz/%2e%2e/x",
			"%" + strings.Repeat("25", 9) + "2e",
		} {
			u := prefix + attack
			i, ok := all.For(u)
			if !ok {
				continue // not even a URL
			}
			if p, err := i.Parse(u); err == nil || !errors.Is(err, apierr.Input) {
				t.Errorf("Parse(%q) = %+v, %v, want an input error", u, p, err)
			}
		}
		if strings.Contains(prefix, "bitbucket") {
			if _, err := all.All(scm.KindBitbucketCloud)[0].Parse("https://bitbucket.org/w/r/src/main/x?at=%2e%2e%2fy"); !errors.Is(err, apierr.Input) {
				t.Errorf("a dot segment in the query's ref is accepted: %v", err)
			}
		}
		if i, _ := all.For(prefix); i == nil {
			t.Errorf("no integration for %s", prefix)
		} else if p, err := i.Parse(prefix + "..a/b..c/...x"); err != nil || p.Path != "..a/b..c/...x" {
			t.Errorf("a harmless name below %s is refused: %v", prefix, err)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{"integrations: {github: [{host: ghe.example.com}]}", "needs apiBaseUrl or rawBaseUrl: set apiBaseUrl: https://ghe.example.com/api/v3"},
		{"integrations: {github: [{host: ghe.example.com, rawBaseUrl: https://ghe.example.com/raw, token: x}]}", "credentials but no apiBaseUrl"},
		{"integrations: {github: [{host: 'https://github.com'}]}", "not a host name"},
		{"integrations: {gitlab: [{retry: {maxRetries: 11}}]}", "expected 0 to 10"},
		{"integrations: {bitbucketCloud: [{clientId: x}]}", "belong together"},
		{"integrations: {azure: [{credentials: [{clientId: x}]}]}", "expected exactly one of"},
		{"integrations: {awsS3: [{accessKeyId: x}]}", "belong together"},
		{"integrations: {gerrit: [{baseUrl: https://x}]}", "host"},
		{"backend: {reading: {allow: [{host: 'https://x'}]}}", "a scheme and a path do not belong here"},
		{"backend: {reading: {allow: [{host: 'x:0'}]}}", "expected a port or a range"},
		{"backend: {reading: {allow: [{host: 'x:9-1'}]}}", "expected a port or a range"},
		{"backend: {reading: {allow: [{host: 'x', paths: [a]}]}}", "does not start with a slash"},
		{"backend: {reading: {allow: [{host: '::1'}]}}", "in brackets"},
		{"backend: {reading: {allow: [{host: '*'}]}}", "expected a host name"},
	} {
		c, err := config.Parse("app-config.yaml", []byte(tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = scm.ReadConfig(c)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "app-config.yaml:1:") {
			t.Errorf("%s\n got %v\nwant %q with a position", tt.yaml, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	all := integrations(f, everyKind)
	for _, seed := range []string{
		"https://github.com/acme/shop/blob/main/x%2e%2e/y", "https://gitlab.com/g/p/-/blob/main/x", "https://dev.azure.com/o/p/_git/r?path=%2Fx",
		"https://gerrit.example.com/gitiles/p/+/master/x", "https://app.harness.io/ng/account/acc/module/code/repos/r/files/main/~/x",
		"https://s3.amazonaws.com/b/k", "https://eu-west-1.console.aws.amazon.com/codesuite/codecommit/repositories/r/browse/x/--/y",
		"https://gitea.example.com/o/r/src/branch/main/x", "https://bitbucket.example.com/projects/P/repos/r/browse/x?at=y",
	} {
		f.Add(seed, "../x.yaml")
	}
	f.Fuzz(func(t *testing.T, rawURL, ref string) {
		i, ok := all.For(rawURL)
		if !ok {
			return
		}
		i.EditURL(rawURL)
		p, err := i.Parse(rawURL)
		if err != nil {
			return
		}
		for segment := range strings.SplitSeq(p.Repository+"/"+p.Path, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("Parse(%q) let a dot segment through: %+v", rawURL, p)
			}
		}
		resolved, err := i.ResolveURL(rawURL, ref)
		if err != nil || resolved == ref {
			return
		}
		if same, _ := all.SameRepository(rawURL, resolved); !same {
			t.Fatalf("ResolveURL(%q, %q) = %q, which is another repository", rawURL, ref, resolved)
		}
	})
}
