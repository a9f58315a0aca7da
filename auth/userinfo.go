package auth

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// TopicOwnership is the topic of the events that tell that a user owns things through
// other entities than before. Who remembers what a user may do forgets it then. The payload
// is OwnershipChanged.
const TopicOwnership = "auth.ownershipChanged"

// OwnershipChanged is the payload of events with the topic TopicOwnership.
type OwnershipChanged struct {
	UserEntityRef string `json:"userEntityRef"`
}

// userInfo is the column user_info, and the answer of GET /v1/userinfo.
type userInfo struct {
	Claims userClaims `json:"claims"`
}

type userClaims struct {
	Sub string   `json:"sub"`
	Ent []string `json:"ent"`
}

// note stores what a user owns things through, for the plugins that are shown a token
// without it. It is done at each sign-in and refresh, so that a change in the catalog takes
// effect when the token is next renewed (contract/auth.md section 8).
func (a *api) note(ctx context.Context, id *identity) error {
	var info any = userInfo{userClaims{id.UserEntityRef, id.OwnershipEntityRefs}}
	if len(id.claims) > 0 {
		claims := maps.Clone(id.claims)
		claims["sub"], claims["ent"] = id.UserEntityRef, id.OwnershipEntityRefs
		info = map[string]any{"claims": claims}
	}
	doc, err := json.Marshal(info)
	if err != nil {
		return err
	}
	before, err := a.store.SetUserInfo(ctx, id.UserEntityRef, doc, a.now())
	if err != nil || before == nil {
		return err
	}
	var known userInfo
	if json.Unmarshal(before, &known) == nil && sameRefs(known.Claims.Ent, id.OwnershipEntityRefs) {
		return nil
	}
	if err := a.events.Publish(ctx, TopicOwnership, OwnershipChanged{id.UserEntityRef}); err != nil {
		// Those who remember the user forget by themselves, only later.
		a.log.WarnContext(ctx, "nobody was told that a user owns other things now", "user", id.UserEntityRef, "error", err)
	}
	return nil
}

func sameRefs(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// userInfo answers with what is known of the caller.
func (a *api) userInfo(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	user, ok := httpx.CallerOf(r).User()
	if !ok {
		return apierr.Input.New("Userinfo endpoint must be called with a user token")
	}
	doc, ok, err := a.store.UserInfo(r.Context(), user.Ref)
	if err != nil {
		return err
	}
	if !ok {
		return httpx.Text(w, http.StatusNotFound, "User info not found")
	}
	return httpx.JSON(w, http.StatusOK, json.RawMessage(doc))
}

// owns reports whether the caller is, or is in, one of the entities.
func (a *api) owns(ctx context.Context, user backend.Credentials, refs []string) (bool, error) {
	u, _ := user.User()
	owned := u.Ownership
	if owned == nil {
		doc, ok, err := a.store.UserInfo(ctx, u.Ref)
		if err != nil {
			return false, err
		}
		var known userInfo
		if ok && json.Unmarshal(doc, &known) == nil {
			owned = known.Claims.Ent
		}
	}
	return slices.ContainsFunc(append(slices.Clone(owned), u.Ref), func(ref string) bool { return slices.Contains(refs, ref) }), nil
}
