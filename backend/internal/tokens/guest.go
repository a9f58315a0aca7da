package tokens

import (
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// GuestConfig is auth.providers.guest.
type GuestConfig struct {
	UserEntityRef                      string   `config:"userEntityRef" doc:"the user that guests are, user:development/guest if absent"`
	OwnershipEntityRefs                []string `config:"ownershipEntityRefs" doc:"what guests own things through; that user if absent"`
	DangerouslyAllowOutsideDevelopment bool     `config:"dangerouslyAllowOutsideDevelopment" doc:"let everybody sign in as guest in production, too"`
}

// GuestRefresh returns the handler of the guest sign-in, GET or POST /guest/refresh of the
// auth plugin. Outside of development it answers 403 unless the configuration allows it.
func GuestRefresh(cfg GuestConfig, issuer *UserIssuer, development bool) httpx.HandlerFunc {
	ref := cfg.UserEntityRef
	if ref == "" {
		ref = "user:development/guest"
	}
	owns := cfg.OwnershipEntityRefs
	if owns == nil {
		owns = []string{ref}
	}
	type identity struct {
		Type                string   `json:"type"`
		UserEntityRef       string   `json:"userEntityRef"`
		OwnershipEntityRefs []string `json:"ownershipEntityRefs"`
	}
	type backstageIdentity struct {
		Token            string   `json:"token"`
		Identity         identity `json:"identity"`
		ExpiresInSeconds int      `json:"expiresInSeconds"`
	}
	type session struct {
		Profile           struct{}          `json:"profile"`
		BackstageIdentity backstageIdentity `json:"backstageIdentity"`
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		if !development && !cfg.DangerouslyAllowOutsideDevelopment {
			return apierr.NotAllowed.New("The guest sign-in is for development; auth.providers.guest.dangerouslyAllowOutsideDevelopment allows it elsewhere")
		}
		token, expires, err := issuer.Issue(r.Context(), UserClaims{Sub: ref})
		if err != nil {
			return err
		}
		left := expires.Sub(clock(issuer.Now))
		return httpx.JSON(w, http.StatusOK, session{BackstageIdentity: backstageIdentity{token, identity{"user", ref, owns}, int(left / time.Second)}})
	}
}
