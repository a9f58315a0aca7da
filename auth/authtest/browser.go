package authtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// A Browser does what the frontend and its user do: it opens the popup, follows it to the
// identity provider and back, reads the message that the popup posts, refreshes, and signs
// out. It has the cookies of one user, and is not safe for concurrent use.
type Browser struct {
	// Page is the origin of the frontend: app.baseUrl.
	Page string

	backend string
	base    string
	client  *http.Client
}

// NewBrowser returns the browser of a user without cookies. backendURL is where the backend
// listens, baseURL what it calls itself: backend.baseUrl of its configuration.
func NewBrowser(backendURL, baseURL string) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it has none without options
	}
	return &Browser{
		Page: "http://localhost:3000", backend: strings.TrimRight(backendURL, "/"), base: strings.TrimRight(baseURL, "/"),
		client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// A Result is what the frontend gets to see.
type Result struct {
	// Status is that of the last answer.
	Status int
	// Header and Body are those of the last answer: the page of the popup, or a document.
	Header http.Header
	Body   string
	// Session is set if all went well.
	Session *Session
	// Error is set otherwise.
	Error *Failure
}

// Session is the session JSON (contract/auth.md section 4).
type Session struct {
	Profile struct {
		Email       string `json:"email"`
		DisplayName string `json:"displayName"`
		Picture     string `json:"picture"`
	} `json:"profile"`
	ProviderInfo struct {
		AccessToken      string `json:"accessToken"`
		IDToken          string `json:"idToken"`
		Scope            string `json:"scope"`
		ExpiresInSeconds int    `json:"expiresInSeconds"`
	} `json:"providerInfo"`
	BackstageIdentity struct {
		Token            string `json:"token"`
		ExpiresInSeconds int    `json:"expiresInSeconds"`
		Identity         struct {
			Type                string   `json:"type"`
			UserEntityRef       string   `json:"userEntityRef"`
			OwnershipEntityRefs []string `json:"ownershipEntityRefs"`
		} `json:"identity"`
	} `json:"backstageIdentity"`
}

// Failure is an error as the wire has it.
type Failure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// SignIn signs in with a popup. idp is what the user does at the identity provider: it opens
// the address and returns where the browser is sent in the end; OIDC.SignIn is one.
func (b *Browser) SignIn(provider, env string, idp func(address string) (*url.URL, error)) (Result, error) {
	address, res, err := b.Start(provider, env)
	if err != nil || address == "" {
		return res, err
	}
	back, err := idp(address)
	if err != nil {
		return res, fmt.Errorf("at the identity provider: %w", err)
	}
	return b.Callback(back)
}

// Start opens the popup and returns the address at the identity provider that it is sent
// to. It is empty, with a Result, if the backend refuses.
func (b *Browser) Start(provider, env string) (string, Result, error) {
	q := url.Values{"env": {env}, "flow": {"popup"}, "origin": {b.Page}}
	res, err := b.do(http.MethodGet, "/api/auth/"+provider+"/start?"+q.Encode())
	if err != nil || res.Status != http.StatusFound {
		return "", res, err
	}
	return res.Header.Get("Location"), res, nil
}

// Callback is the popup's way back from the identity provider.
func (b *Browser) Callback(back *url.URL) (Result, error) {
	path, ours := strings.CutPrefix(back.String(), b.base)
	if !ours {
		return Result{}, fmt.Errorf("the browser was sent to %s, which is not below %s", back, b.base)
	}
	res, err := b.do(http.MethodGet, path)
	if err != nil || res.Status != http.StatusOK {
		return res, err
	}
	message, err := message(res.Body)
	if err != nil {
		return res, err
	}
	var m struct {
		Type     string
		Response *Session
		Error    *Failure
	}
	if err := json.Unmarshal([]byte(message), &m); err != nil {
		return res, fmt.Errorf("the message of the popup: %w", err)
	}
	res.Session, res.Error = m.Response, m.Error
	if m.Type != "authorization_response" || (res.Session == nil) == (res.Error == nil) {
		return res, fmt.Errorf("the popup posts %s", message)
	}
	return res, nil
}

// message is what the page of the popup posts as its result: the percent-encoded text of
// its first decodeURIComponent.
func message(page string) (string, error) {
	_, rest, found := strings.Cut(page, "decodeURIComponent('")
	encoded, _, ended := strings.Cut(rest, "'")
	if !found || !ended {
		return "", errors.New("the page of the popup has no message")
	}
	return url.PathUnescape(encoded)
}

// Refresh asks for a session as the frontend does when it is loaded.
func (b *Browser) Refresh(provider, env string) (Result, error) {
	return b.session(http.MethodGet, "/api/auth/"+provider+"/refresh?optional&env="+url.QueryEscape(env))
}

// SignOut ends the session.
func (b *Browser) SignOut(provider, env string) (Result, error) {
	return b.session(http.MethodPost, "/api/auth/"+provider+"/logout?env="+url.QueryEscape(env))
}

// Cookies are those that the browser sends to a provider's routes, by name.
func (b *Browser) Cookies(provider string) map[string]string {
	u, err := url.Parse(b.backend + "/api/auth/" + provider + "/handler/frame")
	if err != nil {
		panic(err) // the backend has answered there
	}
	out := map[string]string{}
	for _, c := range b.client.Jar.Cookies(u) {
		out[c.Name] = c.Value
	}
	return out
}

func (b *Browser) session(method, path string) (Result, error) {
	res, err := b.do(method, path)
	if err == nil && res.Status == http.StatusOK && res.Body != "" {
		res.Session = &Session{}
		err = json.Unmarshal([]byte(res.Body), res.Session)
	}
	return res, err
}

func (b *Browser) do(method, path string) (Result, error) {
	r, err := http.NewRequest(method, b.backend+path, nil)
	if err != nil {
		return Result{}, err
	}
	r.Header.Set("X-Requested-With", "XMLHttpRequest")
	resp, err := b.client.Do(r)
	if err != nil {
		return Result{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Result{}, err
	}
	res := Result{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	if resp.StatusCode >= 400 {
		var doc struct{ Error *Failure }
		_ = json.Unmarshal(body, &doc) // other answers have no Error
		res.Error = doc.Error
	}
	return res, nil
}
