package rootserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// directive is one part of a Content-Security-Policy.
type directive struct {
	name    string
	sources []string
	drop    bool
}

// CSP is backend.csp, in the order of the file.
type CSP struct{ directives []directive }

// UnmarshalConfig implements config.Unmarshaler.
func (p *CSP) UnmarshalConfig(c *config.Config) error {
	var out CSP
	if v, off := c.Value("").(bool); off && !v {
		for _, d := range defaultCSP() {
			out.directives = append(out.directives, directive{name: d.name, drop: true})
		}
		*p = out
		return nil
	}
	values, ok := c.Value("").(map[string]any)
	if !ok {
		return errors.New("expected directives with their sources")
	}
	for _, key := range c.Keys("") {
		if err := out.add(key, values[key]); err != nil {
			return config.At(key, err)
		}
	}
	*p = out
	return nil
}

// add appends a directive, whose name may be in camel case.
func (p *CSP) add(key string, value any) error {
	name := kebab(key)
	if i := slices.IndexFunc(p.directives, func(d directive) bool { return d.name == name }); i >= 0 {
		return fmt.Errorf("the directive %s is set twice", name)
	}
	switch value {
	case false:
		p.directives = append(p.directives, directive{name: name, drop: true})
		return nil
	case true:
		p.directives = append(p.directives, directive{name: name})
		return nil
	}
	sources, err := words(value)
	if err != nil {
		return fmt.Errorf("%w, or false", err)
	}
	for _, s := range sources {
		if strings.ContainsAny(s, ";,") || !headerSafe(s) {
			return fmt.Errorf("%q cannot be a source", s)
		}
	}
	p.directives = append(p.directives, directive{name: name, sources: sources})
	return nil
}

func kebab(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func defaultCSP() []directive {
	return []directive{
		{name: "default-src", sources: []string{"'self'"}},
		{name: "base-uri", sources: []string{"'self'"}},
		{name: "font-src", sources: []string{"'self'", "https:", "data:"}},
		{name: "frame-ancestors", sources: []string{"'self'"}},
		{name: "img-src", sources: []string{"'self'", "data:"}},
		{name: "object-src", sources: []string{"'none'"}},
		{name: "script-src", sources: []string{"'self'", "'unsafe-eval'"}},
		{name: "script-src-attr", sources: []string{"'none'"}},
		{name: "style-src", sources: []string{"'self'", "https:", "'unsafe-inline'"}},
		{name: "upgrade-insecure-requests"},
	}
}

// Header returns the policy: the defaults, of which a configured directive takes the
// place, and then the other configured ones in their order. It is empty if all are dropped.
func (p CSP) Header() string {
	all := defaultCSP()
	for _, d := range p.directives {
		i := slices.IndexFunc(all, func(e directive) bool { return e.name == d.name })
		switch {
		case d.drop && i >= 0:
			all = slices.Delete(all, i, i+1)
		case d.drop:
		case i >= 0:
			all[i] = d
		default:
			all = append(all, d)
		}
	}
	parts := make([]string, len(all))
	for i, d := range all {
		parts[i] = strings.Join(append([]string{d.name}, d.sources...), " ")
	}
	return strings.Join(parts, ";")
}

// securityHeaders are set on every answer before anything else happens. The slices are
// shared between answers: handlers replace values and never write into them.
type securityHeaders struct {
	names  []string
	values [][]string
}

func newSecurityHeaders(cfg Config) *securityHeaders {
	s := &securityHeaders{}
	add := func(name, value string) {
		if value != "" {
			s.names = append(s.names, http.CanonicalHeaderKey(name))
			s.values = append(s.values, []string{value})
		}
	}
	add("Content-Security-Policy", cfg.CSP.Header())
	add("Referrer-Policy", strings.Join(cfg.Referrer.Policy, ","))
	add("Strict-Transport-Security", "max-age=15552000; includeSubDomains")
	add("X-Content-Type-Options", "nosniff")
	add("X-DNS-Prefetch-Control", "off")
	add("X-Download-Options", "noopen")
	add("X-Frame-Options", "SAMEORIGIN")
	add("X-Permitted-Cross-Domain-Policies", "none")
	add("X-XSS-Protection", "0")
	return s
}

func (s *securityHeaders) set(h http.Header) {
	for i, name := range s.names {
		h[name] = s.values[i][:1:1] // a handler's Add copies instead of writing into the shared slice
	}
}
