package client_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/signals/client"
)

func ExampleClient() {
	events := &backendtest.Events{} // in a plugin: the injected backend.Events
	signals := client.New(events)
	err := signals.Publish(context.Background(), client.Signal{
		Recipients: client.Users("user:default/alice"),
		Channel:    "builds",
		Message:    map[string]any{"action": "finished", "build": 42},
	})
	fmt.Println(err)
	fmt.Printf("%s\n", events.Published(client.Topic)[0].Payload)
	// Output:
	// <nil>
	// {"recipients":{"type":"user","entityRef":"user:default/alice"},"channel":"builds","message":{"action":"finished","build":42}}
}

func TestPublishRefusesWhatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]client.Signal{
		"no recipients":  {Channel: "c", Message: 1},
		"nobody":         {Recipients: client.Users(), Channel: "c", Message: 1},
		"an empty ref":   {Recipients: client.Users(""), Channel: "c", Message: 1},
		"no channel":     {Recipients: client.Everybody(), Message: 1},
		"a long channel": {Recipients: client.Everybody(), Channel: strings.Repeat("x", 256), Message: 1},
		"no JSON":        {Recipients: client.Everybody(), Channel: "c", Message: func() {}},
	} {
		events := &backendtest.Events{}
		if err := client.New(events).Publish(t.Context(), s); err == nil || len(events.Published()) > 0 {
			t.Errorf("%s: published", name)
		}
	}
}
