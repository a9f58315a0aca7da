package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files must be quiet before they are read: editors and
	// Kubernetes replace a file in several steps.
	settle = 100 * time.Millisecond
	// slowPoll is how often files are read where the system cannot watch them.
	slowPoll = 10 * time.Second
)

// A Watcher follows the sources of a Config: its files, every file that $file and
// $include pulled in, and its web addresses. When they change, it loads the whole
// tree again. A tree with a problem, or that a [Watcher.Check] refuses, is reported,
// and the one before it stays in force whole. Secrets that came from a $file follow it without further ado;
// see [Live] for sections that do.
//
// Environment variables are those of the start, as a process keeps them. All methods
// are safe for concurrent use.
type Watcher struct {
	current atomic.Pointer[Config]
	log     *slog.Logger

	reload      sync.Mutex // one load at a time
	mu          sync.Mutex // of what follows
	checks      []func(*Config) error
	subscribers []*subscriber
	watched     map[string]struct{}
}

type subscriber struct{ changed func(*Config) }

// NewWatcher returns a Watcher for a Config that Load returned. It does nothing
// before Run. A Config from Parse has no sources and only changes by Replace. log
// may be nil.
func NewWatcher(cfg *Config, log *slog.Logger) *Watcher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{log: log, watched: cfg.tree.watched}
	w.current.Store(cfg)
	return w
}

// Config returns the configuration in force.
func (w *Watcher) Config() *Config { return w.current.Load() }

// Check makes every new version of the configuration pass check before it is put in
// force. Secrets that are decoded from the Config that check gets have their new values,
// and do not follow their files; the Config must not be kept.
func (w *Watcher) Check(check func(*Config) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checks = append(w.checks, check)
}

// Subscribe calls changed with every new Config, one call at a time and in the order
// in which subscribers were added, until cancel is called.
func (w *Watcher) Subscribe(changed func(*Config)) (cancel func()) {
	s := &subscriber{changed}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers = append(w.subscribers, s)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.subscribers = slices.DeleteFunc(slices.Clone(w.subscribers), func(other *subscriber) bool { return other == s })
	}
}

// Reload loads all sources now and reports whether the configuration has changed.
// After an error, the configuration is what it was.
func (w *Watcher) Reload(ctx context.Context) (changed bool, err error) {
	w.reload.Lock()
	defer w.reload.Unlock()
	old := w.Config()
	if !old.tree.loaded {
		return false, nil
	}
	next, err := load(ctx, old.tree.sources, old.tree.texts)
	if next != nil {
		// Watch what the refused tree depends on too: the mistake may be mended there.
		w.watch(next.tree.watched)
	}
	if err == nil {
		err = emptied(old, next)
	}
	if err != nil {
		return false, err
	}
	if next.tree.root.equal(old.tree.root) {
		return false, nil
	}
	if err := w.passes(next); err != nil {
		return false, err
	}
	w.put(next)
	return true, nil
}

// passes asks the checks.
func (w *Watcher) passes(next *Config) error {
	w.mu.Lock()
	checks := w.checks
	w.mu.Unlock()
	trial := *next.tree
	trial.texts, trial.fixed = &fileValues{}, true
	var errs []error
	for _, check := range checks {
		errs = append(errs, check(&Config{tree: &trial, root: trial.root}))
	}
	return errors.Join(errs...)
}

// emptied refuses a $file that has lost its content, as a file that is being written
// has for a moment: a secret must not turn into the empty string.
func emptied(old, next *Config) error {
	var errs []error
	for file, value := range next.tree.read {
		if value == "" && old.tree.read[file] != "" {
			errs = append(errs, &KeyError{Err: fmt.Errorf("$file %s is empty", file)})
		}
	}
	return errors.Join(errs...)
}

// Replace puts cfg in force, as if the sources had changed to it. It is for tests.
func (w *Watcher) Replace(cfg *Config) {
	w.reload.Lock()
	defer w.reload.Unlock()
	w.put(cfg)
}

func (w *Watcher) put(next *Config) {
	next.tree.texts.update(next.tree.read)
	w.current.Store(next)
	w.mu.Lock()
	subscribers := w.subscribers
	w.mu.Unlock()
	for _, s := range subscribers {
		s.changed(next)
	}
}

func (w *Watcher) watch(files map[string]struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched = files
}

// Run follows the sources until ctx is done. It returns nil then; there is no other
// end, since without a working file watch it reads the files every ten seconds.
func (w *Watcher) Run(ctx context.Context) error {
	tree := w.Config().tree
	if !tree.loaded {
		<-ctx.Done()
		return nil
	}
	files := newFileWatch()
	defer files.close()
	w.follow(files)
	w.attempt(ctx) // what happened between Load and here
	remote := &time.Ticker{}
	if slices.ContainsFunc(tree.sources.Files, isURL) {
		remote = time.NewTicker(tree.sources.Remote.poll())
		defer remote.Stop()
	}
	slow := time.NewTicker(slowPoll)
	defer slow.Stop()
	quiet := time.NewTimer(settle)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-files.events():
			if files.concerns(name) {
				quiet.Reset(settle)
			}
			continue
		case <-files.errors():
			// The queue ran over, so anything may have happened.
		case <-quiet.C:
		case <-remote.C:
		case <-slow.C:
			if files.complete() {
				continue
			}
		}
		w.attempt(ctx)
		w.follow(files)
	}
}

