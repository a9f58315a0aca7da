package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app/internal/inject"
	"github.com/callboard-dev/callboard/backend/app/internal/site"
	"github.com/callboard-dev/callboard/backend/app/internal/store"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// The lives of answers (contract/backend.md section 15). What only users get must not be
// kept by caches that others are served from.
var (
	pageLife    = []string{"no-store, max-age=0"}
	scriptLife  = []string{"no-cache"} // has the configuration in it
	rootLife    = life{[]string{"public, max-age=0"}, []string{"private, max-age=0"}}
	staticLife  = life{[]string{"public, max-age=1209600"}, []string{"private, max-age=1209600"}}
	maxAssetKey = 1024 // longer paths are nobody's, and need no look into the database
)

type life struct{ public, private []string }

// server answers requests for pages and files. Its fields are set before the first one.
type server struct {
	cfg      Config
	cookie   backend.UserCookie
	fallback backend.Handler
	store    *store.Store // nil: earlier releases are not kept
	log      *slog.Logger

	bundle      *bundle
	main        *entry // nil without a bundle
	public      *entry // nil: everybody gets main
	unsubscribe func()
	background  *backend.Background
}

func (s *server) start(p params) error {
	var err error
	if s.bundle, err = locate(s.cfg, p.Extensions.bundle); err != nil {
		return p.Watcher.Config().Locate(err)
	}
	if s.bundle == nil {
		level := slog.LevelInfo
		if p.Environment == backend.ProductionEnvironment {
			level = slog.LevelError
		}
		s.log.Log(context.Background(), level, "there is no frontend to serve: build one into packages/"+s.cfg.PackageName+
			"/dist, set app.bundleDir, or embed it with app.Bundle; until then a plain page is at /")
		return nil
	}
	if err := s.open(p.Watcher.Config()); err != nil {
		_ = s.bundle.close()
		return fmt.Errorf("frontend bundle (%s): %w", s.bundle.where, p.Watcher.Config().Locate(err))
	}
	s.background = p.Background
	s.unsubscribe = p.Watcher.Subscribe(s.reload)
	p.Background.Go(s.prepare)
	return nil
}

// open makes the entries.
func (s *server) open(cfg *config.Config) error {
	budget := site.NewBudget(site.DefaultMemory)
	main, err := openEntry(s.bundle, store.Main, s.cfg, budget)
	if err != nil {
		return err
	}
	s.main = main
	if _, err := fs.Stat(s.bundle, "public"); err == nil && !s.cfg.DisablePublicEntryPoint {
		sub, err := fs.Sub(s.bundle, "public")
		if err != nil {
			return err
		}
		if s.public, err = openEntry(sub, store.Public, s.cfg, budget); err != nil {
			return fmt.Errorf("public entry point: %w", err)
		}
		if s.public.schemas == nil {
			s.public.schemas = main.schemas
		}
	}
	for _, e := range s.entries() {
		v, err := e.render(cfg)
		if err != nil {
			return err
		}
		e.view.Store(v)
		if skipped := e.files.Skipped(); len(skipped) > 0 {
			s.log.Warn("these are no files of the bundle, and are not served", "bundle", s.bundle.where, "names", skipped)
		}
		if e.inject && e.schemas == nil {
			s.log.Warn("the bundle has no "+schemaFile+": the frontend gets none of the configuration", "bundle", s.bundle.where)
		}
	}
	s.log.Info("frontend found", "bundle", s.bundle.where, "path", main.view.Load().base+"/", "template", main.template != nil, "protected", s.public != nil)
	return nil
}

