package auth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}
