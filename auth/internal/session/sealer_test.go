package session_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/callboard-dev/callboard/backend/seal"
)

func sealer(t testing.TB, secrets ...string) seal.Sealer {
	t.Helper()
	s, err := seal.New("auth", secrets)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
