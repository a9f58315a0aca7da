// Package scmtest has fakes of the hosts that package scm reads from.
//
// A [Network] takes the place of all connections. Handlers for the hosts' APIs
// are put on it by host name; each serves the repositories of a [Store]:
//
//	store := scmtest.NewStore()
//	store.Commit("acme/shop", "main", map[string]string{"catalog-info.yaml": "kind: Component"})
//	network := scmtest.NewNetwork()
//	network.Handle("api.github.com", scmtest.NewGitHub(store))
//	clients := scm.NewClients(scm.ClientOptions{Transport: network})
//
// The fakes answer in the forms that the hosts document: addresses, pages, rate
// limit headers, error bodies, conditional requests. They are safe for concurrent
// use and have no goroutines.
package scmtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// A Network is an http.RoundTripper that knows hosts by name and opens no socket.
// It remembers what it was asked.
type Network struct {
	mu       sync.Mutex
	hosts    map[string]http.Handler
	requests []*http.Request
}

// NewNetwork returns a network without hosts.
func NewNetwork() *Network { return &Network{hosts: map[string]http.Handler{}} }

// Handle puts a handler at a host, with its port if it is not the default one.
func (n *Network) Handle(host string, h http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = h
}

// RoundTrip asks the host's handler; an unknown host answers 421.
func (n *Network) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.requests = append(n.requests, req)
	h := n.hosts[req.URL.Host]
	n.mu.Unlock()
	if h == nil {
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no host "+r.URL.Host, http.StatusMisdirectedRequest)
		})
	}
	served := req.Clone(req.Context())
	served.RequestURI = req.URL.RequestURI()
	served.Host = req.URL.Host
	if served.Body == nil {
		served.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, served)
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	response := w.Result()
	response.Request = req
	return response, nil
}

// Requests returns everything that was asked so far, in order.
func (n *Network) Requests() []*http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*http.Request(nil), n.requests...)
}

// Forget clears the list of requests.
func (n *Network) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = nil
}
