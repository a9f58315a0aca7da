package staticbench

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app"
	"github.com/callboard-dev/callboard/internal/testbed"
)

var (
	dist    = flag.String("dist", "", "the folder of a built frontend; empty: files are made up")
	seconds = flag.Float64("seconds", 0.05, "how long each scenario is driven")
	rounds  = flag.Int("rounds", 1, "how often each scenario is driven")
)

// What the test binary is, besides a test.
const (
	configEnv = "CALLBOARD_BENCH_CONFIG" // a portal, with this file
	bareEnv   = "CALLBOARD_BENCH_BARE"   // a bare server, at this address
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(bareEnv); addr != "" {
		bare(addr)
		return
	}
	if file := os.Getenv(configEnv); file != "" {
		b := backend.New(backend.WithConfigFiles(file))
		b.Add(app.Plugin())
		if err := b.Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends, however it does
		return
	}
	os.Exit(m.Run())
}

// bare is what HTTP alone costs in Go: a server that answers everything with 200 bytes.
func bare(addr string) {
	body := []byte(strings.Repeat("a();\n", 40))
	server := &http.Server{Addr: addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/javascript"}
		w.Write(body)
	})}
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); server.Close() }()
	_ = server.ListenAndServe()
}

// TestTable measures the servers and prints the table. Each scenario is driven at one after
// the other, several times over, so that whatever else the machine does meets all of them;
// the median counts.
func TestTable(t *testing.T) {
	dir, page := bundle(t)
	servers := []*server{portal(t, dir)}
	if nginx := startNginx(t, dir); nginx != nil {
		servers = append(servers, nginx)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "| files | encoding | here, requests per CPU-s | nginx | ratio |\n|---|---|---|---|---|\n")
	var floor []float64
	bare := child(t, "net/http", "/", bareEnv)
	for _, s := range []struct {
		name      string
		paths     []string
		encodings []string
	}{
		{"those of a page load", page, []string{"br", "gzip", "identity"}},
		{"one of 200 bytes", []string{"/static/small.js"}, []string{"identity"}},
		{"one of 100 KB", []string{"/static/large.js"}, []string{"br", "gzip", "identity"}},
	} {
		for _, encoding := range s.encodings {
			rates := make([][]float64, 2)
			for range *rounds {
				for i, server := range servers {
					rates[i] = append(rates[i], server.measure(t, s.paths, encoding))
				}
				floor = append(floor, bare.measure(t, []string{"/"}, "identity"))
			}
			here, nginx := median(rates[0]), median(rates[1])
			fmt.Fprintf(&out, "| %s | %s | %.0f | %.0f | %.2f |\n", s.name, encoding, here, nginx, here/nginx)
		}
	}
	fmt.Fprintf(&out, "| 200 bytes of a bare net/http server | | %.0f | | |\n", median(floor))
	t.Logf("\n%s", out.String())
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// bundle is a frontend with the variants of its files beside them, and the files that its
// page asks for.
func bundle(t *testing.T) (dir string, page []string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // nginx serves as another user
		t.Fatal(err)
	}
	put := func(name string, data []byte) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o644)); err != nil {
			t.Fatal(err)
		}
		if len(data) < 1024 || strings.HasSuffix(name, ".png") {
			return
		}
		if err := errors.Join(os.WriteFile(file+".br", pack(true, data), 0o644), os.WriteFile(file+".gz", pack(false, data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put("static/small.js", []byte(strings.Repeat("a();\n", 40)))
	put("static/large.js", script(100_000))
	put("index.html.tmpl", []byte("<head></head>"))
	if *dist == "" {
		for i := range 10 {
			name := fmt.Sprintf("static/main.%d.js", i)
			put(name, script(5_000<<(i%5)))
			page = append(page, "/"+name)
		}
		return dir, page
	}
	html, err := os.ReadFile(filepath.Join(*dist, "index.html.tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"<%= publicPath %>(/static/[^"]+)"`).FindAllSubmatch(html, -1) {
		name := string(m[1])
		data, err := os.ReadFile(filepath.Join(*dist, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		put(strings.TrimPrefix(name, "/"), data)
		page = append(page, name)
	}
	t.Logf("%d files of a page load", len(page))
	return dir, page
}

// script is text that gets smaller by compression, to about a third.
func script(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "export function f%d(a, b) { return g%d(a) + b.%c; }\n", r.IntN(1e6), r.IntN(1e6), 'a'+r.IntN(26))
	}
	return b.Bytes()[:n]
}

func pack(br bool, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if br {
		w = brotli.NewWriterLevel(&b, 5)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// server is one that runs.
type server struct {
	name string
	addr string
	pid  int
}

// portal starts a backend that serves the bundle, without a request log, as nginx does.
func portal(t *testing.T, dir string) *server {
	t.Helper()
	addr := freeAddress(t)
	file := filepath.Join(t.TempDir(), "app-config.yaml")
	text := fmt.Sprintf("app: {bundleDir: %q}\nbackend:\n  baseUrl: http://%[2]s\n  listen: %[2]q\n  database: {client: better-sqlite3, connection: ':memory:'}\n  logger: {level: warn}\n", dir, addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(configEnv, file)
	defer os.Unsetenv(configEnv)
	return self(t, "here", addr, "/.backstage/health/v1/readiness")
}

// child starts the test binary as another server.
func child(t *testing.T, name, path, env string) *server {
	t.Helper()
	addr := freeAddress(t)
	t.Setenv(env, addr)
	defer os.Unsetenv(env)
	return self(t, name, addr, path)
}

func self(t *testing.T, name, addr, path string) *server {
	t.Helper()
	file, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	in, err := cmd.StdinPipe() // which is closed when this process ends, however it does
	if err != nil {
		t.Fatal(err)
	}
	return run(t, name, addr, path, cmd, in.Close)
}

// startNginx starts nginx on the same files; nil where it is not installed.
func startNginx(t *testing.T, dir string) *server {
	t.Helper()
	bin, err := testbed.Find("nginx")
	if errors.Is(err, testbed.ErrMissing) {
		t.Logf("without nginx: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	addr, prefix := freeAddress(t), t.TempDir()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	text := fmt.Sprintf(`%sload_module %s;
daemon off; worker_processes 2; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types { application/javascript js; text/css css; text/html html; }
  server { listen %s; root %s; gzip_static on; gzip_vary on; brotli_static on;
    location /static/ { add_header Cache-Control "public, max-age=1209600"; } }
}`, user, testbed.NginxBrotli, addr, dir)
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "nginx"), "-p", prefix, "-c", file, "-e", "stderr")
	cmd.Stderr = os.Stderr
	// At its signal nginx ends its workers, too.
	return run(t, "nginx", addr, "/static/small.js", cmd, func() error { return cmd.Process.Signal(os.Interrupt) })
}

// run starts a server and waits until it answers.
func run(t *testing.T, name, addr, path string, cmd *exec.Cmd, stop func() error) *server {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stop()
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + addr + path)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return &server{name, addr, cmd.Process.Pid}
			}
		}
	}
	t.Fatalf("%s does not answer", name)
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// measure drives a server and returns how many requests it answers per second of its CPU
// time.
func (s *server) measure(t *testing.T, paths []string, encoding string) float64 {
	t.Helper()
	var requests [][]byte
	for _, p := range paths {
		requests = append(requests, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: %s\r\n\r\n", p, s.addr, encoding))
	}
	load(t, s.addr, encoding, requests, time.Duration(*seconds/10*float64(time.Second))) // what is only made once is made
	before := cpu(t, s.pid)
	n := load(t, s.addr, encoding, requests, time.Duration(*seconds*float64(time.Second)))
	used := max(cpu(t, s.pid)-before, 10*time.Millisecond)
	t.Logf("%s, %d files, %s: %d requests, %v of CPU", s.name, len(paths), encoding, n, used)
	return float64(n) / used.Seconds()
}

// cpu is the CPU time of a process and its children.
func cpu(t *testing.T, pid int) (total time.Duration) {
	t.Helper()
	stats, err := fs.Glob(os.DirFS("/proc"), "[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		text, err := os.ReadFile(filepath.Join("/proc", name))
		if err != nil {
			continue // it has ended
		}
		var own, parent int
		rest := string(text[bytes.LastIndexByte(text, ')')+1:])
		fields := strings.Fields(rest) // from the state on
		fmt.Sscan(filepath.Dir(name), &own)
		fmt.Sscan(fields[1], &parent)
		if !slices.Contains([]int{own, parent}, pid) {
			continue
		}
		var user, system int64
		fmt.Sscan(fields[11], &user)
		fmt.Sscan(fields[12], &system)
		total += time.Duration(user+system) * 10 * time.Millisecond // in ticks of 1/100 s
	}
	return total
}
