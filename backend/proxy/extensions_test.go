package proxy_test

import (
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// adding is a module that adds endpoints.
func adding(id string, add func(x *proxy.Extensions)) backend.Feature {
	return backend.NewModule("proxy", id, fx.Invoke(add))
}

// Operators have the last word: an endpoint of app-config.yaml takes the place of one from code.
func TestEndpointsFromCode(t *testing.T) {
	t.Parallel()
	code, operator := newTarget(t, nil), newTarget(t, nil)
	b := start(t, operator, "/Both: TARGET", adding("code", func(x *proxy.Extensions) {
		x.AddEndpoint("/both", proxy.NewEndpoint(code.URL))
		x.AddEndpoint("/code/", proxy.NewEndpoint(code.URL))
	}))
	for path, to := range map[string]*target{"/both/x": operator, "/code/x": code} {
		if res, _ := ask(t, b.As(alice), "GET", b.URL+"/api/proxy"+path, ""); res.StatusCode != 200 || to.last(t).RequestURI != "/x" {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if res, _ := ask(t, nil, "GET", b.URL+"/api/proxy"+path, ""); res.StatusCode != 401 {
			t.Errorf("%s without credentials: %d", path, res.StatusCode)
		}
	}
}

func TestMistakesInCode(t *testing.T) {
	t.Parallel()
	for want, add := range map[string]func(x *proxy.Extensions){
		`proxy endpoint "/x": target: proxy target is not a valid URL`: func(x *proxy.Extensions) { x.AddEndpoint("/x", proxy.NewEndpoint("nothing")) },
		`proxy endpoint "/": the path of an endpoint needs`:            func(x *proxy.Extensions) { x.AddEndpoint("/", proxy.NewEndpoint("http://h")) },
		`proxy endpoint "/X": is added twice, also as /x`: func(x *proxy.Extensions) {
			x.AddEndpoint("/x", proxy.NewEndpoint("http://h"))
			x.AddEndpoint("/X", proxy.NewEndpoint("http://h"))
		},
		`unknown credentials policy ''`: func(x *proxy.Extensions) { x.AddEndpoint("/x", proxy.Endpoint{Target: "http://h"}) },
	} {
		if _, err := backendtest.Boot(t, "", proxy.Plugin(), adding("code", add)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// What does less than its name says is told of endpoints from code, too.
func TestWarningsAboutCode(t *testing.T) {
	t.Parallel()
	_, log := logged(t, "backend: {database: {client: better-sqlite3, connection: ':memory:'}}", adding("code", func(x *proxy.Extensions) {
		e := proxy.NewEndpoint("http://h")
		e.AllowedHeaders = []string{"Cookie"}
		x.AddEndpoint("/x", e)
	}))
	if want := "allowedHeaders[0]: Cookie is not passed on"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %s:\n%s", want, log)
	}
}
