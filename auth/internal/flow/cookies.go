package flow

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Cookies writes the cookies of one provider in one environment (contract/auth.md
// section 3). They belong to the host of the callback URL alone.
type Cookies struct {
	provider string
	path     string // <path of the callback URL without /handler/frame>
	host     string
	secure   bool
}

// handlerPath is where the cookies of a flow are sent, below the path of the others.
const handlerPath = "/handler"

// chunk is how many characters of a value one cookie holds.
const chunk = 4000

// maxChunks bounds how much a browser can make this server join.
const maxChunks = 20

// NewCookies returns the cookies of a provider with that callback URL.
func NewCookies(provider string, callback *url.URL) *Cookies {
	p := "/" + strings.TrimLeft(callback.Path, "/")
	if before, ok := strings.CutSuffix(p, "/"+provider+"/handler/frame"); ok {
		p = before + "/" + provider
	} else {
		p = strings.TrimRight(p, "/") + "/" + provider
	}
	return &Cookies{provider: provider, path: p, host: callback.Hostname(), secure: callback.Scheme == "https"}
}

// Path is the path of the cookies that outlive a flow.
func (c *Cookies) Path() string { return c.path }

// A Cookie is one value in the browser.
type Cookie struct {
	name    string
	handler bool // sent to the callback alone
}

// The cookies of a provider.
var (
	Nonce        = Cookie{"nonce", true}
	Sealed       = Cookie{"flow", true}
	RefreshToken = Cookie{"refresh-token", false}
	GrantedScope = Cookie{"granted-scope", false}
)

// Name is the name of the cookie in the browser.
func (c *Cookies) Name(k Cookie) string { return c.provider + "-" + k.name }

// Attributes describes the attributes for a log.
func (c *Cookies) Attributes(appOrigin string) string {
	return strings.TrimPrefix(c.flags(appOrigin), "; ") + "; Path=" + c.path
}

// Get returns the value of a cookie, false if the browser has none.
func (c *Cookies) Get(r *http.Request, k Cookie) (string, bool) {
	name := c.Name(k)
	var joined strings.Builder
	for i := range maxChunks {
		part, err := r.Cookie(name + "-" + strconv.Itoa(i))
		if err != nil {
			break
		}
		joined.WriteString(part.Value)
	}
	value := joined.String()
	if value == "" {
		plain, err := r.Cookie(name)
		if err != nil {
			return "", false
		}
		value = plain.Value
	}
	decoded, err := url.PathUnescape(value)
	if err != nil || decoded == "" {
		return "", false
	}
	return decoded, true
}

// Set sends a cookie that lives for that long, in as many parts as it needs, and removes
// what the browser has of an earlier value with more parts, or fewer. appOrigin is the
// origin of the page that the user signs in to.
func (c *Cookies) Set(w http.ResponseWriter, r *http.Request, k Cookie, value string, life time.Duration, appOrigin string, now time.Time) {
	// Earlier cookies of this name were sent to subdomains, too. The browser would go on
	// to send them along with the new one.
	add(w, c.Name(k)+"=; Max-Age=0; Domain="+c.host+"; Path="+c.path+c.expires(now)+c.flags(appOrigin))
	tail := "; Max-Age=" + strconv.Itoa(int(life/time.Second)) + "; Path=" + c.pathOf(k) + c.expires(now.Add(life)) + c.flags(appOrigin)
	encoded := escape(value)
	kept := map[string]bool{}
	if len(encoded) <= chunk {
		kept[c.Name(k)] = true
		add(w, c.Name(k)+"="+encoded+tail)
	}
	for i := 0; len(encoded) > chunk || i > 0 && encoded != ""; i++ {
		n := min(chunk, len(encoded))
		name := c.Name(k) + "-" + strconv.Itoa(i)
		kept[name] = true
		add(w, name+"="+encoded[:n]+tail)
		encoded = encoded[n:]
	}
	c.remove(w, r, k, kept, appOrigin, now)
}

// Remove makes the browser forget a cookie.
func (c *Cookies) Remove(w http.ResponseWriter, r *http.Request, k Cookie, appOrigin string, now time.Time) {
	add(w, c.gone(c.Name(k), k, appOrigin, now))
	c.remove(w, r, k, map[string]bool{c.Name(k): true}, appOrigin, now)
}

// remove removes the cookies of k that the browser has sent, except for some.
func (c *Cookies) remove(w http.ResponseWriter, r *http.Request, k Cookie, except map[string]bool, appOrigin string, now time.Time) {
	for _, have := range r.Cookies() {
		rest, ok := strings.CutPrefix(have.Name, c.Name(k))
		if !ok || except[have.Name] {
			continue
		}
		if part, isPart := strings.CutPrefix(rest, "-"); rest != "" && (!isPart || !digits(part)) {
			continue
		}
		except[have.Name] = true
		add(w, c.gone(have.Name, k, appOrigin, now))
	}
}

func (c *Cookies) gone(name string, k Cookie, appOrigin string, now time.Time) string {
	return name + "=; Max-Age=0; Path=" + c.pathOf(k) + c.expires(now) + c.flags(appOrigin)
}

func (c *Cookies) pathOf(k Cookie) string {
	if k.handler {
		return c.path + handlerPath
	}
	return c.path
}

func (c *Cookies) expires(t time.Time) string {
	return "; Expires=" + t.UTC().Format(http.TimeFormat)
}

// flags are SameSite=None only where the page of another host calls, and browsers take
// that from secure cookies alone.
func (c *Cookies) flags(appOrigin string) string {
	if !c.secure {
		return "; HttpOnly; SameSite=Lax"
	}
	if app, err := url.Parse(appOrigin); appOrigin != "" && err == nil && !strings.EqualFold(app.Hostname(), c.host) {
		return "; HttpOnly; Secure; SameSite=None"
	}
	return "; HttpOnly; Secure; SameSite=Lax"
}

func add(w http.ResponseWriter, cookie string) { w.Header().Add("Set-Cookie", cookie) }

// escape is encodeURIComponent, less its exceptions.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}
