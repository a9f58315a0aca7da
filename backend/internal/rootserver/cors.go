package rootserver

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/backend/config"
)

// CORS is backend.cors. Without the section there is no CORS at all.
type CORS struct {
	Origin               List    `config:"origin" doc:"origins that may call, as globs; without this key every origin may"`
	Methods              List    `config:"methods" doc:"methods that preflights allow"`
	AllowedHeaders       List    `config:"allowedHeaders" doc:"headers that preflights allow; those that are asked for if absent"`
	ExposedHeaders       List    `config:"exposedHeaders" doc:"headers of answers that scripts may read"`
	Credentials          bool    `config:"credentials" doc:"whether cookies may be sent"`
	MaxAge               *MaxAge `config:"maxAge" doc:"how long browsers may keep the answer to a preflight: seconds, or a duration"`
	PreflightContinue    bool    `config:"preflightContinue" doc:"pass preflights on to the plugins"`
	OptionsSuccessStatus int     `config:"optionsSuccessStatus" doc:"the status of preflights, 204"`
}

// SetDefaults implements config.Defaulter.
func (c *CORS) SetDefaults() { c.OptionsSuccessStatus = http.StatusNoContent }

// Validate implements config.Validator.
func (c *CORS) Validate() error {
	var errs []error
	for i, o := range c.Origin {
		if !doublestar.ValidatePattern(glob(strings.ToLower(o))) {
			errs = append(errs, config.At("origin["+strconv.Itoa(i)+"]", fmt.Errorf("%q is not a valid pattern", o)))
		}
	}
	if c.OptionsSuccessStatus < 200 || c.OptionsSuccessStatus > 299 {
		errs = append(errs, config.At("optionsSuccessStatus", errors.New("expected a status between 200 and 299")))
	}
	return errors.Join(errs...)
}

// MaxAge is a number of seconds.
type MaxAge int

// UnmarshalConfig implements config.Unmarshaler.
func (m *MaxAge) UnmarshalConfig(c *config.Config) error {
	n, ok := whole(c.Value(""))
	if !ok {
		var d config.Duration
		if err := c.Decode("", &d); err != nil {
			return err
		}
		n = int(time.Duration(d) / time.Second)
	}
	if n < 0 {
		return errors.New("must not be negative")
	}
	*m = MaxAge(n)
	return nil
}

// glob makes ** mean the same as *: neither crosses a slash.
func glob(pattern string) string {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return pattern
}

// Allows reports whether pages of an origin may call: all, if backend.cors.origin is absent.
func (c *CORS) Allows(origin string) bool { return c.Origin == nil || c.allows(origin) }

func (c *CORS) allows(origin string) bool {
	if origin == "" {
		return false
	}
	origin = strings.ToLower(origin)
	for _, p := range c.Origin {
		p = strings.ToLower(p)
		if p == origin {
			return true
		}
		if ok, err := doublestar.Match(glob(p), origin); ok && err == nil {
			return true
		}
	}
	return false
}

// apply sets the headers for r, and reports whether the request is a preflight that
// has been answered. An origin that is not allowed gets no header and no answer: the
// request goes on, and the browser keeps the result from the page.
func (c *CORS) apply(w http.ResponseWriter, r *http.Request) bool {
	if c == nil {
		return false
	}
	h := w.Header()
	origin := r.Header.Get("Origin")
	if c.Origin == nil {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		if !c.allows(origin) {
			return false
		}
		h.Set("Access-Control-Allow-Origin", origin)
		addVary(h, "Origin")
	}
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.ExposedHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposedHeaders, ","))
	}
	if r.Method != http.MethodOptions {
		return false
	}
	methods := "GET,HEAD,PUT,PATCH,POST,DELETE"
	if len(c.Methods) > 0 {
		methods = strings.Join(c.Methods, ",")
	}
	h.Set("Access-Control-Allow-Methods", methods)
	if c.AllowedHeaders != nil {
		h.Set("Access-Control-Allow-Headers", strings.Join(c.AllowedHeaders, ","))
	} else {
		addVary(h, "Access-Control-Request-Headers")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	if c.MaxAge != nil {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(*c.MaxAge)))
	}
	if c.PreflightContinue {
		return false
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(c.OptionsSuccessStatus)
	return true
}

// addVary adds a name to the Vary header, which is one line of distinct names.
func addVary(h http.Header, name string) {
	old := h["Vary"]
	if len(old) == 0 {
		h["Vary"] = []string{name}
		return
	}
	joined := strings.Join(old, ", ")
	for el := range strings.SplitSeq(joined, ",") {
		if el = strings.TrimSpace(el); el == "*" || strings.EqualFold(el, name) {
			return
		}
	}
	h["Vary"] = []string{joined + ", " + name}
}
