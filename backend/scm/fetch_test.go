package scm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dns is a resolver whose answers a test decides, one list per lookup.
type dns struct {
	answers map[string][]string
	lookups atomic.Int32
}

func (d *dns) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n := int(d.lookups.Add(1)) - 1
	answers, ok := d.answers[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr(answers[min(n, len(answers)-1)])}, nil
}

// reader makes a Mux for the test and closes it at its end.
func reader(t testing.TB, is *scm.Integrations, opts scm.Options) *scm.Mux {
	t.Helper()
	opts.WorkingDirectory = t.TempDir()
	m, err := scm.NewReader(is, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func allow(hosts ...string) scm.Options {
	var o scm.Options
	for _, h := range hosts {
		o.Reading.Allow = append(o.Reading.Allow, scm.AllowEntry{Host: h})
	}
	return o
}

func serve(t testing.TB, h http.HandlerFunc) (server *httptest.Server, port string) {
	server = httptest.NewServer(h)
	t.Cleanup(server.Close)
	u, _ := url.Parse(server.URL)
	return server, u.Port()
}

func read(t testing.TB, r scm.Reader, rawURL string) (string, error) {
	t.Helper()
	response, err := r.ReadURL(t.Context(), rawURL, scm.ReadOptions{})
	if err != nil {
		return "", err
	}
	content, err := response.Bytes()
	return string(content), err
}

func TestFetch(t *testing.T) {
	t.Parallel()
	modified := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a.yaml":
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Last-Modified", modified.Format(http.TimeFormat))
			if r.Header.Get("If-None-Match") == `"v1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprintf(w, "kind: Component # %s", r.Header.Get("Authorization"))
		case "/busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	})
	m := reader(t, integrations(t, "{}"), allow("127.0.0.1:"+port))

	response, err := m.ReadURL(t.Context(), server.URL+"/a.yaml", scm.ReadOptions{Token: "users-own"})
	if err != nil {
		t.Fatal(err)
	}
	content, err := response.Bytes()
	if err != nil || string(content) != "kind: Component # Bearer users-own" || response.ETag != `"v1"` || !response.LastModified.Equal(modified) {
		t.Errorf("got %q, %v, etag %s, modified %s", content, err, response.ETag, response.LastModified)
	}
	for _, tt := range []struct {
		path string
		opts scm.ReadOptions
		kind error
		text string
	}{
		{path: "/a.yaml", opts: scm.ReadOptions{ETag: `"v1"`}, kind: apierr.NotModified},
		{path: "/a.yaml", opts: scm.ReadOptions{LastModifiedAfter: modified}, kind: apierr.NotModified},
		{path: "/a.yaml", opts: scm.ReadOptions{MaxBytes: 5}, kind: apierr.Input, text: "larger than the limit of 5 bytes"},
		{path: "/none", kind: apierr.NotFound, text: "404 Not Found"},
		{path: "/busy", kind: apierr.Internal, text: "429 Too Many Requests (rate limit exceeded)"},
		{path: "/broken", kind: apierr.Internal, text: "500 Internal Server Error"},
	} {
		response, err := m.ReadURL(t.Context(), server.URL+tt.path, tt.opts)
		if err == nil {
			_, err = response.Bytes()
		}
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %+v: %v", tt.path, tt.opts, err)
		}
	}
	result, err := m.Search(t.Context(), server.URL+"/none", scm.SearchOptions{})
	if err != nil || len(result.Files) != 0 {
		t.Errorf("search of nothing: %v, %v", result, err)
	}
	result, err = m.Search(t.Context(), server.URL+"/a.yaml", scm.SearchOptions{})
	if err != nil || len(result.Files) != 1 || result.ETag != `"v1"` || result.Files[0].URL != server.URL+"/a.yaml" {
		t.Errorf("search of one file: %+v, %v", result, err)
	}
	if _, err := m.Search(t.Context(), server.URL+"/*.yaml", scm.SearchOptions{}); !errors.Is(err, apierr.Input) {
		t.Errorf("search with a glob: %v", err)
	}
	if _, err := m.ReadTree(t.Context(), server.URL+"/", scm.TreeOptions{}); !errors.Is(err, apierr.NotImplemented) {
		t.Errorf("tree: %v", err)
	}
	_, err = m.ReadURL(t.Context(), "https://elsewhere.example/x", scm.ReadOptions{})
	want := "Reading from 'https://elsewhere.example/x' is not allowed. You may need to configure an integration for the target host, or add it to the configured list of allowed hosts at 'backend.reading.allow'"
	if !errors.Is(err, apierr.NotAllowed) || err.Error() != want {
		t.Errorf("unlisted host: %v", err)
	}
}

// SEC-73: paths match at segment boundaries, after normalisation.
func TestSEC73_AllowedPathsMatchAtSegmentBoundaries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		entry scm.AllowEntry
		url   string
		want  bool
	}{
		{scm.AllowEntry{Host: "example.com"}, "https://example.com/x", true},
		{scm.AllowEntry{Host: "example.com"}, "http://EXAMPLE.com:80/x", true},
		{scm.AllowEntry{Host: "example.com"}, "https://example.com:8443/x", false},
		{scm.AllowEntry{Host: "example.com"}, "https://example.com:80/x", false},
		{scm.AllowEntry{Host: "example.com"}, "https://sub.example.com/x", false},
		{scm.AllowEntry{Host: "example.com"}, "https://example.com@evil.example/x", false},
		{scm.AllowEntry{Host: "example.com"}, "https://user:pw@example.com/x", false},
		{scm.AllowEntry{Host: "example.com"}, "ftp://example.com/x", false},
		{scm.AllowEntry{Host: "example.com"}, "https://example.com.evil.example/x", false},
		{scm.AllowEntry{Host: "*.example.com"}, "https://a.b.example.com/x", true},
		{scm.AllowEntry{Host: "*.example.com"}, "https://example.com/x", false},
		{scm.AllowEntry{Host: "*.example.com"}, "https://evilexample.com/x", false},
		{scm.AllowEntry{Host: "example.com:8443"}, "https://example.com:8443/x", true},
		{scm.AllowEntry{Host: "example.com:8443"}, "https://example.com/x", false},
		{scm.AllowEntry{Host: "example.com:8000-8010"}, "https://example.com:8010/x", true},
		{scm.AllowEntry{Host: "example.com:8000-8010"}, "https://example.com:8011/x", false},
		{scm.AllowEntry{Host: "*.example.com:8000-8010"}, "https://a.example.com:8000/x", true},
		{scm.AllowEntry{Host: "[2001:db8::1]:8080"}, "http://[2001:db8:0::1]:8080/x", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public/a", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/publications", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/PUBLIC", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public/../secret", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/x/../public/a", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public/%2e%2e/secret", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public/%252e%252e/secret", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public/..%2fsecret", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, `https://example.com/public/..\secret`, false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com//public/a", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/public%2Fa", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public"}}, "https://example.com/p%75blic/a", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public/"}}, "https://example.com/public", false},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/public/"}}, "https://example.com/public/a", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/a", "/b/c.yaml"}}, "https://example.com/b/c.yaml", true},
		{scm.AllowEntry{Host: "example.com", Paths: []string{"/a", "/b/c.yaml"}}, "https://example.com/b", false},
	} {
		// The resolver knows no host, so an allowed URL ends in a failed lookup.
		m := reader(t, integrations(t, "{}"), scm.Options{
			Reading:  scm.ReadingConfig{Allow: []scm.AllowEntry{tt.entry}},
			Resolver: &dns{},
		})
		ctx, cancel := context.WithCancel(t.Context())
		if strings.Contains(tt.url, "2001:") {
			cancel() // an address needs no lookup
		}
		_, err := m.ReadURL(ctx, tt.url, scm.ReadOptions{})
		cancel()
		if got := !errors.Is(err, apierr.NotAllowed) && !errors.Is(err, apierr.Input); got != tt.want {
			t.Errorf("%+v %s: allowed %t, want %t (%v)", tt.entry, tt.url, got, tt.want, err)
		}
	}
}

// SEC-23: a listed host must not be a door to one that is not.
func TestSEC23_RedirectsAreCheckedAtEveryHop(t *testing.T) {
	t.Parallel()
	var reached, leaked atomic.Int32
	secret, secretPort := serve(t, func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		fmt.Fprint(w, "secret")
	})
	var to atomic.Value
	code := http.StatusFound
	server, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n := r.URL.Query().Get("n"); n != "" {
			var hops int
			fmt.Sscan(n, &hops)
			if hops == 0 {
				fmt.Fprint(w, "end of "+r.Header.Get("Authorization"))
				return
			}
			http.Redirect(w, r, fmt.Sprintf("/hop?n=%d", hops-1), code)
			return
		}
		w.Header().Set("Location", to.Load().(string))
		w.WriteHeader(code)
	})
	resolver := &dns{answers: map[string][]string{
		"listed.test": {"127.0.0.1"}, "wild.test": {"127.0.0.1"}, "a.wild.test": {"127.0.0.1"},
	}}
	opts := allow("127.0.0.1:"+port, "listed.test:"+secretPort, "*.wild.test:"+secretPort)
	opts.Resolver = resolver
	m := reader(t, integrations(t, "{}"), opts)

	for _, tt := range []struct{ name, to string }{
		{"another port of the same host", secret.URL + "/x"},
		{"the host by another name", "http://localhost:" + port + "/x"},
		{"an IPv6-mapped address", "http://[::ffff:127.0.0.1]:" + secretPort + "/x"},
		{"a decimal address", "http://2130706433:" + secretPort + "/x"},
		{"the metadata service", "http://169.254.169.254/latest/meta-data/"},
		{"another scheme", "file:///etc/passwd"},
		{"user information", "http://user@listed.test:" + secretPort + "/x"},
		{"a wildcard's host with a private address", "http://a.wild.test:" + secretPort + "/x"},
		{"a backslash", `http://127.0.0.1:` + port + `\@listed.test/`},
	} {
		to.Store(tt.to)
		if content, err := read(t, m, server.URL+"/start"); err == nil {
			t.Errorf("redirect to %s: read %q", tt.name, content)
		} else if !errors.Is(err, apierr.NotAllowed) && !errors.Is(err, apierr.Input) {
			t.Errorf("redirect to %s: %v", tt.name, err)
		}
	}
	if reached.Load() != 0 {
		t.Fatalf("the server behind the redirects was reached %d times", reached.Load())
	}

	// A listed target is fine, but the token stays behind.
	to.Store("http://listed.test:" + secretPort + "/x")
	response, err := m.ReadURL(t.Context(), server.URL+"/start", scm.ReadOptions{Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	response.Close()
	if reached.Load() != 1 || leaked.Load() != 0 {
		t.Errorf("reached %d, leaked %d", reached.Load(), leaked.Load())
	}
	// Five hops on one host keep the token, six are too many.
	response, err = m.ReadURL(t.Context(), server.URL+"/hop?n=5", scm.ReadOptions{Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := response.Bytes(); string(content) != "end of Bearer t" {
		t.Errorf("after five hops: %q", content)
	}
	if _, err := read(t, m, server.URL+"/hop?n=6"); !errors.Is(err, apierr.Input) || !strings.Contains(err.Error(), "more than 5 times") {
		t.Errorf("after six hops: %v", err)
	}
}

// SEC-23: the address that is dialed is the one that is checked.
func TestSEC23_PrivateAddressesAreRefusedWhenDialing(t *testing.T) {
	t.Parallel()
	_, port := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "private") })
	for _, tt := range []struct {
		name, host, address string
		explicit            bool
		want                bool
	}{
		{name: "loopback through a wildcard", host: "a.wild.test", address: "127.0.0.1"},
		{name: "loopback, host listed", host: "wiki.test", address: "127.0.0.1", explicit: true, want: true},
		{name: "IPv6-mapped loopback", host: "a.wild.test", address: "::ffff:127.0.0.1"},
		{name: "IPv6 loopback", host: "a.wild.test", address: "::1"},
		{name: "NAT64 of a private address", host: "a.wild.test", address: "64:ff9b::7f00:1"},
		{name: "6to4 of a private address", host: "a.wild.test", address: "2002:7f00:1::"},
		{name: "private 10", host: "a.wild.test", address: "10.0.0.1"},
		{name: "private 172", host: "a.wild.test", address: "172.31.0.1"},
		{name: "private 192", host: "a.wild.test", address: "192.168.0.1"},
		{name: "carrier-grade NAT", host: "a.wild.test", address: "100.64.0.1"},
		{name: "link-local", host: "a.wild.test", address: "169.254.1.1"},
		{name: "unique local", host: "a.wild.test", address: "fd00::1"},
		{name: "link-local v6", host: "a.wild.test", address: "fe80::1"},
		{name: "unspecified", host: "a.wild.test", address: "0.0.0.0"},
		{name: "unspecified v6", host: "a.wild.test", address: "::"},
		{name: "multicast", host: "a.wild.test", address: "224.0.0.1"},
		{name: "documentation", host: "a.wild.test", address: "203.0.113.1"},
		{name: "metadata, even of a listed name", host: "wiki.test", address: "169.254.169.254", explicit: true},
		{name: "mapped metadata, even of a listed name", host: "wiki.test", address: "::ffff:169.254.169.254", explicit: true},
		{name: "Azure's wire server", host: "a.wild.test", address: "168.63.129.16"},
	} {
		opts := allow("*.wild.test:" + port)
		if tt.explicit {
			opts = allow(tt.host + ":" + port)
		}
		opts.Resolver = &dns{answers: map[string][]string{tt.host: {tt.address}}}
		content, err := read(t, reader(t, integrations(t, "{}"), opts), "http://"+tt.host+":"+port+"/")
		if got := err == nil && content == "private"; got != tt.want {
			t.Errorf("%s: %q, %v", tt.name, content, err)
		}
		if !tt.want && !errors.Is(err, apierr.NotAllowed) {
			t.Errorf("%s: %v, want NotAllowedError", tt.name, err)
		}
	}
}

