package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A program that runs elsewhere lists services, and looks one up. A plugin passes
// Discovery.BaseURL and Auth.TokenFor instead of the two functions.
func Example() {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/catalog/entities" {
			io.WriteString(w, `[{"metadata":{"name":"petstore"}}]`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error":{"name":"NotFoundError","message":"no entity"},"response":{"statusCode":404}}`)
	}))
	defer backend.Close()

	ctx := context.Background()
	c := client.New(
		func(context.Context) (string, error) { return backend.URL + "/api/catalog", nil },
		func(context.Context) (string, error) { return "the token", nil },
		nil)
	services := client.Selection{Filter: []string{"kind=component,spec.type=service"}, Fields: []string{"metadata.name"}}
	for e, err := range c.Entities(ctx, services) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Name())
	}
	_, err := c.ByRef(ctx, entity.Ref{Kind: "component", Name: "nope"})
	fmt.Println(errors.Is(err, apierr.NotFound))
	// Output:
	// petstore
	// true
}
