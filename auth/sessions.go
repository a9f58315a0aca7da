package auth

import (
	"context"
	"encoding/json"
	"time"
)

// A sealer seals what browsers keep, and signs what they carry.
type sealer interface {
	Seal(purpose string, aad, plain []byte) (string, error)
	Open(purpose string, aad []byte, sealed string) ([]byte, error)
	MAC(purpose string, data []byte) []byte
}

// sessions are what the cookies <provider>-refresh-token stand for.
type sessions interface {
	Start(ctx context.Context, s sessionInfo) (cookie string, err error)
	// Refresh calls ask with the session's refresh token, unless somebody else has just
	// done so. The cookie is empty if the old one stays in use.
	Refresh(ctx context.Context, provider, env, cookie string, ask func(ctx context.Context, refreshToken string) (renewed, error)) (renewed, string, error)
	End(ctx context.Context, provider, env, cookie string) (refreshToken string, err error)
}

type sessionInfo struct {
	Provider, Env string
	User          string // empty if nobody was looked up
	RefreshToken  string
	Scope         string
	Life          time.Duration
}

// renewed is the answer of an identity provider to a refresh.
type renewed struct {
	RefreshToken string // empty if the old one stays in use
	Answer       []byte // a refreshAnswer, for those who wait for the same refresh
}

// refreshAnswer is what one refresh at the identity provider has come to.
type refreshAnswer struct {
	Profile    Profile
	Unverified bool
	Session    Session
}

func (r refreshAnswer) encode() ([]byte, error) {
	r.Unverified = r.Profile.unverified
	r.Session.RefreshToken = ""
	return json.Marshal(r)
}

func decodeRefresh(b []byte) (r refreshAnswer, err error) {
	err = json.Unmarshal(b, &r)
	r.Profile.unverified = r.Unverified
	return r, err
}
