package backendtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// count is what is under test: it counts the names in events until ctx is done.
func count(ctx context.Context, in backend.Events, names map[string]int) {
	for e, err := range in.Subscribe(ctx, "counter", "user.created") {
		if err == nil {
			names[string(e.Payload)]++
		}
	}
}

// What is published can be looked at, and what is delivered has been handled.
func ExampleEvents() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var events backendtest.Events
	names := map[string]int{}
	go count(ctx, &events, names)

	err := events.Deliver(ctx, backend.Event{Topic: "user.created", Payload: []byte(`"alice"`)})
	fmt.Println(names, err)

	err = events.Publish(ctx, "user.welcomed", "alice")
	for _, e := range events.Published("user.welcomed") {
		fmt.Println(e.Topic, string(e.Payload), err)
	}
	// Output:
	// map["alice":1] <nil>
	// user.welcomed "alice" <nil>
}

func TestEventsComeAgainIfTheLoopIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events backendtest.Events
		var seen []string
		loop := func(leave bool) {
			defer func() { _ = recover() }()
			for e := range events.Subscribe(t.Context(), "s", "a") {
				seen = append(seen, string(e.Payload))
				if leave {
					panic("no")
				}
			}
		}
		go loop(true)
		synctest.Wait()
		for _, p := range []string{"1", "2"} {
			if err := events.PublishEvent(t.Context(), backend.Event{Topic: "a", Payload: []byte(p)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		go loop(false)
		if err := events.Deliver(t.Context(), backend.Event{Topic: "a", Payload: []byte("3")}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(seen, " "); got != "1 1 2 3" {
			t.Errorf("seen %s", got)
		}
		if n := len(events.Published()); n != 3 {
			t.Errorf("%d events were published", n)
		}
	})
}

func TestDeliverSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events backendtest.Events
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		event := backend.Event{Topic: "a", Payload: []byte("1")}
		if err := events.Deliver(ctx, event); err == nil || err.Error() != "deliver event on a: nobody subscribes to it: context deadline exceeded" {
			t.Errorf("got %v", err)
		}
		go func() {
			for range events.Subscribe(t.Context(), "slow", "a") {
				time.Sleep(time.Hour)
			}
		}()
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := events.Deliver(ctx, event); err == nil || err.Error() != "deliver event on a: subscription slow has not handled it: context deadline exceeded" {
			t.Errorf("got %v", err)
		}
		if err := events.Deliver(t.Context(), event); err != nil {
			t.Error(err)
		}
		if err := events.Publish(t.Context(), "a", make(chan int)); err == nil {
			t.Error("a payload without a JSON form is published")
		}
	})
}

// Values end when the test says so.
func ExampleCache() {
	ctx := context.Background()
	var clock backendtest.Clock
	cache := backendtest.Cache{Clock: &clock}
	_ = cache.Set(ctx, "Bergen", []byte("rain"), 10*time.Minute)
	_ = cache.Set(ctx, "Oslo", []byte("snow"), 0)

	clock.Advance(10 * time.Minute)
	_, ok, err := cache.Get(ctx, "Bergen")
	fmt.Println(ok, err)
	fmt.Println(cache.Keys())
	// Output:
	// false <nil>
	// [Oslo]
}

func TestCacheKeepsCopies(t *testing.T) {
	t.Parallel()
	var cache backendtest.Cache
	value := []byte("rain")
	_ = cache.Set(t.Context(), "Bergen", value, time.Hour)
	value[0] = 'R'
	got, ok, err := cache.Get(t.Context(), "Bergen")
	if string(got) != "rain" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", got, ok, err)
	}
	got[0] = 'R'
	if again, _, _ := cache.Get(t.Context(), "Bergen"); string(again) != "rain" {
		t.Errorf("got %q", again)
	}
	if err := cache.Delete(t.Context(), "Bergen"); err != nil || len(cache.Keys()) != 0 {
		t.Errorf("%v, and %q are left", err, cache.Keys())
	}
}

type parcel struct {
	To string `json:"to" minLength:"1"`
}

type receipt struct {
	Number string `json:"number"`
}

func send(_ context.Context, call backend.ActionCall[parcel]) (receipt, error) {
	if call.Input.To == "nowhere" {
		return receipt{}, apierr.NotFound.New("no such place")
	}
	return receipt{"1 for " + call.Input.To}, nil
}

// What registers actions and what invokes them meet without a backend.
func ExampleActions() {
	var actions backendtest.Actions
	actions.Of("parcels").Register(backend.NewAction(backend.ActionOptions{
		Name: "send", Title: "Send a parcel", Description: "Sends a parcel to a place.",
	}, send))

	ctx := context.Background()
	out, err := actions.Invoke(ctx, alice, "parcels:send", json.RawMessage(`{"to":"Bergen"}`), nil)
	fmt.Println(string(out), err)
	_, err = actions.Invoke(ctx, alice, "parcels:send", json.RawMessage(`{"to":""}`), nil)
	fmt.Println(errors.Is(err, apierr.Input))
	fmt.Println(len(actions.Invoked()), "invocations")
	// Output:
	// {"number":"1 for Bergen"} <nil>
	// true
	// 2 invocations
}

// only lets one caller see actions that need a permission.
type only string

// Allowed implements backend.ActionPermissions.
func (o only) Allowed(_ context.Context, c backend.Credentials, _ string) (bool, error) {
	u, ok := c.User()
	return ok && u.Ref == string(o), nil
}

func TestActionsThatNeedAPermission(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		who  string
		want int
		kind apierr.Kind
	}{
		{"user:default/alice", 2, apierr.Kind{}},
		{"user:default/bob", 1, apierr.NotFound},
	} {
		actions := backendtest.Actions{Permissions: only(tt.who)}
		for name, permission := range map[string]string{"send": "parcels.send", "track": ""} {
			actions.Of("parcels").Register(backend.NewAction(backend.ActionOptions{
				Name: name, Title: "t", Description: "d", VisibilityPermission: permission,
			}, send))
		}
		list, err := actions.List(t.Context(), alice)
		if err != nil || len(list) != tt.want {
			t.Errorf("%s may: %d actions, %v, want %d", tt.who, len(list), err, tt.want)
		}
		_, err = actions.Invoke(t.Context(), alice, "parcels:send", json.RawMessage(`{"to":"Bergen"}`), nil)
		if ok := tt.want == 2; ok != (err == nil) || !ok && !errors.Is(err, tt.kind) {
			t.Errorf("%s may: %v", tt.who, err)
		}
	}
}
