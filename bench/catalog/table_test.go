package catalogbench

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

var (
	sizes   = flag.String("sizes", "", "numbers of entities, with commas between them; empty: a trial")
	seconds = flag.Float64("seconds", 5, "how long each scenario is driven")
	only    = flag.String("only", "", "part of the names of the scenarios to run; with it nothing is written")
	profile = flag.String("profile", "", "a directory for CPU profiles of the portal, one for each scenario")
	files   = flag.Bool("files", true, "ingest through files, too")
	rest    = flag.Duration("rest", 0, "measure for so long what it costs that nothing happens")
	longest = flag.Bool("statements", false, "print the statements that took longest while entities were ingested")
)

// place annotates an entity as providers do.
func place(e entity.Entity) catalog.Deferred {
	for _, key := range []string{entity.AnnotationManagedBy, entity.AnnotationManagedByOrigin} {
		e.SetAnnotation(key, "url:https://acme.example/catalog")
	}
	return catalog.Deferred{Entity: e}
}

// extra are components beside those of the organisation.
func extra(n int, revision string) []catalog.Deferred {
	o := &org{Rand: rand.New(rand.NewPCG(1, 1)), groups: []string{"extra"}}
	o.yield = o.keep
	o.components = o.names("extra", n)
	for _, c := range o.components {
		o.component(c, []string{"extra"}, []string{"extra"}, []string{"extra"})
	}
	out := make([]catalog.Deferred, n)
	for i, e := range o.entities {
		e.Set(revision, "metadata", "labels", "acme.example/revision")
		out[i] = place(e)
	}
	return out
}

// TestTable measures and prints the tables of bench/RESULTS.md. Without -sizes it holds
// that all of it works.
func TestTable(t *testing.T) {
	list := []int{300}
	if *sizes == "" {
		*seconds = 0.02
	} else {
		list = nil
		for s := range strings.SplitSeq(*sizes, ",") {
			n, err := strconv.Atoi(s)
			if err != nil || n < 300 {
				t.Fatalf("-sizes: %q is no number of at least 300", s)
			}
			list = append(list, n)
		}
	}
	for _, n := range list {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			if *files && *only == "" {
				t.Run("files", func(t *testing.T) { ingestFiles(t, n) })
			}
			t.Run("provider", func(t *testing.T) { measure(t, n) })
		})
	}
}

func ingestRow(t *testing.T, what string, n int, took time.Duration, c cpu, w work, rss float64) {
	fmt.Printf("| %s | %d | %.2f | %.2f + %.2f | %.2f | %.1f | %.0f |\n", what, n, took.Seconds(), c.portal.Seconds(), c.postgres.Seconds(),
		float64(w.statements)/float64(n), float64(w.rows)/float64(n), rss)
}

const ingestHead = "\n| ingest | entities | seconds | CPU-s, portal + PostgreSQL | statements per entity | rows per entity | RSS peak, MB |\n|---|---|---|---|---|---|---|"

func ingestFiles(t *testing.T, n int) {
	d := newDatabase(t)
	root := write(t, t.TempDir(), newOrg(n-4).entities) // and four Locations
	start := d.work(t)
	p := launch(t, d.url, fmt.Sprintf("{type: file, target: %q}", root))
	began := time.Now()
	before := spent(t, p, d)
	if *profile != "" {
		p.call("/profile?file=" + url.QueryEscape(filepath.Join(*profile, "files.pprof")))
	}
	end := d.settled(t, n)
	after, done := spent(t, p, d), d.work(t)
	if *profile != "" {
		p.call("/profile")
	}
	fmt.Println(ingestHead)
	ingestRow(t, "through files, from readiness", n, end.Sub(began), after.minus(before), work{done.statements - start.statements, done.rows - start.rows}, p.peakRSS())
	if *longest {
		d.longest(t)
	}
	if *only == "" {
		depth := depthOf(t, p, newOrg(n-4).components)
		if depth != 5 {
			t.Errorf("an ancestry of %d, want 5", depth)
		}
		fmt.Println(readHead)
		comps := newOrg(n - 4).components
		p.scenario(d, n, "ancestry of 5", [][]byte{p.get("/entities/by-name/component/default/" + comps[len(comps)-1] + "/ancestry")})
	}
}

func depthOf(t *testing.T, p *portal, components []string) int {
	var a struct{ Items []json.RawMessage }
	doc := p.ask("GET", "/entities/by-name/component/default/"+components[len(components)-1]+"/ancestry", "", 200)
	if err := json.Unmarshal(doc, &a); err != nil {
		t.Fatal(err)
	}
	return len(a.Items)
}

func (p *portal) host() string { return strings.TrimPrefix(p.url, "http://") }

func (p *portal) get(path string) []byte { return request(p.host(), "GET", "/api/catalog"+path, "") }

func (p *portal) post(path, body string) []byte {
	return request(p.host(), "POST", "/api/catalog"+path, body)
}

