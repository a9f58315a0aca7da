package proxy

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/callboard-dev/callboard/backend/config"
)

// harmless are options of upstream's proxy that change nothing that anybody could miss; they
// are named in the log.
func harmless() map[string]string {
	return map[string]string{
		"logLevel":              "has no effect: the proxy logs as plugin proxy, see backend.logger.overrides",
		"logger":                "has no effect: the proxy logs as plugin proxy, see backend.logger.overrides",
		"preserveHeaderKeyCase": "has no effect: names of headers have no case",
		"reviveRequestBody":     "has no effect: nothing reads a body before the proxy does",
	}
}

// refused are options of upstream's proxy that are not supported. A boolean that says what
// happens anyway is accepted.
func refused() map[string]string {
	const rewrites = "is not supported: Location does not pass unless allowedHeaders says so, and then as it is"
	const cookie = "is not supported: cookies do not pass"
	const outside = "is not supported: requests stay below the target's path; pathRewrite changes what follows it"
	const code = "is not supported: it takes code; extend the portal with a plugin of your own"
	return map[string]string{
		"followRedirects":     "is not supported: a redirect would take the headers of this endpoint to another place",
		"hostRewrite":         rewrites,
		"autoRewrite":         rewrites,
		"protocolRewrite":     rewrites,
		"cookieDomainRewrite": cookie,
		"cookiePathRewrite":   cookie,
		"prependPath":         outside,
		"ignorePath":          outside,
		"router":              outside,
		"context":             "is not supported: the endpoint's key is the path",
		"pathFilter":          "is not supported: the endpoint's key is the path",
		"method":              "is not supported: the request's method is kept",
		"forward":             "is not supported: an endpoint has one target",
		"localAddress":        "is not supported: the system chooses the address",
		"agent":               code,
		"ssl":                 "is not supported: certificates of targets are checked against those of the system",
		"ca":                  "is not supported: certificates of targets are checked against those of the system",
		"toProxy":             "is not supported: HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment name a proxy",
		"selfHandleResponse":  code,
		"buffer":              code,
		"logProvider":         code,
		"plugins":             code,
		"ejectPlugins":        code,
		"on":                  code,
		"onError":             code,
		"onProxyReq":          code,
		"onProxyReqWs":        code,
		"onProxyRes":          code,
		"onOpen":              code,
		"onClose":             code,
	}
}

// usual are the values of refused options that ask for what happens anyway.
func usual() map[string]bool {
	return map[string]bool{"followRedirects": false, "autoRewrite": false, "prependPath": true, "ignorePath": false,
		"toProxy": false, "selfHandleResponse": false, "cookieDomainRewrite": false, "cookiePathRewrite": false}
}

// unknownOptions is the error for the options of an endpoint that nobody knows, or that are
// refused.
func unknownOptions(c *config.Config) error {
	var errs []error
	no, fine, noop := refused(), usual(), harmless()
	for _, key := range c.Keys("") {
		at := quoted("", key)
		if reason := no[key]; reason != "" {
			if value, ok := c.Value(at).(bool); !ok || value != fine[key] || !has(fine, key) {
				errs = append(errs, config.At(at, errors.New(reason)))
			}
		}
	}
	for _, ke := range c.UnknownKeys("", reflect.TypeFor[Endpoint]()) {
		if key := keyOf(c, ke); noop[key] == "" && no[key] == "" {
			errs = append(errs, ke)
		}
	}
	return errors.Join(errs...)
}

// keyOf is the option of the endpoint c that an error is about, "" if it is about one deeper.
func keyOf(c *config.Config, ke *config.KeyError) string {
	for _, key := range c.Keys("") {
		if c.Sub(quoted("", key)).Path() == ke.Path {
			return key
		}
	}
	return ""
}

// unused are notices about the options of an endpoint that have no effect.
func unused(c *config.Config) (out []notice) {
	noop := harmless()
	for _, key := range c.Keys("") {
		if reason := noop[key]; reason != "" {
			out = append(out, notice{quoted("", key), reason})
		}
	}
	return out
}

func has(m map[string]bool, key string) bool { _, ok := m[key]; return ok }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// unknownKey is the error for a key directly below proxy.
func unknownKey(key string) error {
	near := config.Suggest(key, []string{"endpoints", "skipInvalidProxies", "reviveConsumedRequestBodies"})
	if near == "" {
		return errors.New("unknown key; endpoints stand below proxy.endpoints")
	}
	return fmt.Errorf("unknown key; did you mean %s?", near)
}
