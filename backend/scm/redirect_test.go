package scm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// SEC-23: https never becomes http on the way, also between listed hosts.
func TestSEC23_RedirectsDoNotGiveUpTLS(t *testing.T) {
	t.Parallel()
	var to string
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		fmt.Fprint(w, "end")
	}
	secure, plain := httptest.NewTLSServer(http.HandlerFunc(handler)), httptest.NewServer(http.HandlerFunc(handler))
	t.Cleanup(secure.Close)
	t.Cleanup(plain.Close)
	list, err := newAllowList([]AllowEntry{{Host: "127.0.0.1:1024-65535"}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFetchReader(list, nil)
	t.Cleanup(f.closeIdle)
	f.direct.TLSClientConfig = &tls.Config{RootCAs: secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}

	to = plain.URL + "/end"
	if got, _, err := content(t, f, secure.URL+"/start", ReadOptions{}); !errors.Is(err, apierr.NotAllowed) {
		t.Errorf("https to http: %q, %v", got, err)
	}
	to = secure.URL + "/end"
	if got, _, err := content(t, f, plain.URL+"/start", ReadOptions{}); got != "end" {
		t.Errorf("http to https: %q, %v", got, err)
	}
}

// loopback resolves every name to this machine.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// SEC-23: a configured host may be private, a host that it redirects to may not,
// unless it lies below the configured one.
func TestSEC23_IntegrationsDoNotLeadToPrivateHosts(t *testing.T) {
	t.Parallel()
	var reached, leaked atomic.Int32
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		fmt.Fprint(w, "inner")
	}))
	t.Cleanup(inner.Close)
	port := inner.URL[strings.LastIndexByte(inner.URL, ':')+1:]
	var to string
	forge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusFound)
	}))
	t.Cleanup(forge.Close)
	address := "forge.test" + forge.URL[strings.LastIndexByte(forge.URL, ':'):]
	is, err := NewIntegrations(Config{GitLab: []GitLabConfig{{Host: address, BaseURL: "http://" + address, Token: config.NewSecret("glpat")}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewReader(is, Options{Clients: NewClients(ClientOptions{Resolver: loopback{}})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	file := "http://" + address + "/g/p/-/blob/main/x"

	for _, target := range []string{"http://internal.test:" + port + "/", "http://127.0.0.1:" + port + "/", "http://169.254.169.254/latest/"} {
		to = target
		if got, _, err := content(t, m, file, ReadOptions{}); !errors.Is(err, apierr.NotAllowed) {
			t.Errorf("redirect to %s: %q, %v", target, got, err)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("the private host was reached %d times", reached.Load())
	}
	to = "http://media.forge.test:" + port + "/"
	if got, _, err := content(t, m, file, ReadOptions{}); got != "inner" || leaked.Load() != 0 {
		t.Errorf("redirect below the configured host: %q, %v, leaked %d", got, err, leaked.Load())
	}
}