const readHead = "\n| read | entities | c | req/s | p50, ms | p99, ms | CPU per request, ms: portal + PostgreSQL | KB | statements per request | RSS peak, MB |\n|---|---|---|---|---|---|---|---|---|---|"

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// scenario drives one kind of request at both concurrencies.
func (p *portal) scenario(d *database, n int, name string, requests [][]byte) {
	if !strings.Contains(name, *only) {
		return
	}
	lasting := time.Duration(*seconds * float64(time.Second))
	for _, c := range []int{1, 16} {
		load(p.t, p.host(), requests, c, max(lasting/4, time.Duration(n)*20*time.Microsecond)) // memory is warm in production, too
		p.resetPeak()
		work, before := d.work(p.t), spent(p.t, p, d)
		if *profile != "" {
			name := strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return '-'
			}, strings.ToLower(name))
			p.call("/profile?file=" + url.QueryEscape(filepath.Join(*profile, fmt.Sprintf("%s-%d.pprof", name, c))))
		}
		r := load(p.t, p.host(), requests, c, lasting)
		if *profile != "" {
			p.call("/profile")
		}
		r.cpu = spent(p.t, p, d).minus(before)
		statements := d.work(p.t).statements - work.statements
		each := func(d time.Duration) float64 { return ms(d) / float64(r.requests) }
		fmt.Printf("| %s | %d | %d | %.0f | %.2f | %.2f | %.3f + %.3f | %.1f | %.2f | %.0f |\n", name, n, c, r.rate(), ms(r.p50), ms(r.p99),
			each(r.cpu.portal), each(r.cpu.postgres), float64(r.bytes)/float64(r.requests)/1000, float64(statements)/float64(r.requests), p.peakRSS())
	}
}

func measure(t *testing.T, n int) {
	d := newDatabase(t)
	p := launch(t, d.url, "")
	start, before, began := d.work(t), spent(t, p, d), time.Now()
	p.call("/replace?n=" + strconv.Itoa(n))
	end := d.settled(t, n)
	after, done := spent(t, p, d), d.work(t)
	fmt.Println(ingestHead)
	ingestRow(t, "through a provider", n, end.Sub(began), after.minus(before), work{done.statements - start.statements, done.rows - start.rows}, p.peakRSS())
	if _, err := d.conn.Exec(t.Context(), db.Same("VACUUM ANALYZE")); err != nil { // as the autovacuum will, in its time
		t.Fatal(err)
	}
	fmt.Printf("\nRSS after the ingest: %.0f MB\n", p.rss())
	if *rest > 0 {
		p.idle(d, n)
	}
	p.reads(d, n)
	fmt.Printf("\nRSS after the reads: %.0f MB\n", p.rss())
	if *only != "" {
		return
	}
	p.unpagedHeap()
	p.writes(t, d, n)
}

// idle measures rounds without changes. Entities are due again after 100 to 150 s.
func (p *portal) idle(d *database, n int) {
	if *profile != "" {
		p.call("/profile?file=" + url.QueryEscape(filepath.Join(*profile, "rest.pprof")))
		defer p.call("/profile")
	}
	work, before := d.work(p.t), spent(p.t, p, d)
	time.Sleep(*rest)
	cpu, done := spent(p.t, p, d).minus(before), d.work(p.t)
	share := func(d time.Duration) float64 { return d.Seconds() / rest.Seconds() }
	fmt.Printf("\nAt rest with %d entities, %v: %.4f + %.4f cores, portal + PostgreSQL; %d statements, which wrote %d rows\n",
		n, *rest, share(cpu.portal), share(cpu.postgres), done.statements-work.statements, done.rows-work.rows)
}

