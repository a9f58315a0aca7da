// Package apispec holds what a running backend answers against descriptions of its API.
// A Spec is a description; a proxy in front of the backend lets any client go through
// it, and every answer is checked on its way.
package apispec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// A Spec is an OpenAPI description, 3.0 or 3.1. It may be used by several goroutines.
type Spec struct {
	name   string
	prefix string // what paths begin with on the wire and not in the description
	doc    *openapi3.T
	router routers.Router

	mu      sync.Mutex
	covered map[string]bool // "GET /entities 200"
	wrong   map[string]bool // texts of Wrong, and whether they came up
}

// Wrong names a mistake of the description: an answer that differs from it only by
// problems with text in them is right. It has to come up.
func (s *Spec) Wrong(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong[text] = false
}

// excused says whether a problem is a mistake of the description.
func (s *Spec) excused(err error) bool {
	var list openapi3.MultiError
	if !errors.As(err, &list) {
		list = openapi3.MultiError{err}
	}
	var problems []string
	for _, one := range list {
		parts := strings.Split(one.Error(), "\n- at ") // the library sums some up
		problems = append(problems, parts[min(1, len(parts)-1):]...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(problems, func(problem string) bool {
		for text := range s.wrong {
			if strings.Contains(problem, text) {
				s.wrong[text] = true
				return false
			}
		}
		return true
	})
}

// Load reads a description, whose paths are below prefix on the wire. name is used in
// messages.
func Load(name string, data []byte, prefix string) (*Spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("%s is no valid description: %w", name, err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Spec{name: name, prefix: prefix, doc: doc, router: router, covered: map[string]bool{}, wrong: map[string]bool{}}, nil
}

// Published reads the description that a package from npm has in a module as its export
// spec. The module is run with nothing around it: what it imports is not there.
func Published(ctx context.Context, module string) ([]byte, error) {
	const read = `
		const nothing = new Proxy(function () {}, { get: () => nothing, apply: () => nothing });
		const module = { exports: {} };
		const code = require('fs').readFileSync(process.argv[1], 'utf8');
		require('vm').runInNewContext('(function (exports, require, module) {' + code + '\n})', {})(module.exports, () => nothing, module);
		process.stdout.write(JSON.stringify(module.exports.spec));`
	out, err := exec.CommandContext(ctx, "node", "-e", read, module).Output()
	if err != nil {
		return nil, fmt.Errorf("read the description in %s: %w", module, err)
	}
	if !json.Valid(out) {
		return nil, fmt.Errorf("%s has no description", module)
	}
	return out, nil
}

// Name is what messages call the description.
func (s *Spec) Name() string { return s.name }

// Check holds an answer against the description. A request that it has no operation for
// is an error.
func (s *Spec) Check(req *http.Request, status int, header http.Header, body []byte) error {
	path, ok := strings.CutPrefix(req.URL.Path, s.prefix)
	if !ok {
		return nil
	}
	asked := req.Clone(req.Context())
	asked.URL = &url.URL{Scheme: "http", Host: req.Host, Path: path, RawQuery: req.URL.RawQuery}
	route, params, err := s.router.FindRoute(asked)
	if err != nil {
		return fmt.Errorf("%s has no %s %s: %w", s.name, req.Method, path, err)
	}
	described := "default"
	if route.Operation.Responses.Status(status) != nil {
		described = fmt.Sprint(status)
	}
	s.mu.Lock()
	s.covered[route.Method+" "+route.Path+" "+described] = true
	s.mu.Unlock()
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	options.WithCustomSchemaErrorFunc(func(e *openapi3.SchemaError) string {
		return "/" + strings.Join(e.JSONPointer(), "/") + ": " + e.Reason
	})
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route, Options: options},
		Status:                 status, Header: header, Options: options,
	}
	in.SetBodyBytes(body)
	response := route.Operation.Responses.Status(status)
	if response == nil {
		response = route.Operation.Responses.Default()
	}
	if response != nil && len(response.Value.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%s: %s %s answers %d with a body, where there is none: %.200s", s.name, req.Method, path, status, body)
		}
		return nil
	}
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil && !s.excused(err) {
		return fmt.Errorf("%s: %s %s answers %d: %w\n%.400s", s.name, req.Method, path, status, err, body)
	}
	return nil
}

// Uncovered lists the answers of the description that nobody has got yet, as
// "GET /entities 200". Those that stand for all errors count as got: which of them exist
// is not said.
func (s *Spec) Uncovered() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for path, item := range s.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				if id := method + " " + path + " " + status; status != "default" && !s.covered[id] {
					out = append(out, id)
				}
			}
		}
	}
	for text, cameUp := range s.wrong {
		if !cameUp {
			out = append(out, "that is wrong because of "+text)
		}
	}
	slices.Sort(out)
	return out
}

// Proxy returns the address of a proxy in front of the backend at base, which fails the
// test for every answer that one of the descriptions does not allow.
func Proxy(t *testing.T, base string, specs ...*Spec) string {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Accept-Encoding") // so that bodies can be read on the way
		},
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			r.Body.Close()
			r.Body = io.NopCloser(bytes.NewReader(body))
			for _, s := range specs {
				if err := s.Check(r.Request, r.StatusCode, r.Header, body); err != nil {
					t.Error(err)
				}
			}
			return nil
		},
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL
}
