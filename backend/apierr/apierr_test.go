package apierr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
)

func TestBody(t *testing.T) {
	t.Parallel()
	db := errors.New(`ERROR: relation "final_entities" does not exist (SQLSTATE 42P01)`)
	notFound := apierr.NotFound.New("no entity %s", "component:default/x")
	for _, tt := range []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"a kind decides name and status", notFound, 404, `{"name":"NotFoundError","message":"no entity component:default/x"}`},
		{"context in front belongs to the message", fmt.Errorf("stitch: %w", notFound), 404, `{"name":"NotFoundError","message":"stitch: no entity component:default/x"}`},
		{"a cause with a kind is told and nested", apierr.Authentication.Wrap(apierr.Input.New("Missing session cookie"), "Refresh failed"), 401,
			`{"name":"AuthenticationError","message":"Refresh failed; caused by InputError: Missing session cookie","cause":{"name":"InputError","message":"Missing session cookie"}}`},
		{"a cause without a kind is not told", apierr.Conflict.Wrap(db, "The location already exists"), 409, `{"name":"ConflictError","message":"The location already exists"}`},
		{"not even below context", fmt.Errorf("register: %w", apierr.Conflict.Wrap(db, "exists")), 409, `{"name":"ConflictError","message":"register: exists"}`},
		{"not even below a cause with a kind", apierr.Input.Wrap(apierr.Conflict.Wrap(db, "exists"), "bad"), 400,
			`{"name":"InputError","message":"bad; caused by ConflictError: exists","cause":{"name":"ConflictError","message":"exists"}}`},
		{"of joined errors only the one with a kind speaks", errors.Join(db, notFound), 404, `{"name":"NotFoundError","message":"no entity component:default/x"}`},
		{"of two wrapped ones, too", fmt.Errorf("%w: %w", apierr.NotFound, db), 404, `{"name":"NotFoundError","message":"NotFoundError"}`},
		{"a forwarded error keeps its kind", apierr.Forward(notFound, "read template"), 404,
			`{"name":"NotFoundError","message":"read template; caused by NotFoundError: no entity component:default/x","cause":{"name":"NotFoundError","message":"no entity component:default/x"}}`},
		{"extra members stand beside the others", apierr.Syntax.New("bad").With("status", 400).With("expose", true).With("name", "x"), 400,
			`{"name":"SyntaxError","message":"bad","expose":true,"status":400}`},
		{"a status of its own", apierr.Status(418).New("teapot"), 418, `{"name":"Error","message":"teapot"}`},
		{"a status out of range is 500", apierr.NewKind("Odd", 42).New("x"), 500, `{"name":"Odd","message":"x"}`},
		{"markup is not escaped", apierr.Input.New("<a> & 'b'"), 400, `{"name":"InputError","message":"<a> & 'b'"}`},
		{"percent signs without arguments are text", apierr.Input.New("100%"), 400, `{"name":"InputError","message":"100%"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := apierr.Render(tt.err, false)
			if got.Status != tt.status || string(got.Object) != tt.want || got.LogID != "" {
				t.Errorf("got %d %s (log id %q)\nwant %d %s", got.Status, got.Object, got.LogID, tt.status, tt.want)
			}
		})
	}
}

func TestAnErrorWithoutKindIsHiddenBehindALogID(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("password=hunter2"), fmt.Errorf("query: %w", errors.New("hunter2")), apierr.Forward(errors.New("hunter2"), "x")} {
		got := apierr.Render(err, true)
		if got.Status != 500 || !regexp.MustCompile(`^[0-9a-f]{20}$`).MatchString(got.LogID) {
			t.Fatalf("got %d, log id %q", got.Status, got.LogID)
		}
		want := `{"name":"Error","message":"An internal error occurred logId=` + got.LogID + `"}`
		if string(got.Object) != want {
			t.Errorf("got %s, want %s", got.Object, want)
		}
	}
}

func TestKindsAreFoundAtAnyDepth(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("a: %w", apierr.Input.Wrap(fmt.Errorf("b: %w", apierr.NotFound.New("c")), "d"))
	if !errors.Is(err, apierr.NotFound) || !errors.Is(err, apierr.Input) || errors.Is(err, apierr.Conflict) {
		t.Error("errors.Is does not find exactly the kinds in the chain")
	}
	if k, ok := apierr.KindOf(err); !ok || k != apierr.Input || apierr.StatusOf(err) != 400 {
		t.Errorf("the outermost kind is %v, want InputError", k)
	}
	if got, want := err.Error(), "a: d; caused by NotFoundError: b: c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if apierr.KindByName("ConflictError", 0) != apierr.Conflict || apierr.KindByName("Other", 418).Status() != 418 {
		t.Error("KindByName does not find kinds by name")
	}
}

func TestStacksAreForDevelopment(t *testing.T) {
	t.Parallel()
	err := apierr.NotFound.New("x")
	var o struct{ Stack string }
	if json.Unmarshal(apierr.Render(err, true).Object, &o); !strings.HasPrefix(o.Stack, "NotFoundError: x\n    at ") || !strings.Contains(o.Stack, "TestStacksAreForDevelopment") {
		t.Errorf("the stack is %q", o.Stack)
	}
	if strings.Contains(string(apierr.Render(err, false).Object), "stack") {
		t.Error("a stack is shown outside of development")
	}
}

func ExampleKind_Wrap() {
	err := apierr.Authentication.Wrap(apierr.Input.New("Missing session cookie"), "Refresh failed")
	fmt.Println(err)
	fmt.Println(errors.Is(err, apierr.Authentication), errors.Is(err, apierr.Input))
	fmt.Println(string(apierr.Render(err, false).Body("GET", "/oidc/refresh")))
	// Output:
	// Refresh failed; caused by InputError: Missing session cookie
	// true true
	// {"error":{"name":"AuthenticationError","message":"Refresh failed; caused by InputError: Missing session cookie","cause":{"name":"InputError","message":"Missing session cookie"}},"request":{"method":"GET","url":"/oidc/refresh"},"response":{"statusCode":401}}
}
