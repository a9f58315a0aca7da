package httpx_test

import (
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// A route decodes, asks, and encodes. What it returns as an error becomes the answer.
func ExampleMux() {
	mux := &httpx.Mux{}
	err := mux.Handle("GET /services/{name}", func(w http.ResponseWriter, r *http.Request) error {
		if name := r.PathValue("name"); name != "checkout" {
			return apierr.NotFound.New("no service %s", name)
		}
		return httpx.JSON(w, http.StatusOK, map[string]string{"name": "checkout"})
	})
	if err != nil {
		fmt.Println(err)
	}
	for _, request := range []string{"GET /services/checkout", "GET /services/a%2Fb?x=1", "POST /services/checkout"} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		fmt.Println(request, w.Code, w.Body)
	}
	// Output:
	// GET /services/checkout 200 {"name":"checkout"}
	// GET /services/a%2Fb?x=1 404 {"error":{"name":"NotFoundError","message":"no service a/b"},"request":{"method":"GET","url":"/services/a%2Fb?x=1"},"response":{"statusCode":404}}
	// POST /services/checkout 404
}

// A route declares its query parameters by reading them; others are refused.
func ExampleQuery() {
	read := func(query string) {
		q := httpx.Query(httptest.NewRequest("GET", "/entities?"+query, nil))
		filter, fields, limit := q.Strings("filter"), q.CSV("fields"), q.Int("limit", 20, httpx.AtLeast(0))
		if err := q.Err(); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(filter, fields, limit)
	}
	read("filter=kind%3Dapi&fields=kind,metadata.name")
	read("limit=many")
	read("filtr=x")
	// Output:
	// [kind=api] [kind metadata.name] 20
	// request/query/limit must be integer
	// Unknown query parameter 'filtr'
}

// A closed body refuses properties that the type does not have.
func ExampleDecodeJSON() {
	r := httptest.NewRequest("POST", "/refresh", strings.NewReader(`{"entityRef":"component:default/a","force":true}`))
	r.Header.Set("Content-Type", "application/json")
	var body struct {
		EntityRef string `json:"entityRef"`
	}
	fmt.Println(httpx.DecodeJSON(r, &body, httpx.Closed()))
	// Output: request/body must NOT have additional properties, found "force"
}

// A list of any length is streamed in little memory.
func ExampleJSONArray() {
	squares := func(n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i*i, nil) {
					return
				}
			}
		}
	}
	w := httptest.NewRecorder()
	if err := httpx.JSONArray(w, http.StatusOK, squares(5)); err != nil {
		fmt.Println(err)
	}
	fmt.Println(w.Body)
	// Output: [0,1,4,9,16]
}

// A guard decides who gets in, and says who calls.
func ExampleGuard() {
	mux := &httpx.Mux{Guard: func(r *http.Request, access httpx.Access) (*http.Request, error) {
		if access == httpx.AllowUnauthenticated {
			return r, nil
		}
		if r.Header.Get("Authorization") != "Bearer secret" {
			return nil, apierr.Authentication.New("Missing credentials")
		}
		return httpx.WithCaller(r, principal.Credentials{Principal: principal.Service{Subject: "external:ci"}}), nil
	}}
	whoami := func(w http.ResponseWriter, r *http.Request) error {
		return httpx.Text(w, http.StatusOK, httpx.CallerOf(r).String())
	}
	if err := mux.Handle("GET /whoami", whoami); err != nil {
		fmt.Println(err)
	}
	if err := mux.Handle("GET /health", whoami, httpx.AllowUnauthenticated); err != nil {
		fmt.Println(err)
	}
	for _, path := range []string{"/health", "/whoami"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code)
	}
	// Output:
	// /health 200
	// /whoami 401
}
