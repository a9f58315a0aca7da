//go:build unix

package pgtest

import (
	"fmt"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// user is whom the server runs as. PostgreSQL refuses to run as root, so root's tests
// run it as postgres, or where nobody has made that user, as nobody.
type user struct {
	uid, gid uint32
	change   bool
}

func serverUser() (user, error) {
	if os.Geteuid() != 0 {
		return user{uid: uint32(os.Getuid()), gid: uint32(os.Getgid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return user{uid: uint32(uid), gid: uint32(gid), change: true}, nil
		}
	}
	return user{}, fmt.Errorf("root cannot run PostgreSQL, and there is neither a user postgres nor a user nobody")
}

// attributes start a process as the user, in a session of its own: an interrupt at
// the terminal ends the tests, and the server through them.
func (u user) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if u.change {
		a.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	return a
}

func (u user) own(path string) error {
	if !u.change {
		return nil
	}
	return os.Lchown(path, int(u.uid), int(u.gid))
}

// copyFolder copies folders and files, with the modes that the server insists on.
func (u user) copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			return u.own(target)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, text, 0o600); err != nil {
			return err
		}
		return u.own(target)
	})
}