// SEC-23: a name that changes its address between two looks has one look only.
func TestSEC23_DNSRebindingFindsNoSecondLookup(t *testing.T) {
	t.Parallel()
	_, port := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "private") })
	// Public at first (an address of the test network nobody answers at would
	// hang, so the order is turned round): the first answer decides alone.
	resolver := &dns{answers: map[string][]string{"a.rebind.test": {"10.1.2.3", "127.0.0.1"}}}
	opts := allow("*.rebind.test:" + port)
	opts.Resolver = resolver
	m := reader(t, integrations(t, "{}"), opts)
	for range 3 {
		if content, err := read(t, m, "http://a.rebind.test:"+port+"/"); !errors.Is(err, apierr.NotAllowed) {
			t.Fatalf("%q, %v", content, err)
		}
	}
	if n := resolver.lookups.Load(); n != 3 {
		t.Errorf("%d lookups for 3 reads, want one each: what is checked must be what is dialed", n)
	}
}

// An allow entry for an IPv6 host must not lose to one for a name.
func TestAllowListedPrivateAddress(t *testing.T) {
	t.Parallel()
	server, port := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fixture") })
	m := reader(t, integrations(t, "{}"), allow("127.0.0.1:"+port))
	if content, err := read(t, m, server.URL+"/catalog/root.yaml"); content != "fixture" {
		t.Errorf("%q, %v", content, err)
	}
	m = reader(t, integrations(t, "{}"), allow("127.0.0.1"))
	if _, err := read(t, m, server.URL+"/catalog/root.yaml"); !errors.Is(err, apierr.NotAllowed) {
		t.Errorf("an entry without a port matched a URL with one: %v", err)
	}
}
