package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/notifications/client"
)

func ExampleClient() {
	// In a plugin: the injected backend.Clients and backend.Auth.
	clients, auth := plugin(), backendtest.Auth("builds")

	notifications := client.New(clients, auth.Own())
	sent, err := notifications.Send(context.Background(), client.Request{
		Recipients: client.Entities("component:default/petstore").Except("user:default/bob"),
		Payload: client.Payload{
			Title: "Build 42 failed", Link: "/catalog/default/component/petstore",
			Severity: client.High, Topic: "builds", Scope: "petstore build",
		},
	})
	fmt.Println(len(sent), sent[0].User, err)
	// Output:
	// 1 user:default/alice <nil>
}

// plugin stands in for the notifications plugin: whatever is sent is for alice.
func plugin() backendtest.Clients {
	return backendtest.Clients{"notifications": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"id":"1","user":"user:default/alice","created":"2026-11-24T12:00:00.000Z","origin":"plugin:builds","payload":{"title":"Build 42 failed"}}]`)
	})}
}

func TestErrorsOfTheClient(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[{"id":`) }))
	t.Cleanup(server.Close)
	if _, err := client.At(server.URL, http.DefaultClient).Send(t.Context(), client.Request{Recipients: client.Everybody()}); err == nil {
		t.Error("half an answer is taken for a whole one")
	}
}
