package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func renamed(id string, add func(*auth.Extensions)) backend.Feature {
	return backend.NewModule("auth", id, fx.Invoke(add))
}

func noOwnership(context.Context, entity.Entity) ([]entity.Ref, error) { return nil, nil }
