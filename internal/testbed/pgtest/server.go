package pgtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/internal/testbed"
)

const (
	startTries   = 3
	startTimeout = 30 * time.Second
	startPoll    = 30 * time.Millisecond
)

// keeper runs the server and waits for the end of its standard input, a pipe that
// the test binary holds. It ends with the test binary however that ends; then the
// server is stopped without ado (SIGQUIT) and its folder is removed.
const keeper = `
"$@" </dev/null &
server=$!
read -r end
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf -- "$FOLDER"
`

// start starts a server of a version and returns the URL of its database postgres.
// Settings are NAME=VALUE and come after those for tests, so that they win.
func start(version string, settings ...string) (string, error) {
	bin, err := testbed.Find("postgres-" + version)
	if err != nil {
		return "", err
	}
	as, err := serverUser()
	if err != nil {
		return "", err
	}
	for try := 1; ; try++ {
		url, err := startOnce(bin, as, settings)
		if err == nil || try == startTries {
			return url, err
		}
	}
}

func startOnce(bin string, as user, settings []string) (url string, err error) {
	home, err := os.MkdirTemp(folder(), "callboard-postgres-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(home)
		}
	}()
	if err := as.own(home); err != nil {
		return "", err
	}
	data := filepath.Join(home, "data")
	if err := newData(bin, data, as); err != nil {
		return "", err
	}
	// The port is free now; somebody may take it before the server does.
	port, err := freePort()
	if err != nil {
		return "", err
	}
	return serve(bin, home, data, port, as, settings)
}

// serve starts the server on a port and waits until it answers.
func serve(bin, home, data string, port int, as user, settings []string) (string, error) {
	logFile, err := os.OpenFile(filepath.Join(home, "log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return "", err
	}
	defer logFile.Close()
	alive, hold, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer alive.Close()
	cmd := exec.Command("/bin/sh", "-c", keeper, "sh", filepath.Join(bin, "postgres"), "-D", data,
		"-p", fmt.Sprint(port), "-k", home, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "autovacuum=off",
		"-c", "max_connections=200", "-c", "shared_buffers=64MB")
	for _, s := range settings {
		cmd.Args = append(cmd.Args, "-c", s)
	}
	cmd.Env = append(os.Environ(), "FOLDER="+home, "LC_ALL=C")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = home, alive, logFile, logFile
	cmd.SysProcAttr = as.attributes()
	if err := cmd.Start(); err != nil {
		hold.Close()
		return "", err
	}
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	if err := answers(url, data); err != nil {
		hold.Close()
		_ = cmd.Wait()
		text, _ := os.ReadFile(filepath.Join(home, "log"))
		return "", fmt.Errorf("%w\n%s", err, bytes.TrimSpace(text))
	}
	// The write end stays open as long as this process lives: a file that the
	// garbage collector finds is closed, so it must stay reachable.
	running.mu.Lock()
	running.pipes = append(running.pipes, hold)
	running.mu.Unlock()
	return url, nil
}

// answers waits until our server, and not another one on that port, answers.
func answers(url, data string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			var folder string
			folder, err = dataDirectory(ctx, conn)
			conn.Close(ctx)
			if err == nil && folder == data {
				return nil
			}
			if err == nil {
				return fmt.Errorf("another server answers, with its data in %s", folder)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", startTimeout, err)
		case <-time.After(startPoll):
		}
	}
}

func dataDirectory(ctx context.Context, conn *pgx.Conn) (folder string, err error) {
	err = conn.QueryRow(ctx, "SHOW data_directory").Scan(&folder)
	return folder, err
}

// dataOf asks a server where its data is.
func dataOf(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return dataDirectory(ctx, conn)
}

// newData makes a data folder: a copy of one that initdb made earlier, where the
// cache has it or can keep it.
func newData(bin, data string, as user) error {
	version, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", filepath.Join(bin, "postgres"), err)
	}
	cached := ""
	if cache, err := testbed.CacheDir(); err == nil && os.MkdirAll(cache, 0o755) == nil {
		key := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n", version, bin, as.uid))
		cached = filepath.Join(cache, fmt.Sprintf("postgres-data-%x", key[:8]))
		if _, err := os.Stat(filepath.Join(cached, "PG_VERSION")); err == nil {
			return as.copyFolder(cached, data)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	cmd.Dir, cmd.SysProcAttr = filepath.Dir(data), as.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(out))
	}
	if cached != "" {
		keep(data, cached, as)
	}
	return nil
}

// keep puts a copy of a data folder into the cache. Without it the next start takes a
// second longer, so its errors are nobody's.
func keep(data, cached string, as user) {
	work, err := os.MkdirTemp(filepath.Dir(cached), ".data-")
	if err != nil {
		return
	}
	defer os.RemoveAll(work)
	if as.copyFolder(data, filepath.Join(work, "data")) == nil {
		_ = os.Rename(filepath.Join(work, "data"), cached)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
