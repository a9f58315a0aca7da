package rediscache

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/internal/testbed"
)

// server is a private redis-server.
type server struct {
	bin, dir string
	cmd      *exec.Cmd
	in       io.Closer // of the keeper: the server ends with it
}

// keeper ends the server when the test binary does, however that ends.
const keeper = `"$@" </dev/null >/dev/null & server=$!; read -r end; kill -KILL "$server" 2>/dev/null; wait "$server"`

// start starts a server and returns its URL, on a socket in a folder of its own.
func start(t testing.TB) (*server, config.Secret) {
	t.Helper()
	bin, err := testbed.Find("redis")
	if err != nil {
		t.Fatalf("this test needs redis-server. Type:\n\n\t%s redis\n\n%v", testbed.InstallCommand, err)
	}
	dir, err := os.MkdirTemp("", "callboard-redis-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &server{bin: filepath.Join(bin, "redis-server"), dir: dir}
	t.Cleanup(func() {
		s.stop()
		_ = os.RemoveAll(dir)
	})
	s.start(t)
	return s, config.NewSecret("unix://" + s.socket())
}

func (s *server) socket() string { return filepath.Join(s.dir, "redis.sock") }

func (s *server) start(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command("sh", "-c", keeper, "keeper", s.bin, "--port", "0", "--unixsocket", s.socket(), "--save", "", "--appendonly", "no", "--dir", s.dir)
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in = in
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket()})
	defer c.Close()
	for range 500 {
		if err = c.Ping(context.Background()).Err(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(fmt.Errorf("redis-server does not answer: %w", err))
}

// stop kills the server. Its data is gone.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.in.Close()
	_ = s.cmd.Wait()
	s.cmd = nil
}