// entries are those that there are.
func (s *server) entries() []*entry {
	var out []*entry
	for _, e := range []*entry{s.main, s.public} {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}

// reload renders the pages again. If one cannot be rendered, all stay as they are.
func (s *server) reload(cfg *config.Config) {
	entries := s.entries()
	views := make([]*view, len(entries))
	for i, e := range entries {
		var err error
		if views[i], err = e.render(cfg); err != nil {
			s.log.Error("the frontend keeps the configuration that it had", "error", cfg.Locate(err))
			return
		}
	}
	for i, e := range entries {
		e.view.Store(views[i])
		s.background.Go(views[i].prepare)
	}
}

// prepare compresses files in the background.
func (s *server) prepare(ctx context.Context) {
	began := time.Now()
	for _, e := range s.entries() {
		e.view.Load().prepare(ctx)
		if err := e.files.Prepare(ctx); err != nil {
			s.log.WarnContext(ctx, "some files of the frontend are compressed on the way only", "error", err)
		}
	}
	s.log.InfoContext(ctx, "files of the frontend are compressed", "bytes", s.main.files.Memory(), "took", time.Since(began).Round(time.Millisecond))
}

func (s *server) stop() error {
	if s.unsubscribe != nil {
		s.unsubscribe()
	}
	return s.bundle.close()
}

// page answers outside of /api.
func (s *server) page(w http.ResponseWriter, r *http.Request) error {
	if s.main == nil {
		return backend.ErrNoPage
	}
	return s.serve(w, r)
}

// api answers below /api/app.
func (s *server) api(w http.ResponseWriter, r *http.Request) error {
	if s.main == nil {
		return httpx.Empty(w, http.StatusNotFound)
	}
	return s.serve(w, r)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) error {
	if s.public != nil {
		return s.protected(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return httpx.Empty(w, http.StatusNotFound)
	}
	return s.get(w, r, s.main)
}

// get answers a GET or HEAD with what an entry has at the path.
func (s *server) get(w http.ResponseWriter, r *http.Request, e *entry) error {
	v := e.view.Load()
	name := r.URL.Path
	if rest, ok := strings.CutPrefix(name, v.base); ok && v.base != "" && (rest == "" || rest[0] == '/') {
		name = rest // whether a proxy has taken it away or not
	}
	name = strings.TrimPrefix(name, "/")
	if name == "static" || strings.HasPrefix(name, "static/") {
		return s.static(w, r, e, v, name)
	}
	f := v.files.File(name)
	if f == nil || name == indexFile || name == templateFile {
		return v.index.Serve(w, r, pageLife)
	}
	cache := s.lives(rootLife, e)
	if f.HTML() {
		cache = pageLife
	}
	if err := f.Serve(w, r, cache); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return v.index.Serve(w, r, pageLife)
}

func (s *server) lives(l life, e *entry) []string {
	if s.public != nil && e == s.main {
		return l.private
	}
	return l.public
}

// static answers with a file that has a hash in its name, of this release or an earlier one.
func (s *server) static(w http.ResponseWriter, r *http.Request, e *entry, v *view, name string) error {
	if f := v.files.File(name); f != nil {
		cache := s.lives(staticLife, e)
		if name == e.script {
			cache = scriptLife
		}
		if err := f.Serve(w, r, cache); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if s.store != nil {
		if found, err := s.earlier(w, r, e, v, name); found || err != nil {
			return err
		}
	}
	if s.fallback != nil {
		u := *r.URL
		u.Path, u.RawPath = "/"+name, ""
		r = r.Clone(r.Context())
		r.URL = &u
		return s.fallback(w, r)
	}
	return httpx.Empty(w, http.StatusNotFound)
}

// earlier answers with a file of an earlier release, if it is stored.
func (s *server) earlier(w http.ResponseWriter, r *http.Request, e *entry, v *view, name string) (bool, error) {
	key := strings.TrimPrefix(name, "static/")
	if key == "" || key == name || len(key) > maxAssetKey || !db.IsText(key) || path.Ext(key) == ".map" {
		return false, nil
	}
	a, err := s.store.Asset(r.Context(), e.namespace, key)
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s among the files of earlier releases: %w", name, err)
	}
	cache := s.lives(staticLife, e)
	if path.Ext(key) == ".js" && e.inject && inject.Marked(a.Content) {
		// The page of that release has no configuration of its own.
		if a.Content, err = inject.Script(a.Content, v.sources); err != nil {
			return false, err
		}
		cache = scriptLife
	}
	return true, site.NewFile(name, a.Content, a.Modified, nil).ServeOnce(w, r, cache)
}
