package proxy

import (
	"errors"
	"fmt"
	"strings"
)

// Extensions is what modules add to the plugin. What is wrong with an endpoint keeps the backend
// from starting.
type Extensions struct {
	endpoints map[string]Endpoint
	paths     map[string]string // by normal form
	errs      []error
}

// AddEndpoint adds an endpoint for requests below path, such as "/pagerduty". An endpoint of
// app-config.yaml with the same path takes its place, so that operators have the last word.
//
//	e := proxy.NewEndpoint("https://api.pagerduty.com")
//	e.AllowedMethods = []string{"GET"}
//	x.AddEndpoint("/pagerduty", e)
func (x *Extensions) AddEndpoint(path string, e Endpoint) {
	segments, err := segmentsOf(path)
	if err == nil {
		err = e.Validate()
	}
	normal := strings.Join(segments, "/")
	if other, twice := x.paths[normal]; twice && err == nil {
		err = fmt.Errorf("is added twice, also as %s", other)
	}
	if err != nil {
		x.errs = append(x.errs, fmt.Errorf("proxy endpoint %q: %w", path, err))
		return
	}
	if x.endpoints == nil {
		x.endpoints, x.paths = map[string]Endpoint{}, map[string]string{}
	}
	x.endpoints[path], x.paths[normal] = e, path
}

// with returns the endpoints of code and configuration together.
func (x *Extensions) with(configured map[string]Endpoint) map[string]Endpoint {
	all, taken := map[string]Endpoint{}, map[string]bool{}
	for path, e := range configured {
		all[path] = e
		segments, _ := segmentsOf(path) // it was looked at when the configuration was read
		taken[strings.Join(segments, "/")] = true
	}
	for normal, path := range x.paths {
		if !taken[normal] {
			all[path] = x.endpoints[path]
		}
	}
	return all
}

// warnings are about endpoints from code that are valid.
func (x *Extensions) warnings() (out []string) {
	for _, path := range sortedKeys(x.endpoints) {
		e := x.endpoints[path]
		for _, n := range e.notices() {
			out = append(out, fmt.Sprintf("proxy endpoint %q: %s: %s", path, n.at, n.text))
		}
	}
	return out
}

func (x *Extensions) err() error { return errors.Join(x.errs...) }
