package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/callboard-dev/callboard/backend/app/internal/inject"
	"github.com/callboard-dev/callboard/backend/app/internal/site"
	"github.com/callboard-dev/callboard/backend/config"
)

const (
	templateFile = "index.html.tmpl"
	indexFile    = "index.html"
	schemaFile   = ".config-schema.json"
)

// entry is an app: the frontend, or what those get of it who are not signed in.
type entry struct {
	namespace string
	files     *site.Site
	inject    bool
	schemas   []config.Schema

	template *inject.Template // nil: page is served
	page     []byte
	script   string // the file that has the place for the configuration; "" for none

	view atomic.Pointer[view]
}

// view is what an entry serves under one version of the configuration.
type view struct {
	base    string // the path of app.baseUrl, without a slash at the end
	files   *site.Site
	index   *site.File
	sources []config.VisibleSource
	// rendered are the files that were made for this version.
	rendered []*site.File
}

// viewMemory bounds the variants of what is rendered, for each version of the configuration.
const viewMemory = 16 << 20

// openEntry reads what is rendered again with each version of the configuration.
func openEntry(fsys fs.FS, namespace string, cfg Config, budget *site.Budget) (*entry, error) {
	files, err := site.Open(fsys, budget)
	if err != nil {
		return nil, err
	}
	e := &entry{namespace: namespace, files: files, inject: !cfg.DisableConfigInjection}
	text, err := files.Read(schemaFile)
	if err == nil {
		if e.schemas, err = config.ParseSchemas(text); err != nil {
			return nil, fmt.Errorf("%s of the bundle: %w", schemaFile, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	e.page, err = files.Read(indexFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if text, failed := files.Read(templateFile); failed == nil && (e.inject || e.page == nil) {
		e.template, err = inject.ParseTemplate(templateFile, string(text))
		return e, err
	}
	if e.page == nil {
		return nil, fmt.Errorf("the bundle has neither %s nor %s", templateFile, indexFile)
	}
	if e.inject {
		e.script, err = e.findScript()
	}
	return e, err
}

// findScript looks for the script that older bundles have the configuration in.
func (e *entry) findScript() (string, error) {
	for name := range e.files.Names("static") {
		if path.Ext(name) != ".js" {
			continue
		}
		text, err := e.files.Read(name)
		if err != nil {
			return "", err
		}
		if inject.Marked(text) {
			return name, nil
		}
	}
	return "", nil
}

// render makes what is served under a version of the configuration.
func (e *entry) render(cfg *config.Config) (*view, error) {
	budget := site.NewBudget(viewMemory)
	v := &view{files: e.files, sources: []config.VisibleSource{}}
	base, _, err := cfg.String("app.baseUrl")
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, config.At("app.baseUrl", err)
	}
	v.base = strings.TrimRight(u.EscapedPath(), "/")
	if e.inject {
		if v.sources, err = cfg.Visible(e.schemas); err != nil {
			return nil, err
		}
	}
	page := e.page
	if e.template != nil {
		scope := inject.Scope{PublicPath: v.base}
		if len(v.sources) > 0 {
			scope.Config = v.sources[len(v.sources)-1].Data // the merged tree is the last one
		}
		text, err := e.template.Render(scope)
		if err != nil {
			return nil, err
		}
		page = []byte(text)
		if e.inject {
			if page, err = inject.Page(page, v.sources); err != nil {
				return nil, fmt.Errorf("%s: %w", templateFile, err)
			}
		}
	}
	v.index = site.NewPage(page, budget)
	v.rendered = []*site.File{v.index}
	if e.script != "" {
		text, err := e.files.Read(e.script)
		if err != nil {
			return nil, err
		}
		if text, err = inject.Script(text, v.sources); err != nil {
			return nil, err
		}
		script := site.NewFile(e.script, text, time.Time{}, budget)
		v.files = e.files.Replace(map[string]*site.File{e.script: script})
		v.rendered = append(v.rendered, script)
	}
	return v, nil
}

// prepare compresses what was rendered.
func (v *view) prepare(ctx context.Context) {
	for _, f := range v.rendered {
		// They are in memory, so that nothing can go wrong.
		_ = f.Prepare(ctx)
	}
}
