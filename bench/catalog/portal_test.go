package catalogbench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

const (
	configEnv = "CALLBOARD_BENCH_CONFIG" // makes the test binary a portal
	token     = "a-static-token-for-measurements"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(configEnv); file != "" {
		servePortal(file)
		return
	}
	os.Exit(m.Run())
}

// servePortal is the child process: a catalog with a provider that the parent drives.
func servePortal(file string) {
	b := backend.New(backend.WithConfigFiles(file))
	b.Add(catalog.Plugin(), backend.NewModule("catalog", "bench", fx.Invoke(func(x *catalog.Extensions) {
		x.SetAllowedLocationTypes("url", "file")
		x.AddEntityProvider(&driven{})
	})))
	if err := b.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends, however it does
}

// driven is a provider whose commands come over HTTP.
type driven struct {
	conn catalog.Connection
	peak atomic.Uint64 // live heap, as the collector found it

	watching sync.Once
}

func (*driven) ProviderName() string { return "bench" }

func (d *driven) Connect(_ context.Context, conn catalog.Connection) error {
	d.conn = conn
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("control %s\n", l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /replace", d.replace)
	mux.HandleFunc("POST /upsert", d.upsert)
	mux.HandleFunc("POST /heap", d.heap)
	mux.HandleFunc("POST /profile", profileTo)
	go func() { _ = http.Serve(l, mux) }()
	return nil
}

func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name))
	return n
}

// replace lists the organisation. Entities are made while they are read, as a source's
// answers are: the portal does not hold them all.
func (d *driven) replace(w http.ResponseWriter, r *http.Request) {
	n := number(r, "n")
	err := d.conn.Replace(r.Context(), func(yield func(catalog.Deferred, error) bool) {
		more := true
		new(org).generate(n, func(e entity.Entity) { more = more && yield(place(e), nil) })
	})
	if err != nil {
		http.Error(w, err.Error(), 500)
	}
}

// upsert adds new components, or changes them where they are there.
func (d *driven) upsert(w http.ResponseWriter, r *http.Request) {
	if err := d.conn.Apply(r.Context(), extra(number(r, "n"), r.FormValue("revision")), nil); err != nil {
		http.Error(w, err.Error(), 500)
	}
}

// heap collects garbage, answers with what is alive and with the most that was since the
// last call, and starts over. Only from the first call on anybody looks: that costs more
// than a catalog at rest.
func (d *driven) heap(w http.ResponseWriter, _ *http.Request) {
	d.watching.Do(func() { go d.watch() })
	peak := d.peak.Load()
	runtime.GC()
	now := liveHeap()
	d.peak.Store(now)
	_ = json.NewEncoder(w).Encode(map[string]uint64{"live": now, "peak": max(peak, now)})
}

// profileTo begins a CPU profile, or ends the one that runs.
func profileTo(w http.ResponseWriter, r *http.Request) {
	pprof.StopCPUProfile()
	name := r.FormValue("file")
	if name == "" {
		return
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f) // which keeps f until it ends, with this process
	}
	if err != nil {
		http.Error(w, err.Error(), 500)
	}
}

func (d *driven) watch() {
	for range time.Tick(2 * time.Millisecond) {
		if now := liveHeap(); now > d.peak.Load() {
			d.peak.Store(now)
		}
	}
}

func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// A portal is the child, as the parent sees it.
type portal struct {
	t            testing.TB
	cmd          *exec.Cmd
	url, control string
	started      time.Time
}

// launch starts a portal and waits until it is ready.
func launch(t testing.TB, database, locations string) *portal {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	file := filepath.Join(t.TempDir(), "app-config.yaml")
	content := fmt.Sprintf(`backend:
  baseUrl: http://%[1]s
  listen: %[1]q
  database: {client: pg, pluginDivisionMode: schema, connection: %[2]q}
  auth: {externalAccess: [{type: static, options: {token: %[3]s, subject: bench}}]}
catalog:
  rules: [{allow: [Component, System, API, Resource, Location, Domain, User, Group]}]
  locations: [%[4]s]
`, addr, database, token, locations)
	put(t, filepath.Dir(file), filepath.Base(file), content)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &portal{t: t, cmd: exec.Command(self), url: "http://" + addr, started: time.Now()}
	p.cmd.Env = append(os.Environ(), configEnv+"="+file)
	p.cmd.Stderr = os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // which is closed when this process ends
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	control := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if addr, ok := cut(s.Text(), "control "); ok {
				control <- addr
			} else if testing.Verbose() && os.Getenv("BENCH_LOG") != "" {
				fmt.Fprintln(os.Stderr, s.Text())
			}
		}
	}()
	select {
	case a := <-control:
		p.control = "http://" + a
	case <-time.After(time.Minute):
		t.Fatal("the portal does not start")
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		res, err := http.Get(p.url + "/.backstage/health/v1/readiness")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == 200 {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the portal is not ready after a minute")
		}
	}
}

func cut(line, prefix string) (string, bool) {
	if len(line) < len(prefix) || line[:len(prefix)] != prefix {
		return "", false
	}
	return line[len(prefix):], true
}

func (p *portal) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// call drives the provider.
func (p *portal) call(path string) []byte {
	p.t.Helper()
	return p.do("POST", p.control+path, "", 200)
}

// ask sends one request to the catalog.
func (p *portal) ask(method, path, body string, want int) []byte {
	p.t.Helper()
	return p.do(method, p.url+"/api/catalog"+path, body, want)
}

func (p *portal) do(method, url, body string, want int) []byte {
	p.t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Body = io.NopCloser(stringReader(body))
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	doc, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		p.t.Fatalf("%s %s: %d %.300s, %v", method, url, res.StatusCode, doc, err)
	}
	return doc
}
