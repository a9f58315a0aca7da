//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/internal/testbed"
)

// An Own is a server that one test has for itself, and may stop. It is for Unix.
type Own struct {
	*Server
	t          testing.TB
	bin, home  string
	data, port string
	as         user
}

// NewOwn starts a server of the newest kind that tests use by default; it ends with the
// test binary. Where CALLBOARD_TEST_POSTGRES names a server and none is installed, the test
// is skipped: that server is not the test's to stop.
func NewOwn(t testing.TB) *Own {
	t.Helper()
	version := preferred()
	admin, err := start(version)
	if errors.Is(err, testbed.ErrMissing) && os.Getenv(serverEnv) != "" {
		t.Skipf("no PostgreSQL is installed that could be stopped, and the one of %s must not be", serverEnv)
	}
	s := &Server{Version: version, admin: admin, err: err}
	s.check(t)
	o := &Own{Server: s, t: t}
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	o.port = u.Port()
	if o.bin, err = testbed.Find("postgres-" + version); err != nil {
		t.Fatal(err)
	}
	if o.as, err = serverUser(); err != nil {
		t.Fatal(err)
	}
	if o.data, err = dataOf(admin); err != nil {
		t.Fatal(err)
	}
	o.home = filepath.Dir(o.data)
	return o
}

// Stop stops the server as an operator does who does not wait for clients, and returns when
// it has ended.
func (o *Own) Stop() {
	o.t.Helper()
	pid := o.pid()
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		o.t.Fatalf("stop PostgreSQL: %v", err)
	}
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(startPoll) {
		if _, err := os.Stat(o.pidFile()); errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	o.t.Fatalf("PostgreSQL has not stopped within %s", startTimeout)
}

// Start starts it again, on the same port with the same data, and returns when it answers.
func (o *Own) Start() {
	o.t.Helper()
	port, err := strconv.Atoi(o.port)
	if err == nil {
		_, err = serve(o.bin, o.home, o.data, port, o.as, nil)
	}
	if err != nil {
		o.t.Fatalf("start PostgreSQL again: %v", err)
	}
}

// Freeze pauses all processes of the server (SIGSTOP): connections stay, new ones are taken
// by the kernel, and nobody answers. Thaw undoes it.
func (o *Own) Freeze() { o.t.Helper(); o.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (o *Own) Thaw() { o.t.Helper(); o.signal(syscall.SIGCONT) }

// signal sends to the server first, so that it starts nothing meanwhile, and then to what
// it has started.
func (o *Own) signal(s syscall.Signal) {
	o.t.Helper()
	server := o.pid()
	if err := syscall.Kill(server, s); err != nil {
		o.t.Fatalf("send %v to PostgreSQL: %v", s, err)
	}
	list, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		o.t.Fatalf("list processes: %v", err)
	}
	for line := range strings.Lines(string(list)) {
		var pid, parent int
		if n, _ := fmt.Sscan(line, &pid, &parent); n == 2 && parent == server {
			_ = syscall.Kill(pid, s) // it may have ended
		}
	}
}

func (o *Own) pidFile() string { return filepath.Join(o.data, "postmaster.pid") }

func (o *Own) pid() int {
	o.t.Helper()
	text, err := os.ReadFile(o.pidFile())
	if err != nil {
		o.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		o.t.Fatalf("%s begins with %q", o.pidFile(), first)
	}
	return pid
}
