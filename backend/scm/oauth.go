package scm

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// An oauthToken is a token of the client credentials grant, kept until shortly
// before it ends. It is safe for concurrent use.
type oauthToken struct {
	mu      sync.Mutex
	token   string
	expires time.Time
}

// get returns the token as a credential named id. A renewal holds up the other
// callers, which need its result anyway.
func (t *oauthToken) get(ctx context.Context, h host, address, id string, as Credential, form url.Values) (Credential, error) {
	return t.getWith(ctx, h, address, id, as, func() (url.Values, error) { return form, nil })
}

// getWith is get with a form that is made when it is needed.
func (t *oauthToken) getWith(ctx context.Context, h host, address, id string, as Credential, form func() (url.Values, error)) (Credential, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == "" || !time.Now().Before(t.expires) {
		var answer struct {
			AccessToken string      `json:"access_token"`
			ExpiresIn   json.Number `json:"expires_in"`
		}
		values, err := form()
		if err != nil {
			return Credential{}, err
		}
		if err := h.postForm(ctx, as, address, values, &answer); err != nil {
			return Credential{}, err
		}
		seconds, _ := answer.ExpiresIn.Int64()
		t.token, t.expires = answer.AccessToken, time.Now().Add(time.Duration(max(seconds-60, 0))*time.Second)
	}
	c := BearerCredential(t.token)
	c.ID = id
	return c, nil
}

// postForm asks for a token. The address is one of the integration's own or of
// its identity provider; as is set on this request only.
func (h host) postForm(ctx context.Context, as Credential, address string, form url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	response, err := h.clients.For(h.Integration, as).Do(req)
	if err != nil {
		return kindOnly(err, address)
	}
	defer response.Body.Close()
	return decodeAnswer(response, address, as, out)
}