// reads are the scenarios that change nothing. Where users ask for different things,
// requests differ.
func (p *portal) reads(d *database, n int) {
	o := newOrg(n)
	step := max(1, len(o.components)/500)
	var byName, refs []string
	for i := 0; i < len(o.components); i += step {
		byName = append(byName, o.components[i])
	}
	for _, name := range o.components {
		refs = append(refs, "component:default/"+name)
	}
	several := func(n int) [][]byte {
		n = min(n, len(refs))
		var out [][]byte
		for i := range 5 {
			var ask []string
			for j := range n {
				ask = append(ask, refs[(i*97+j*max(1, len(refs)/n))%len(refs)])
			}
			body, _ := json.Marshal(map[string]any{"entityRefs": ask})
			out = append(out, p.post("/entities/by-refs", string(body)))
		}
		return out
	}
	var names, owned, text [][]byte
	for _, name := range byName {
		names = append(names, p.get("/entities/by-name/component/default/"+name))
	}
	for i := range 50 {
		g := o.groups[(i*31)%len(o.groups)]
		owned = append(owned, p.get("/entities/by-query?limit=20&orderField=metadata.name,asc&filter="+url.QueryEscape("kind=component,relations.ownedBy=group:default/"+g)))
	}
	for _, w := range words {
		text = append(text, p.get("/entities/by-query?limit=20&filter=kind=component&fullTextFilterFields=metadata.name,metadata.title&orderField=metadata.name,asc&fullTextFilterTerm="+w))
	}
	const one = "/entities/by-query?limit=20&orderField=metadata.name,asc&filter=kind=component"
	fmt.Println(readHead)
	p.scenario(d, n, "by-name", names)
	p.scenario(d, n, "by-refs of 100", several(100))
	p.scenario(d, n, "by-refs of 1,000", several(1000))
	p.scenario(d, n, "ordered page of 20 with its count", [][]byte{p.get(one)})
	p.scenario(d, n, "page 50 by cursor", [][]byte{p.get("/entities/by-query?limit=20&cursor=" + url.QueryEscape(p.cursor(one, 49)))})
	p.scenario(d, n, "page under two filters", [][]byte{p.get("/entities/by-query?limit=20&orderField=metadata.name,asc&filter=kind=component,spec.type=service")})
	p.scenario(d, n, "page by relation, 50 owners", owned)
	p.scenario(d, n, "full text, "+strconv.Itoa(len(words))+" terms", text)
	p.scenario(d, n, "facets of 2 keys", [][]byte{p.get("/entity-facets?facet=spec.type&facet=metadata.tags")})
	p.scenario(d, n, "facets of 3 keys", [][]byte{p.get("/entity-facets?facet=spec.type&facet=metadata.tags&facet=spec.lifecycle")})
	p.scenario(d, n, "facets under a filter", [][]byte{p.get("/entity-facets?facet=spec.lifecycle&filter=kind=component")})
	p.scenario(d, n, "all components unpaged", [][]byte{p.get("/entities?filter=kind=component")})
	p.scenario(d, n, "ancestry of 1", [][]byte{p.get("/entities/by-name/component/default/" + o.components[0] + "/ancestry")})
	p.scenario(d, n, "liveness, the floor of HTTP", [][]byte{request(p.host(), "GET", "/.backstage/health/v1/liveness", "")})
}

// cursor walks some pages and returns the way to the next one; the last one that there
// is in a short list.
func (p *portal) cursor(path string, pages int) (cursor string) {
	next := path
	for range pages {
		var page struct{ PageInfo struct{ NextCursor string } }
		if err := json.Unmarshal(p.ask("GET", next, "", 200), &page); err != nil {
			p.t.Fatal(err)
		}
		if page.PageInfo.NextCursor == "" {
			break
		}
		cursor = page.PageInfo.NextCursor
		next = "/entities/by-query?limit=20&fields=kind&cursor=" + url.QueryEscape(cursor)
	}
	return cursor
}

// unpagedHeap says by how much the live heap grows while a list of everything is sent.
func (p *portal) unpagedHeap() {
	var heap struct{ Live, Peak float64 }
	read := func() {
		p.t.Helper()
		if err := json.Unmarshal(p.call("/heap"), &heap); err != nil {
			p.t.Fatal(err)
		}
	}
	read()
	before := heap.Live
	load(p.t, p.host(), [][]byte{p.get("/entities")}, 1, 0)
	read()
	fmt.Printf("\nLive heap: %.1f MB, at most %.1f MB more while everything is listed once\n", before/1e6, (heap.Peak-before)/1e6)
}

func (p *portal) writes(t *testing.T, d *database, n int) {
	count := 1000
	if *sizes == "" {
		count = 100
	}
	fmt.Println(ingestHead)
	total := n
	timed := func(what string, more int, change func()) {
		p.resetPeak()
		w, c, began := d.work(t), spent(t, p, d), time.Now()
		change()
		total += more
		end := d.settled(t, total)
		after, done := spent(t, p, d), d.work(t)
		ingestRow(t, what, count, end.Sub(began), after.minus(c), work{done.statements - w.statements, done.rows - w.rows}, p.peakRSS())
	}
	timed(fmt.Sprintf("upsert of %d new ones", count), count, func() { p.call(fmt.Sprintf("/upsert?n=%d&revision=1", count)) })
	timed(fmt.Sprintf("upsert of %d changed ones", count), 0, func() {
		p.call(fmt.Sprintf("/upsert?n=%d&revision=2", count))
	})
	o := newOrg(2 * count)
	for i := range o.entities {
		o.entities[i].Set("children", "metadata", "namespace")
	}
	root := write(t, filepath.Join(t.TempDir(), "children"), o.entities[:count])
	var made struct{ Location struct{ ID string } }
	timed(fmt.Sprintf("a Location with %d children", count), count+4, func() {
		body, _ := json.Marshal(map[string]string{"type": "file", "target": root})
		if err := json.Unmarshal(p.ask("POST", "/locations", string(body), 201), &made); err != nil {
			t.Fatal(err)
		}
	})
	timed(fmt.Sprintf("deletion of a Location with %d children", count), -count-4, func() {
		p.ask("DELETE", "/locations/"+made.Location.ID, "", 204)
	})
}
