package config_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/callboard-dev/callboard/backend/config"
)

// patience is how long a test waits for the system to report a change. Nothing
// depends on how long it takes.
const patience = time.Minute

// logged is a log that a test can wait for.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
	ch  chan struct{}
}

func newLogged() *logged { return &logged{ch: make(chan struct{}, 100)} }

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ch <- struct{}{}
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) waitFor(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(patience)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.ch:
		case <-timeout:
			t.Fatalf("the log does not say %q:\n%s", text, l)
		}
	}
}

// run runs w until the test ends.
func run(t *testing.T, w *config.Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// next waits for a value.
func next[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing has changed")
	}
	return v
}

func replace(t *testing.T, file, text string) {
	t.Helper()
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

func TestWatcherFollowsFiles(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"app-config.yaml": "title: one\ntoken: {$file: secrets/token}\nmore: {$include: more.yaml}\n", "secrets/token": "token-1\n", "more.yaml": "a: 1",
	})
	log := newLogged()
	cfg := load(t, dir, nil)
	w := config.NewWatcher(cfg, slog.New(slog.NewTextHandler(log, nil)))
	changed := make(chan *config.Config, 10)
	w.Subscribe(func(c *config.Config) { changed <- c })
	var out struct {
		Token config.Secret `config:"token,required"`
	}
	if err := cfg.Decode("", &out); err != nil {
		t.Fatal(err)
	}
	run(t, w)

	// A write in place.
	if err := os.WriteFile(filepath.Join(dir, "app-config.yaml"), []byte("title: two\ntoken: {$file: secrets/token}\nmore: {$include: more.yaml}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		if title, _, _ := next(t, changed).String("title"); title == "two" {
			break // an empty file, half-way through the write, may come first
		}
	}
	// A rename over the file, of a secret: its holder sees it without doing anything.
	replace(t, filepath.Join(dir, "secrets/token"), "token-2\n")
	next(t, changed)
	if got := out.Token.Reveal(); got != "token-2" {
		t.Errorf("the holder of the secret has %q", got)
	}
	// A change of an included file.
	replace(t, filepath.Join(dir, "more.yaml"), "a: 2")
	if a, _, _ := next(t, changed).Int("more.a"); a != 2 {
		t.Errorf("the included value is %d", a)
	}
	// An optional file that appears.
	replace(t, filepath.Join(dir, "app-config.local.yaml"), "title: local")
	if title, _, _ := next(t, changed).String("title"); title != "local" {
		t.Errorf("the title is %q", title)
	}
	// A bad file changes nothing and is reported.
	replace(t, filepath.Join(dir, "app-config.local.yaml"), "title: [")
	log.waitFor(t, "app-config.local.yaml:2:1")
	if title, _, _ := w.Config().String("title"); title != "local" {
		t.Errorf("after a bad file the title is %q", title)
	}
	// A secret that becomes empty is refused.
	replace(t, filepath.Join(dir, "app-config.local.yaml"), "title: local")
	replace(t, filepath.Join(dir, "secrets/token"), "\n")
	log.waitFor(t, "token is empty")
	if got := out.Token.Reveal(); got != "token-2" {
		t.Errorf("after an empty file, the holder of the secret has %q", got)
	}
	// And a good one mends it.
	replace(t, filepath.Join(dir, "secrets/token"), "token-3")
	next(t, changed)
	if got := out.Token.Reveal(); got != "token-3" {
		t.Errorf("the holder of the secret has %q", got)
	}
	if strings.Contains(log.String(), "token-") {
		t.Errorf("the log shows a secret:\n%s", log)
	}
}

