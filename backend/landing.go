package backend

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"sync"
	"time"
)

// landing is the page at / of a backend without a frontend.
type landing struct {
	c  *core
	mu sync.Mutex
	// sections in the order in which plugins added them; only shown in development
	sections []landingSection
}

type landingSection struct {
	plugin PluginID
	title  string
	list   func(context.Context) ([]Link, error)
}

// pluginLanding is the Landing of one plugin.
type pluginLanding struct {
	l  *landing
	id PluginID
}

func (p pluginLanding) Section(title string, list func(context.Context) ([]Link, error)) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.l.sections = append(p.l.sections, landingSection{p.id, title, list})
}

type landingPage struct {
	Title    string
	Plugins  []landingPlugin
	Sections []renderedSection
}

type landingPlugin struct{ ID, URL, State string }

type renderedSection struct {
	Title string
	Links []Link
	Error string
}

const sectionTimeout = 2 * time.Second

func (l *landing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	page := landingPage{Title: l.c.title}
	for id, g := range l.c.gates {
		page.Plugins = append(page.Plugins, landingPlugin{string(id), "/api/" + string(id), g.state()})
	}
	slices.SortFunc(page.Plugins, func(a, b landingPlugin) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	if l.c.env == DevelopmentEnvironment {
		page.Sections = l.render(r.Context())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, max-age=0")
	if r.Method == http.MethodHead {
		return
	}
	if err := landingTemplate.Execute(w, page); err != nil {
		l.c.log.Error("rendering the landing page", "error", err)
	}
}

func (l *landing) render(ctx context.Context) []renderedSection {
	l.mu.Lock()
	sections := slices.Clone(l.sections)
	l.mu.Unlock()
	out := make([]renderedSection, len(sections))
	var wg sync.WaitGroup
	for i, s := range sections {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, sectionTimeout)
			defer cancel()
			out[i].Title = s.title
			var err error
			out[i].Links, err = s.list(ctx)
			if err != nil {
				l.c.log.Warn("listing a section of the landing page", "plugin", string(s.plugin), "section", s.title, "error", err)
				out[i].Error = "could not be listed; the log says why"
			}
		})
	}
	wg.Wait()
	return out
}

var landingTemplate = template.Must(template.New("landing").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.6rem}h2{font-size:1.1rem;margin-top:2rem}ul{padding-left:1.2rem}
a{color:#0a4fb3}small{color:#57606a}code{background:#f3f4f6;padding:0 .25rem}
</style></head><body>
<h1>{{.Title}}</h1>
<p>Health: <a href="/.backstage/health/v1/liveness">liveness</a>, <a href="/.backstage/health/v1/readiness">readiness</a></p>
<h2>Plugins</h2>
<ul>{{range .Plugins}}<li>{{.ID}} <small>{{.State}}</small> <code>{{.URL}}</code></li>{{else}}<li>none</li>{{end}}</ul>
{{range .Sections}}<h2>{{.Title}}</h2>
{{if .Error}}<p>{{.Error}}</p>{{end}}<ul>{{range .Links}}<li><a href="{{.Href}}">{{.Text}}</a> <small>{{.Note}}</small></li>{{end}}</ul>
{{end}}</body></html>
`))
