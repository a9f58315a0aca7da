package tokens

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// cookiePath is where the frontend asks for the cookie, below a plugin's mount.
const cookiePath = "/.backstage/auth/v1/cookie"

// cookieKept is how long a cookie must still last to be kept.
const cookieKept = 5 * time.Minute

// CookieRoutes adds the routes that set and clear the cookie for users who load pages of
// the plugin without a script that could send a token (contract/auth.md 7.4). External
// is the plugin's external base URL, app the address of the frontend, which may be empty.
func (b *Barrier) CookieRoutes(mux *httpx.Mux, external, app string) error {
	at, err := newCookieAttributes(external, app)
	if err != nil {
		return err
	}
	get := func(w http.ResponseWriter, r *http.Request) error {
		user, err := httpx.UserOf(r)
		if err != nil {
			return err
		}
		now := b.checker.now()
		if old, err := b.cookie(r); err == nil {
			// Not if another user has signed in since: the cookie must follow.
			if u, ok := old.User(); ok && u.Ref == user.Ref && old.Expires().After(now.Add(cookieKept)) {
				return answerExpiry(w, old.Expires())
			}
		}
		token, expires, err := Limit(httpx.CallerOf(r))
		if err != nil {
			return err
		}
		w.Header().Add("Set-Cookie", at.set(token, expires))
		return answerExpiry(w, expires)
	}
	clear := func(w http.ResponseWriter, r *http.Request) error {
		for _, c := range at.clear() {
			w.Header().Add("Set-Cookie", c)
		}
		return httpx.Empty(w, http.StatusNoContent)
	}
	if err := mux.Handle("GET "+cookiePath, get); err != nil {
		return err
	}
	return mux.Handle("DELETE "+cookiePath, clear)
}

// A Cookie is the cookie of the users of one plugin, for plugins that serve pages.
type Cookie struct {
	barrier    *Barrier
	attributes cookieAttributes
}

// Cookie returns the cookie of the plugin; external and app are those of CookieRoutes.
func (b *Barrier) Cookie(external, app string) (*Cookie, error) {
	at, err := newCookieAttributes(external, app)
	return &Cookie{b, at}, err
}

// User returns the user whose cookie r has, and false if r has none.
func (c *Cookie) User(r *http.Request) (principal.User, bool, error) {
	creds, err := c.barrier.cookie(r)
	u, ok := creds.User()
	return u, ok, err
}

// Set gives the browser the cookie of the user whose token it is.
func (c *Cookie) Set(ctx context.Context, w http.ResponseWriter, token string) error {
	if h, ok := peek(token); !ok || h.Type != typUser {
		return apierr.Authentication.New("Illegal user token")
	}
	creds, err := c.barrier.checker.Check(ctx, token, c.barrier.plugin, false)
	if err != nil {
		return err
	}
	limited, expires, err := Limit(creds)
	if err != nil {
		return err
	}
	w.Header().Add("Set-Cookie", c.attributes.set(limited, expires))
	return nil
}

// Clear takes the cookie away.
func (c *Cookie) Clear(w http.ResponseWriter) {
	for _, line := range c.attributes.clear() {
		w.Header().Add("Set-Cookie", line)
	}
}

func answerExpiry(w http.ResponseWriter, t time.Time) error {
	return httpx.JSON(w, http.StatusOK, map[string]string{"expiresAt": t.UTC().Format("2006-01-02T15:04:05.000Z")})
}

// cookieAttributes are the same for every user of a plugin.
type cookieAttributes struct {
	host     string
	secure   bool
	sameSite string
}

func newCookieAttributes(external, app string) (cookieAttributes, error) {
	u, err := url.Parse(external)
	if err != nil {
		return cookieAttributes{}, err
	}
	a := cookieAttributes{host: u.Hostname(), sameSite: "Lax"}
	a.secure = u.Scheme == "https" || a.host == "localhost"
	if page, err := url.Parse(app); a.secure && (app == "" || err != nil || !sameSite(u, page)) {
		a.sameSite = "None"
	}
	return a, nil
}

// sameSite reports whether two addresses are of one site, as browsers define it: the
// same scheme and the same registrable domain.
func sameSite(a, b *url.URL) bool {
	if a.Scheme != b.Scheme {
		return false
	}
	ha, hb := strings.ToLower(a.Hostname()), strings.ToLower(b.Hostname())
	if ha == hb {
		return true
	}
	if net.ParseIP(ha) != nil || net.ParseIP(hb) != nil {
		return false
	}
	da, errA := publicsuffix.EffectiveTLDPlusOne(ha)
	db, errB := publicsuffix.EffectiveTLDPlusOne(hb)
	return errA == nil && errB == nil && da == db
}

// set returns the Set-Cookie value. The cookie has no Domain, so that it is only ever
// sent back to the host that has set it.
func (a cookieAttributes) set(token string, expires time.Time) string {
	return cookieName + "=" + token + "; Path=/; Expires=" + expires.UTC().Format(http.TimeFormat) + a.flags()
}

// clear returns the Set-Cookie values that remove the cookie, and one that another
// server may have left for the whole domain.
func (a cookieAttributes) clear() []string {
	gone := "; Path=/; Expires=" + time.Unix(0, 0).UTC().Format(http.TimeFormat) + a.flags()
	return []string{cookieName + "=" + gone, cookieName + "=; Domain=" + a.host + gone}
}

func (a cookieAttributes) flags() string {
	s := "; HttpOnly"
	if a.secure {
		s += "; Secure"
	}
	return s + "; Priority=High; SameSite=" + a.sameSite
}