func TestWatcherFollowsKubernetesVolumes(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"..v1/app-config.yaml": "title: one", "..v2/app-config.yaml": "title: two", "..v3/app-config.yaml": "title: three"})
	link := func(target, name string) {
		t.Helper()
		tmp := filepath.Join(dir, "..tmp")
		if err := os.Symlink(target, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/app-config.yaml", "app-config.yaml")
	w := config.NewWatcher(load(t, dir, nil), nil)
	changed := make(chan *config.Config, 10)
	w.Subscribe(func(c *config.Config) { changed <- c })
	run(t, w)
	for version, want := range []string{"one", "two", "three"} {
		if version == 0 {
			continue
		}
		link("..v"+string(rune('1'+version)), "..data")
		if err := os.RemoveAll(filepath.Join(dir, "..v"+string(rune('0'+version)))); err != nil {
			t.Fatal(err)
		}
		if title, _, _ := next(t, changed).String("title"); title != want {
			t.Errorf("the title is %q, want %q", title, want)
		}
	}
}

func TestWatcherPollsURLs(t *testing.T) {
	t.Parallel()
	var version atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if version.Load() == 0 {
			w.Write([]byte("title: one"))
		} else {
			w.Write([]byte("title: two"))
		}
	}))
	t.Cleanup(srv.Close)
	cfg, err := config.Load(t.Context(), config.Sources{
		Files: []string{srv.URL}, Environ: []string{}, Remote: &config.Remote{Client: srv.Client(), Poll: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := config.NewWatcher(cfg, nil)
	changed := make(chan *config.Config, 10)
	w.Subscribe(func(c *config.Config) { changed <- c })
	run(t, w)
	version.Store(1)
	if title, _, _ := next(t, changed).String("title"); title != "two" {
		t.Errorf("the title is %q", title)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"app-config.yaml": "a: 1"})
	w := config.NewWatcher(load(t, dir, nil), nil)
	calls := 0
	cancel := w.Subscribe(func(*config.Config) { calls++ })
	for _, tt := range []struct {
		yaml    string
		changed bool
		calls   int
		wantErr string
	}{
		{yaml: "a: 1", calls: 0},
		{yaml: "# moved\n\na: 1", calls: 0},
		{yaml: "a: 2", changed: true, calls: 1},
		{yaml: "a: 2\nb: null", calls: 1},
		{yaml: "a: {$file: gone}", calls: 1, wantErr: "a: $file DIR/gone does not exist (DIR/app-config.yaml:1:12)"},
		{yaml: "a: [1]", changed: true, calls: 2},
		{yaml: "a: [1, 2]", changed: true, calls: 3},
	} {
		replace(t, filepath.Join(dir, "app-config.yaml"), tt.yaml)
		changed, err := w.Reload(t.Context())
		if got := strings.ReplaceAll(text(err), dir, "DIR"); got != tt.wantErr || changed != tt.changed || calls != tt.calls {
			t.Errorf("%s: changed %v, %d calls, error %q; want %v, %d, %q", tt.yaml, changed, calls, got, tt.changed, tt.calls, tt.wantErr)
		}
	}
	cancel()
	replace(t, filepath.Join(dir, "app-config.yaml"), "a: 9")
	if changed, err := w.Reload(t.Context()); !changed || err != nil || calls != 3 {
		t.Errorf("after cancel: changed %v, %v, %d calls", changed, err, calls)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	parse := func(yaml string) *config.Config {
		cfg, err := config.Parse("c.yaml", []byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	log := newLogged()
	w := config.NewWatcher(parse("x: {name: one}"), slog.New(slog.NewTextHandler(log, nil)))
	live, err := config.NewLive(w, "x", nested{Size: 3})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	live.OnChange(func(n nested) { seen = append(seen, n.Name) })
	w.Replace(parse("x: {name: one}\ny: 1"))
	w.Replace(parse("x: {name: two, size: 5}"))
	w.Replace(parse("x: {name: three}"))
	if got := live.Get(); got != (nested{"three", 3}) || strings.Join(seen, " ") != "two three" {
		t.Errorf("the section is %v after %v", got, seen)
	}
	w.Replace(parse("x: {name: bad}"))
	log.waitFor(t, "x: bad name (c.yaml:1:1)")
	if got := live.Get(); got.Name != "three" {
		t.Errorf("after a bad version the section is %v", got)
	}
	live.Close()
	w.Replace(parse("x: {name: four}"))
	if got := live.Get(); got.Name != "three" {
		t.Errorf("after Close the section is %v", got)
	}
	if _, err := config.NewLive(w, "x", struct {
		N int `config:"name"`
	}{}); text(err) != `x.name: expected a number, got "four" (c.yaml:1:11)` {
		t.Errorf("error is %v", err)
	}
	if changed, err := w.Reload(t.Context()); changed || err != nil {
		t.Errorf("a Config from Parse reloads: %v, %v", changed, err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
