package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
	"github.com/callboard-dev/callboard/internal/wiretest"
	"github.com/callboard-dev/callboard/internal/wiretest/fixtures"
)

// asProgram makes the test binary run main: tests start whole processes of it.
const asProgram = "CALLBOARD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A process is one running portal.
type process struct {
	cmd *exec.Cmd
	url string

	mu  sync.Mutex
	log bytes.Buffer
}

// maxLog is how much of its log a process shows when a test fails.
const maxLog = 4000

var listening = regexp.MustCompile(`Listening on ([0-9.:]+)`)

// launch starts a process with the given configuration files, and does not wait.
func launch(t *testing.T, files ...string) *process {
	t.Helper()
	p := &process{}
	var args []string
	for _, f := range files {
		args = append(args, "--config", f)
	}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "LOG_LEVEL=info", "NODE_ENV=production", "CALLBOARD_EXAMPLE_POLICY=allow-all")
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.log.WriteString(s.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		<-read
		if t.Failed() {
			log := p.text()
			if len(log) > maxLog {
				log = "…" + log[len(log)-maxLog:]
			}
			t.Logf("log of process %d:\n%s", p.cmd.Process.Pid, log)
		}
	})
	return p
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// ready waits until the process says where it listens and answers readiness with 200.
func (p *process) ready(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		m := listening.FindStringSubmatch(p.text())
		if m == nil {
			continue
		}
		p.url = "http://" + strings.Trim(m[1], `",`)
		if res, err := http.Get(p.url + "/.backstage/health/v1/readiness"); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
	}
	t.Fatalf("not ready:\n%s", p.text())
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// databases are the second configuration file, by database.
func databases(t *testing.T, test func(t *testing.T, config string)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, sqlite(t))
	})
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		test(t, postgres(s.Database(t)))
	})
}

func sqlite(t *testing.T) string {
	return fmt.Sprintf("backend: {database: {client: better-sqlite3, connection: {directory: %q}}}\n", t.TempDir())
}

// postgres puts all plugins into schemas of one database, so that dropping it is enough.
func postgres(url string) string {
	return fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: {connectionString: %q}}}\n", url)
}

// frontend is a configuration file that has a small frontend of this package served.
func frontend(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("testdata/frontend")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("app: {bundleDir: %q}\n", dir)
}

// freeAddress is where nobody listens at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestRecordings replays what stock clients send, and compares with what they got from
// the reference. The group events, which waits for timeouts, is replayed in backend/events.
func TestRecordings(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		files := fixtures.Start(t)
		base := "http://" + freeAddress(t)
		p := launch(t, write(t, "app-config.yaml", wiretest.Config(files.URL(), files.Dir(), base)), write(t, "database.yaml", database), write(t, "frontend.yaml", frontend(t)))
		p.ready(t)
		installed, err := wiretest.Installed(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Run(t, base, []string{"health", "catalog-read", "devtools", "permission", "auth", "proxy", "catalog-write", "user-settings", "notifications", "app"}, wiretest.Options{
			Fixtures: files, Installed: installed,
		})
	})
}

// TestRestartKeepsEverything holds that a stop and a start lose nothing.
func TestRestartKeepsEverything(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		org, err := filepath.Abs("../quickstart/org/all.yaml")
		if err != nil {
			t.Fatal(err)
		}
		config := write(t, "app-config.yaml", fmt.Sprintf(`
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  auth: {externalAccess: [{type: static, options: {token: %s, subject: test}}]}
catalog:
  rules: [{allow: [Component, System, API, Resource, Location, Domain, User, Group, Template]}]
  locations: [{type: file, target: %q}]
`, wiretest.StaticToken, org))
		second := write(t, "database.yaml", database)
		first := launch(t, config, second)
		first.ready(t)
		want := settled(t, first.url, 122)
		if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := first.cmd.Wait(); err != nil {
			t.Fatalf("stopping: %v", err)
		}
		again := launch(t, config, second)
		again.ready(t)
		if got := read(t, again.url+"/api/catalog/entities"); got != want {
			t.Errorf("after a restart %d bytes are served, before it were %d", len(got), len(want))
		}
	})
}

// settled waits until n entities are served and do not change any more.
func settled(t *testing.T, base string, n int) string {
	t.Helper()
	last := ""
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		got := read(t, base+"/api/catalog/entities")
		if strings.Count(got, `"apiVersion":"backstage.io/`)+strings.Count(got, `"apiVersion":"scaffolder.backstage.io/`) >= n && got == last {
			return got
		}
		last = got
	}
	t.Fatalf("the catalog does not settle at %d entities: %.300s", n, last)
	return ""
}

func read(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+wiretest.StaticToken)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s is %d: %s", url, res.StatusCode, body)
	}
	return string(body)
}