// attempt reloads, and reports what happened.
func (w *Watcher) attempt(ctx context.Context) {
	changed, err := w.Reload(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		w.log.ErrorContext(ctx, "configuration has changed and is not valid, the one before it stays in force", "error", err.Error())
	case changed:
		w.log.InfoContext(ctx, "configuration reloaded", "files", w.Config().Files())
	}
}

func (w *Watcher) follow(files *fileWatch) {
	w.mu.Lock()
	watched := w.watched
	w.mu.Unlock()
	if err := files.set(watched); err != nil {
		w.log.Warn("configuration files cannot be watched, they are read every 10 s instead", "error", err.Error())
	}
}

// A fileWatch watches the directories of files, because a watch on a file itself is
// lost when the file is replaced.
type fileWatch struct {
	notify *fsnotify.Watcher // nil if the system has no watches left
	dirs   map[string]bool   // whether watching it works
	names  map[string]struct{}
	broken bool
	out    chan string
	stop   chan struct{}
	done   sync.WaitGroup
}

func newFileWatch() *fileWatch {
	f := &fileWatch{dirs: map[string]bool{}, out: make(chan string), stop: make(chan struct{})}
	f.notify, _ = fsnotify.NewWatcher()
	if f.notify != nil {
		f.done.Go(f.forward)
	}
	return f
}

// forward passes on the names of what has changed.
func (f *fileWatch) forward() {
	for event := range f.notify.Events {
		if event.Op == fsnotify.Chmod {
			continue
		}
		select {
		case f.out <- event.Name:
		case <-f.stop:
			return
		}
	}
}

func (f *fileWatch) close() {
	close(f.stop)
	if f.notify != nil {
		f.notify.Close()
	}
	f.done.Wait()
}

func (f *fileWatch) events() <-chan string { return f.out }

func (f *fileWatch) errors() <-chan error {
	if f.notify == nil {
		return nil
	}
	return f.notify.Errors
}

// concerns reports whether a change of name can change a configuration file. The
// directory of app-config.yaml may also hold a database that is written all the time.
func (f *fileWatch) concerns(name string) bool {
	name = filepath.Clean(name)
	if f.dirs[name] {
		f.dirs[name] = false // removed, and the watch with it
		return true
	}
	_, ok := f.names[name]
	return ok
}

// complete reports whether every change will be noticed.
func (f *fileWatch) complete() bool {
	for _, works := range f.dirs {
		if !works {
			return false
		}
	}
	return f.notify != nil
}

// set watches files and what symbolic links lead to them. It returns an error when
// it has become impossible, not each time.
func (f *fileWatch) set(files map[string]struct{}) error {
	if f.notify == nil {
		first := !f.broken
		f.broken = true
		if first {
			return errors.New("the system has no file watches left")
		}
		return nil
	}
	f.names = map[string]struct{}{}
	dirs := map[string]bool{}
	for file := range files {
		linkChain(file, f.names)
	}
	var failed error
	for name := range f.names {
		dir := filepath.Dir(name)
		if _, ok := dirs[dir]; ok {
			continue
		}
		dirs[dir] = true
		if !f.dirs[dir] {
			err := f.notify.Add(dir)
			dirs[dir] = err == nil
			// A directory that does not exist is waited for without a complaint.
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				failed = fmt.Errorf("watch %s: %w", dir, err)
			}
		}
	}
	for dir, works := range f.dirs {
		if works && !dirs[dir] {
			f.notify.Remove(dir) // an error means that it is gone already
		}
	}
	f.dirs = dirs
	broke := failed != nil && !f.broken
	f.broken = failed != nil
	if broke {
		return failed
	}
	return nil
}

// linkChain adds file and every name on the way to what it stands for: Kubernetes
// mounts app-config.yaml as a link to ..data/app-config.yaml, where ..data is a link
// that is swapped to publish a new version.
func linkChain(file string, names map[string]struct{}) {
	const maxLinks = 40
	for range maxLinks {
		names[filepath.Clean(file)] = struct{}{}
		next := ""
		for at := file; ; at = filepath.Dir(at) {
			if target, err := os.Readlink(at); err == nil {
				names[at] = struct{}{}
				rest, _ := filepath.Rel(at, file)
				next = filepath.Join(resolve(filepath.Dir(at), target), rest)
				break
			}
			if at == filepath.Dir(at) {
				return
			}
		}
		file = next
	}
}
