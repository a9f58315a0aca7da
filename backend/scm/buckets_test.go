package scm_test

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/scm/awss3"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

// bucketKind is one kind of bucket, with its address of a key in bucket "docs".
type bucketKind struct {
	name    string
	yaml    string
	host    string
	handler func(scmtest.Buckets) http.Handler
	url     string
}

var bucketKinds = []bucketKind{
	{
		name: "s3", host: "minio.example.com", url: "https://minio.example.com/docs/",
		yaml:    "integrations: {awsS3: [{endpoint: https://minio.example.com, accessKeyId: AKIATEST, secretAccessKey: s, s3ForcePathStyle: true}]}",
		handler: func(b scmtest.Buckets) http.Handler { return scmtest.NewS3(b, "AKIATEST") },
	},
	{
		name: "gcs", host: "storage.googleapis.com", url: "https://storage.cloud.google.com/docs/",
		yaml:    "{}",
		handler: func(b scmtest.Buckets) http.Handler { return scmtest.NewGCS(b, "") },
	},
	{
		name: "azure blob with a key", host: "acme.blob.core.windows.net", url: "https://acme.blob.core.windows.net/docs/",
		yaml: "integrations: {azureBlobStorage: [{accountName: acme, accountKey: " + base64.StdEncoding.EncodeToString([]byte("key")) + "}]}",
		handler: func(b scmtest.Buckets) http.Handler {
			return scmtest.NewAzureBlob(b, func(q map[string][]string) bool { return len(q["sig"]) == 1 && q["sp"][0] == "rl" && q["ss"][0] == "b" })
		},
	},
	{
		name: "azure blob with a connection string", host: "acme.blob.core.windows.net", url: "https://acme.blob.core.windows.net/docs/",
		yaml: "integrations: {azureBlobStorage: [{connectionString: 'BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature=sv=2022&sig=x%3D'}]}",
		handler: func(b scmtest.Buckets) http.Handler {
			return scmtest.NewAzureBlob(b, func(q map[string][]string) bool { return len(q["sig"]) == 1 && q["sig"][0] == "x=" })
		},
	},
}

func (k bucketKind) reader(t *testing.T, b scmtest.Buckets) (*scm.Mux, *scmtest.Network) {
	t.Helper()
	network := scmtest.NewNetwork()
	network.Handle(k.host, k.handler(b))
	m := reader(t, integrations(t, k.yaml), scm.Options{
		Factories: []scm.ReaderFactory{awss3.Readers}, Log: slog.New(slog.DiscardHandler),
		Clients: scm.NewClients(scm.ClientOptions{Transport: network, RequestsPerSecond: 1000, Burst: 1000}),
	})
	return m, network
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	for _, k := range bucketKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m, _ := k.reader(t, scmtest.Buckets{"docs": {"a/x y.yaml": "one", "a/b/c.yaml": "two", "a/": "", "a/d.yaml": "three", "ab/no.yaml": "no"}})
			response, err := m.ReadURL(t.Context(), k.url+"a/x%20y.yaml", scm.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if content, err := response.Bytes(); string(content) != "one" || response.ETag == "" || response.LastModified.IsZero() {
				t.Errorf("%q, %v, %+v", content, err, response)
			}
			if _, err := m.ReadURL(t.Context(), k.url+"a/x%20y.yaml", scm.ReadOptions{ETag: response.ETag}); !errors.Is(err, apierr.NotModified) {
				t.Errorf("with the etag: %v", err)
			}
			if _, err := m.ReadURL(t.Context(), k.url+"none", scm.ReadOptions{}); !errors.Is(err, apierr.NotFound) {
				t.Errorf("no object: %v", err)
			}
			tree, err := m.ReadTree(t.Context(), k.url+"a", scm.TreeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			dir, err := tree.Extract(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"x y.yaml": "one", "b/c.yaml": "two", "d.yaml": "three"} {
				if content, err := os.ReadFile(dir + "/" + name); string(content) != want {
					t.Errorf("%s: %q, %v", name, content, err)
				}
			}
			if _, err := m.ReadTree(t.Context(), k.url+"a", scm.TreeOptions{ETag: tree.ETag}); !errors.Is(err, apierr.NotModified) {
				t.Errorf("tree with its etag: %v", err)
			}
			if result, err := m.Search(t.Context(), k.url+"a/d.yaml", scm.SearchOptions{}); err != nil || len(result.Files) != 1 {
				t.Errorf("search: %v, %v", result, err)
			}
			result, err := m.Search(t.Context(), k.url+"a/*", scm.SearchOptions{})
			if k.name == "gcs" {
				if err != nil || len(result.Files) != 4 || result.Files[3].URL != k.url+"a/x%20y.yaml" {
					t.Errorf("prefix search: %+v, %v", result, err)
				}
			} else if !errors.Is(err, apierr.Input) {
				t.Errorf("glob: %v", err)
			}
		})
	}
}

