package backend

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/internal/tokens"
)

// UserInfo tells through which entities a user owns things. It is injected into plugins
// and modules.
type UserInfo interface {
	// UserInfo returns what the token of a user says, or else what the auth plugin has
	// noted when the user signed in (contract/auth.md section 8). Answers are remembered
	// for five seconds. Credentials of others than users are an InputError.
	UserInfo(ctx context.Context, c Credentials) (Identity, error)
}

// Identity is a user, and what the user owns things through: the user itself and usually
// the groups that it is in, as full references.
type Identity struct {
	UserRef       string
	OwnershipRefs []string
}

const (
	userInfoKept    = 5 * time.Second
	userInfoMost    = 10_000 // tokens that are remembered
	userInfoTimeout = 15 * time.Second
	userInfoBytes   = 1 << 20
)

// userInfo is the UserInfo of a process.
type userInfo struct {
	clients   *processClients
	discovery Discovery
	now       func() time.Time
	flight    singleflight.Group

	mu    sync.Mutex
	known map[[sha256.Size]byte]knownIdentity
}

type knownIdentity struct {
	Identity
	until time.Time
}

var _ UserInfo = (*userInfo)(nil)

func newUserInfo(p *processClients, d Discovery, now func() time.Time) *userInfo {
	return &userInfo{clients: p, discovery: d, now: now, known: map[[sha256.Size]byte]knownIdentity{}}
}

// UserInfo implements the interface of that name.
func (u *userInfo) UserInfo(ctx context.Context, c Credentials) (Identity, error) {
	user, ok := c.User()
	if !ok {
		return Identity{}, apierr.Input.New("only users own things, not a caller of type '%s'", c.Type())
	}
	if user.Ownership != nil {
		return Identity{UserRef: user.Ref, OwnershipRefs: user.Ownership}, nil
	}
	token, _, err := tokens.Limit(c)
	if err != nil {
		return Identity{}, err
	}
	key := sha256.Sum256([]byte(token))
	if id, ok := u.recall(key); ok {
		return id, nil
	}
	// One request serves all who wait, so it must not end with the first one's.
	asked := u.flight.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), userInfoTimeout)
		defer cancel()
		id, err := u.ask(ctx, token, user.Ref)
		if err == nil {
			u.remember(key, id)
		}
		return id, err
	})
	select {
	case r := <-asked:
		return r.Val.(Identity), r.Err
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
}

func (u *userInfo) recall(key [sha256.Size]byte) (Identity, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	k, ok := u.known[key]
	return k.Identity, ok && u.now().Before(k.until)
}

func (u *userInfo) remember(key [sha256.Size]byte, id Identity) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	if len(u.known) >= userInfoMost {
		for k, v := range u.known {
			if !now.Before(v.until) {
				delete(u.known, k)
			}
		}
		if len(u.known) >= userInfoMost {
			clear(u.known)
		}
	}
	u.known[key] = knownIdentity{id, now.Add(userInfoKept)}
}

// ask calls the auth plugin with the user's own token, which is all that it needs.
func (u *userInfo) ask(ctx context.Context, token, ref string) (Identity, error) {
	base, err := u.discovery.BaseURL("auth")
	if err != nil {
		return Identity{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/userinfo", nil)
	if err != nil {
		return Identity{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: u.clients.transport(base), CheckRedirect: dontFollow}
	res, err := client.Do(req)
	if err != nil {
		return Identity{}, fmt.Errorf("ask who %s is: %w", ref, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Identity{}, fmt.Errorf("ask who %s is: %w", ref, apierr.FromResponse(res))
	}
	var answer struct {
		Claims struct {
			Sub string   `json:"sub"`
			Ent []string `json:"ent"`
		} `json:"claims"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, userInfoBytes)).Decode(&answer); err != nil {
		return Identity{}, fmt.Errorf("ask who %s is: %w", ref, err)
	}
	if !strings.EqualFold(answer.Claims.Sub, ref) {
		return Identity{}, fmt.Errorf("ask who %s is: the answer is about %q", ref, answer.Claims.Sub)
	}
	return Identity{UserRef: ref, OwnershipRefs: answer.Claims.Ent}, nil
}
