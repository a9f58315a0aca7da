package proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the section proxy. Endpoints may also stand directly in it, with keys that begin
// with a slash.
type Config struct {
	Endpoints                   map[string]Endpoint `config:"endpoints" doc:"targets by their path below /api/proxy: the URL of one, or an object"`
	SkipInvalidProxies          bool                `config:"skipInvalidProxies" doc:"leaves endpoints that are not valid out, with a line in the log, instead of not starting"`
	ReviveConsumedRequestBodies bool                `config:"reviveConsumedRequestBodies" doc:"accepted, and without effect: nothing reads a body before the proxy does"`

	// warnings are what the log should say: endpoints that were left out, and options that
	// do not do what they seem to.
	warnings []string
}

// ConfigShapes implements config.Shaper. Any key may stand there if it begins with a slash;
// UnmarshalConfig looks at the others.
func (c *Config) ConfigShapes() []any {
	type plain Config // without this method
	return []any{plain{}, map[string]any{}}
}

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(cfg *config.Config) error {
	if _, ok := cfg.Value("").(map[string]any); !ok {
		return errors.New("expected an object with endpoints")
	}
	out := Config{Endpoints: map[string]Endpoint{}}
	r := reader{cfg: cfg, out: &out, keys: map[string]string{}}
	var errs []error
	errs = append(errs, readFlag(cfg, "skipInvalidProxies", &out.SkipInvalidProxies), readFlag(cfg, "reviveConsumedRequestBodies", &out.ReviveConsumedRequestBodies))
	for _, key := range cfg.Keys("") {
		switch {
		case key == "skipInvalidProxies" || key == "reviveConsumedRequestBodies":
		case key == "endpoints":
			if _, ok := cfg.Value(key).(map[string]any); !ok {
				errs = append(errs, config.At(key, errors.New("expected paths with their targets")))
			}
			for _, path := range cfg.Keys(key) {
				r.read(quoted(key, path), path)
			}
		case strings.HasPrefix(key, "/"):
			r.warn(quoted("", key), "is deprecated: move it below proxy.endpoints")
			r.read(quoted("", key), key)
		default:
			errs = append(errs, config.At(quoted("", key), unknownKey(key)))
		}
	}
	if out.SkipInvalidProxies {
		for _, err := range r.errs {
			out.warnings = append(out.warnings, "left out: "+err.Error())
		}
	} else {
		errs = append(errs, r.errs...)
	}
	*c = out
	return errors.Join(errs...)
}

func readFlag(cfg *config.Config, key string, out *bool) error {
	if !cfg.Has(key) {
		return nil
	}
	return cfg.Decode(key, out)
}

// A reader reads endpoints one by one, because each of them may be left out alone.
type reader struct {
	cfg  *config.Config
	out  *Config
	keys map[string]string // by normal path: where an endpoint stands
	errs []error
}

// read reads the endpoint at a configuration path, for requests below path.
func (r *reader) read(at, path string) {
	var e Endpoint
	err := config.Problems(r.cfg.Decode(at, &e))
	segments, bad := segmentsOf(path)
	normal := strings.Join(segments, "/")
	if bad != nil {
		err = append(err, r.problem(at, bad))
	} else if other, twice := r.keys[normal]; twice {
		err = append(err, r.problem(at, fmt.Errorf("is the same path as %s: paths match in any case", r.cfg.Sub(other).Path())))
	}
	if len(err) > 0 {
		r.errs = append(r.errs, err...)
		return
	}
	r.keys[normal] = at
	r.out.Endpoints[path] = e
	for _, n := range append(e.notices(), unused(r.cfg.Sub(at))...) {
		if !strings.HasPrefix(n.at, "[") {
			n.at = "." + n.at
		}
		r.warn(at+n.at, n.text)
	}
}

func (r *reader) warn(at, text string) {
	r.out.warnings = append(r.out.warnings, r.problem(at, errors.New(text)).Error())
}

// problem is an error about a key, with its place.
func (r *reader) problem(at string, err error) error {
	return &config.KeyError{Path: r.cfg.Sub(at).Path(), Pos: r.cfg.Pos(at), Err: err}
}
