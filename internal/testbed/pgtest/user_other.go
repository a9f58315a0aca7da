//go:build !unix

package pgtest

import (
	"fmt"
	"syscall"
)

// user is whom the server runs as.
type user struct{ uid uint32 }

func serverUser() (user, error) {
	return user{}, fmt.Errorf("private servers run on Unix only: set %s to the URL of a running one", serverEnv)
}

func (user) attributes() *syscall.SysProcAttr { return nil }

func (user) own(string) error { return nil }

func (user) copyFolder(from, _ string) error { return fmt.Errorf("copy %s: Unix only", from) }