// The signature reaches Amazon's own addresses, whose hosts the integration does
// not list one by one.
func TestS3AtAmazon(t *testing.T) {
	t.Parallel()
	network := scmtest.NewNetwork()
	inner := scmtest.NewS3(scmtest.Buckets{"docs": {"a.yaml": "one"}}, "AKIATEST")
	network.Handle("docs.s3.eu-west-1.amazonaws.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/docs" + r.URL.Path
		inner.ServeHTTP(w, r)
	}))
	m := reader(t, integrations(t, "integrations: {awsS3: [{accessKeyId: AKIATEST, secretAccessKey: s}]}"), scm.Options{
		Factories: []scm.ReaderFactory{awss3.Readers}, Clients: scm.NewClients(scm.ClientOptions{Transport: network}),
	})
	for _, url := range []string{"https://docs.s3.eu-west-1.amazonaws.com/a.yaml", "https://s3.eu-west-1.amazonaws.com/docs/a.yaml"} {
		if content, err := read(t, m, url); content != "one" {
			t.Errorf("%s: %q, %v", url, content, err)
		}
	}
}

// SEC-48: neither a URL nor the key of an object reaches another prefix, bucket
// or place on disk.
func TestSEC48_KeysStayWithinTheirPrefix(t *testing.T) {
	t.Parallel()
	for _, k := range bucketKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m, network := k.reader(t, scmtest.Buckets{
				"docs":   {"a/ok": "ok", "a/../secret": "x", "secret": "secret", "ab/secret": "secret"},
				"secret": {"key": "secret"},
			})
			for _, path := range []string{"../secret/key", "a/../secret", "a/%2e%2e/secret", "a/%252e%252e/secret", "a%2f..%2fsecret", `a\..\secret`, "..%5csecret/key"} {
				if content, err := read(t, m, k.url+path); !errors.Is(err, apierr.Input) {
					t.Errorf("%s: %q, %v", path, content, err)
				}
			}
			if asked := network.Requests(); len(asked) != 0 {
				t.Errorf("the host was asked for %s", asked[0].URL)
			}
			// Other ways to write a bucket stay in the key's part of the address.
			for _, path := range []string{"docs@secret/key", "secret:key", "%2Fsecret%2Fkey", "?prefix=secret", "s3%3A%2F%2Fsecret%2Fkey"} {
				if content, err := read(t, m, k.url+path); err == nil {
					t.Errorf("%s: read %q", path, content)
				}
			}
			tree, err := m.ReadTree(t.Context(), k.url+"a", scm.TreeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for f, err := range tree.Files(t.Context()) {
				if err != nil {
					if !strings.Contains(err.Error(), `".." in its name`) {
						t.Errorf("key with dots: %v", err)
					}
					break
				}
				names = append(names, f.Path)
			}
			if slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, "secret") }) {
				t.Errorf("files: %q", names)
			}
			if _, err := tree.Extract(t.Context(), ""); !errors.Is(err, apierr.Input) {
				t.Errorf("extract: %v", err)
			}
		})
	}
}
