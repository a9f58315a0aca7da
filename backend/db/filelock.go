package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// lockName is the file that says that a process uses the SQLite files beside it.
const lockName = ".callboard.lock"

// fileLocks are the folders that this process has locked. The operating system gives
// them up when the process ends, however it ends.
type fileLocks struct {
	mu   sync.Mutex
	held map[string]*os.File
}

func newFileLocks() *fileLocks { return &fileLocks{held: map[string]*os.File{}} }

// take locks dir unless this process has it already.
func (l *fileLocks) take(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[dir] != nil {
		return nil
	}
	name := filepath.Join(dir, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock the SQLite files in %s: %w", dir, err)
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("lock the SQLite files in %s: %w", dir, err)
		}
		owner, _ := io.ReadAll(io.LimitReader(f, 32))
		who := "another process"
		if pid := strings.TrimSpace(string(owner)); pid != "" {
			who = "process " + pid
		}
		return fmt.Errorf("the SQLite files in %s are in use by %s, and one process at a time can use them: stop it, name another directory, or use PostgreSQL for several processes", dir, who)
	}
	// For the message above; the lock holds without it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	l.held[dir] = f
	return nil
}

// releaseAll gives up all locks. The files stay: removing one could take away the
// lock of a process that has just opened it.
func (l *fileLocks) releaseAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for dir, f := range l.held {
		f.Close()
		delete(l.held, dir)
	}
}
